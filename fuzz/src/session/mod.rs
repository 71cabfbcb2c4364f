//! Both sides of a connection as state machines.

pub mod client;
pub mod pair;
pub mod server;
