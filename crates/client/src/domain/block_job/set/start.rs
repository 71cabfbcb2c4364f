use super::DiskEnd;
use crate::domain::block_job::start::Startable as _;
use crate::domain::block_job::{BlockCopy, BlockJob, CommitActive, CommitInner, Pull};
use crate::{Disk, Error};

/// A job of a set that is not started yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum JobStart {
    /// A pull, which ends by itself.
    Pull(Pull),
    /// A commit of the active image.
    CommitActive(CommitActive),
    /// A commit of inner images, which ends by itself.
    CommitInner(CommitInner),
    /// A copy.
    Copy(BlockCopy),
}

/// One of the jobs of a set could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the job on {disk}")]
#[non_exhaustive]
pub struct SetNotStarted {
    /// The disk of the job that could not be started, as its path was given.
    pub disk: String,
    /// Why not. If its [`execution`](Error::execution) is `MaybeExecuted`, that job may run.
    #[source]
    pub error: Error,
    /// What became of the jobs that had been started, which were cancelled.
    pub cancelled: Vec<DiskEnd>,
}

impl JobStart {
    pub(super) fn disk(&self) -> &Disk {
        match self {
            Self::Pull(pull) => pull.disk(),
            Self::CommitActive(commit) => commit.disk(),
            Self::CommitInner(commit) => commit.disk(),
            Self::Copy(copy) => copy.disk(),
        }
    }

    pub(super) async fn start(self) -> Result<BlockJob, Error> {
        match self {
            Self::Pull(pull) => pull.start().await,
            Self::CommitActive(commit) => commit.start().await,
            Self::CommitInner(commit) => commit.start().await,
            Self::Copy(copy) => copy.start().await,
        }
    }
}

impl From<Pull> for JobStart {
    fn from(pull: Pull) -> Self {
        Self::Pull(pull)
    }
}

impl From<CommitActive> for JobStart {
    fn from(commit: CommitActive) -> Self {
        Self::CommitActive(commit)
    }
}

impl From<CommitInner> for JobStart {
    fn from(commit: CommitInner) -> Self {
        Self::CommitInner(commit)
    }
}

impl From<BlockCopy> for JobStart {
    fn from(copy: BlockCopy) -> Self {
        Self::Copy(copy)
    }
}
