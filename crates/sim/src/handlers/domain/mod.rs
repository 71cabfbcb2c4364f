//! Domains: one file for each thing that is done with them.

mod define;
mod info;
mod lifecycle;
mod list;
mod lookup;
mod memory;
mod metadata;
mod save;
mod stats;
mod vcpu;
mod xml;

use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    define::routes(router);
    info::routes(router);
    lifecycle::routes(router);
    list::routes(router);
    lookup::routes(router);
    memory::routes(router);
    metadata::routes(router);
    save::routes(router);
    stats::routes(router);
    vcpu::routes(router);
    xml::routes(router);
}
