//! The client and a scripted daemon: everything that can happen on a connection, without libvirt.

#![cfg(test)]

mod answer;
mod auth;
mod block_job;
mod call;
mod cancel;
mod close;
mod connect;
mod event;
mod hostile;
mod keepalive;
mod memory;
mod reconnect;
mod retry;
mod session;
mod support;

use virtwire_tests::question::{PLACES, ask, asker, start_pull, started_pull};
