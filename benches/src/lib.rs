//! What the benchmarks share: messages to measure with, servers in other processes, and the floor to
//! compare with.

pub mod client;
pub mod flood;
pub mod floor;
pub mod measure;
pub mod message;
pub mod null_server;
mod process;
pub mod simulators;
