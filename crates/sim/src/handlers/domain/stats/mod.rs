//! Statistics: of one thing, and of all domains at once.

mod all;
mod device;

use crate::hypervisor::Domain;
use crate::router::Router;

pub(super) fn routes(router: &mut Router) {
    all::routes(router);
    device::routes(router);
}

/// What a device has done since its domain started: there is nothing that would work it, so that
/// the time stands in for traffic.
fn operations(domain: &Domain) -> u64 {
    domain.running_for() / 1_000_000_000
}

/// How much a block device moves in an operation.
const BLOCK: u64 = 4096;

/// How much an interface moves in a packet.
const PACKET: u64 = 64;
