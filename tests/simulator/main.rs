//! The simulated daemon, driven by our own client and by libvirt's.

#![cfg(test)]
#![expect(
    clippy::result_large_err,
    reason = "handlers answer with libvirt's errors as they are"
)]

mod backup;
mod backup_virsh;
mod block_job;
mod block_job_fault;
mod block_job_refused;
mod block_job_virsh;
mod both;
mod connection;
mod domain;
mod event;
mod fan_out;
mod filesystem;
mod guest;
#[path = "../hypervisor/mod.rs"]
mod hypervisor;
mod idle;
mod job_set;
mod killed;

mod network;
mod raw;
mod served;
mod snapshot;
mod snapshot_virsh;
mod storage;
mod stream;
mod transcript;
mod unheard;
mod virsh;

use virtwire_tests::stage::simulated::{Guest, Stage};
