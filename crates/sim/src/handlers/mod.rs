//! What the simulated daemon does when nobody says otherwise: one file for each kind of thing.

mod connect;
mod domain;
mod event;

use crate::router::Router;

/// All of it.
pub(crate) fn routes() -> Router {
    let mut router = Router::default();
    connect::routes(&mut router);
    domain::routes(&mut router);
    event::routes(&mut router);
    router
}
