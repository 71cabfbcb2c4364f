//! The end of the daemon's own connection to its hypervisor.
//!
//! No hypervisor of a libvirtd has such an end: it takes any number of these calls, and never tells.
//! What is here is a virtproxyd, whose hypervisor is another daemon.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::remote;

use crate::call::Call;
use crate::refusal::from_domain;
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::ConnectRegisterCloseCallback>(|call, ()| {
        set(call, true).ok_or_else(|| refused("A close callback is already registered"))
    });
    router.on::<remote::ConnectUnregisterCloseCallback>(|call, ()| {
        set(call, false).ok_or_else(|| refused("A different callback was requested"))
    });
}

/// Notes whether a client wants to hear of it; nothing when it was so before.
fn set(call: &Call, wanted: bool) -> Option<()> {
    let mut hypervisor = call.hypervisor();
    let client = hypervisor.clients.get_mut(&call.client)?;
    let before = std::mem::replace(&mut client.close_callback, wanted);
    (before != wanted).then_some(())
}

fn refused(what: &str) -> RemoteError {
    from_domain(ErrorDomain::REMOTE, ErrorCode::OPERATION_INVALID, what)
}
