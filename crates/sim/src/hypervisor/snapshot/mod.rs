//! Snapshots: moments whose data stays where it is, while the guest goes on in other images.

mod description;
mod take;

pub(crate) use self::description::{Snapshot, SnapshotDisk};
pub(crate) use self::take::NewSnapshot;
