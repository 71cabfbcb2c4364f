//! Tests that run on real daemons and on the simulated one: each of the two binaries has this module,
//! and a `Stage` and a `Guest` of its own for it.

mod backup;
mod block_attach;
mod block_commit;
mod block_job_set;
mod block_mirror;
mod block_pull;
mod checkpoint;
pub(crate) mod connection;
mod disk_size;
mod domain;
mod event;
mod examples;
pub(crate) mod images;
mod jam;
mod reconnect;
mod snapshot;
mod stream;
mod support;
