//! Ways to reach a daemon.

mod tcp;
mod unix;

pub(crate) use tcp::connect as connect_tcp;
pub(crate) use unix::connect as connect_unix;
