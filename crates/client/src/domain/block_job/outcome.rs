use std::fmt;
use std::sync::Arc;

use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus, DomainEventStoppedDetailType,
};

use super::BlockJobInfo;
use crate::connection::CloseCause;
use crate::{DiskDescription, DomainStatus};

/// How a block job ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The daemon announced that the job has done its work.
    Completed,
    /// The daemon announced that the job was cancelled: the guest's data is whole, and libvirt
    /// counts the backing chain as before.
    ///
    /// libvirt also says this of a job that finishes after it accepted the cancellation
    /// (`qemu_blockjob.c`), so the image itself may be ahead of the XML then.
    Cancelled,
    /// The daemon announced that the job failed.
    Failed(JobFailure),
    /// The job is gone, or out of sight, and nobody announced how it ended. It may have completed
    /// and it may not: look at the evidence before acting on the disk.
    Vanished(Box<Evidence>),
}

/// What is known of a failure. The event carries no text; the host's logs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// The status in the event: `FAILED`, or one that this version does not know.
    pub status: ConnectDomainEventBlockJobStatus,
    /// The last figures seen.
    pub last_info: Option<BlockJobInfo>,
}

/// What is known of a job whose end nobody announced.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// Why there was no announcement.
    pub reason: VanishedReason,
    /// The last figures seen.
    pub last_info: Option<BlockJobInfo>,
    /// The domain's state afterwards, when it could be asked.
    pub domain: Option<DomainStatus>,
    /// The disk as the XML describes it afterwards, backing chain included, when it could be
    /// asked.
    pub disk: Option<DiskDescription>,
}

/// Why the end of a job was not announced.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VanishedReason {
    /// The domain stopped, and its jobs with it.
    DomainStopped {
        /// Why it stopped, when the daemon said so.
        detail: Option<DomainEventStoppedDetailType>,
    },
    /// The connection was lost; the job may still run.
    ConnectionLost(Arc<CloseCause>),
    /// The daemon knows of no job on the disk any more and sent no event.
    NoEvent,
    /// The task that watched the job was stopped together with its runtime.
    Unwatched,
}

impl Evidence {
    pub(crate) fn new(reason: VanishedReason, last_info: Option<BlockJobInfo>) -> Self {
        Self {
            reason,
            last_info,
            domain: None,
            disk: None,
        }
    }
}

impl PartialEq for VanishedReason {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DomainStopped { detail: a }, Self::DomainStopped { detail: b }) => a == b,
            (Self::ConnectionLost(a), Self::ConnectionLost(b)) => Arc::ptr_eq(a, b),
            (Self::NoEvent, Self::NoEvent) | (Self::Unwatched, Self::Unwatched) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Failed(_) => f.write_str("failed"),
            Self::Vanished(evidence) => write!(f, "vanished: {}", evidence.reason),
        }
    }
}

impl fmt::Display for VanishedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DomainStopped { .. } => f.write_str("the domain stopped"),
            Self::ConnectionLost(cause) => write!(f, "the connection was lost ({cause})"),
            Self::NoEvent => f.write_str("the job is gone and no event said how it ended"),
            Self::Unwatched => f.write_str("the task that watched the job was stopped"),
        }
    }
}
