//! What the simulated daemon does when nobody says otherwise: one file for each kind of thing.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the router gives every handler its arguments, whatever it does with them"
)]

mod backup;
mod block;
mod block_job;
mod checkpoint;
mod connect;
mod device;
mod domain;
mod domain_stream;
mod event;
mod filesystem;
mod network;
mod network_metadata;
mod node;
mod snapshot;
mod storage;
mod volume;
mod volume_stream;

use crate::router::Router;

/// All of it.
pub(crate) fn routes() -> Router {
    let mut router = Router::default();
    backup::routes(&mut router);
    block::routes(&mut router);
    block_job::routes(&mut router);
    checkpoint::routes(&mut router);
    connect::routes(&mut router);
    device::routes(&mut router);
    domain::routes(&mut router);
    domain_stream::routes(&mut router);
    event::routes(&mut router);
    filesystem::routes(&mut router);
    network::routes(&mut router);
    network_metadata::routes(&mut router);
    snapshot::routes(&mut router);
    storage::routes(&mut router);
    volume::routes(&mut router);
    volume_stream::routes(&mut router);
    node::routes(&mut router);
    router
}
