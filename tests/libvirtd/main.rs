//! The client on real daemons.

#![cfg(test)]

mod backup;
mod block_device;
mod daemon;
mod event;
#[path = "../hypervisor/mod.rs"]
mod hypervisor;
mod network_copy;
mod restarted;
mod session;
mod stopped;
mod workflow;
mod written;

use virtwire_tests::stage::real::{Guest, Stage};
