//! What is done to a disk, and what its chain of images is before and after.

use std::fmt;
use std::path::PathBuf;

use virtwire::{Bandwidth, BlockJob, CopyDestination, Disk, Error};
use virtwire_lab::Chain;
use virtwire_tests::stage::layered::Life;

/// A kind of job, and how its client means it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Operation {
    Pull,
    PartialPull,
    InnerCommit,
    CommitAndPivot,
    CommitAndCancel,
    CopyAndPivot,
    CopyAndCancel,
    PushBackup,
    PullBackup,
}

impl Operation {
    pub(crate) const ALL: [Self; 9] = [
        Self::Pull,
        Self::PartialPull,
        Self::InnerCommit,
        Self::CommitAndPivot,
        Self::CommitAndCancel,
        Self::CopyAndPivot,
        Self::CopyAndCancel,
        Self::PushBackup,
        Self::PullBackup,
    ];

    /// Whether the job goes on, once it is ready, until it is told to end.
    pub(crate) fn is_mirror(self) -> bool {
        self.is_active_commit() || self.is_copy()
    }

    /// Whether its client pivots if nothing comes between.
    pub(crate) fn pivots(self) -> bool {
        matches!(self, Self::CommitAndPivot | Self::CopyAndPivot)
    }

    /// Whether it is a job of the domain, and leaves its disks as they are.
    pub(crate) fn is_backup(self) -> bool {
        matches!(self, Self::PushBackup | Self::PullBackup)
    }

    pub(crate) fn is_pull(self) -> bool {
        matches!(self, Self::Pull | Self::PartialPull)
    }

    pub(crate) fn is_active_commit(self) -> bool {
        matches!(self, Self::CommitAndPivot | Self::CommitAndCancel)
    }

    pub(crate) fn is_copy(self) -> bool {
        matches!(self, Self::CopyAndPivot | Self::CopyAndCancel)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pull => "pull",
            Self::PartialPull => "partial-pull",
            Self::InnerCommit => "inner-commit",
            Self::CommitAndPivot => "commit-pivot",
            Self::CommitAndCancel => "commit-cancel",
            Self::CopyAndPivot => "copy-pivot",
            Self::CopyAndCancel => "copy-cancel",
            Self::PushBackup => "push-backup",
            Self::PullBackup => "pull-backup",
        })
    }
}

/// An operation on a certain chain.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) operation: Operation,
    pub(crate) chain: Chain,
    pub(crate) life: Life,
    /// Of commits and copies of the active image: leaves what is below it alone.
    pub(crate) shallow: bool,
    /// Of copies: each write waits for the destination, too.
    pub(crate) synchronous: bool,
    /// Of copies: the destination is there already.
    pub(crate) reuse: bool,
    pub(crate) bandwidth: Bandwidth,
}

impl Work {
    /// Starts it on the disk that has the chain.
    pub(crate) async fn start(&self, disk: &Disk) -> Result<BlockJob, Error> {
        let bandwidth = self.bandwidth;
        match self.operation {
            Operation::Pull => disk.pull().bandwidth(bandwidth).start().await,
            Operation::PartialPull => {
                let base = self.path("base");
                disk.pull().bandwidth(bandwidth).base(base).start().await
            }
            Operation::InnerCommit => {
                let commit = disk.commit_inner(self.path("mid"), self.path("base"));
                commit.bandwidth(bandwidth).start().await
            }
            Operation::CommitAndPivot | Operation::CommitAndCancel => {
                let commit = disk.commit_active().bandwidth(bandwidth);
                let commit = if self.shallow {
                    commit.shallow()
                } else {
                    commit
                };
                commit.start().await
            }
            _ => self.copy(disk).await,
        }
    }

    async fn copy(&self, disk: &Disk) -> Result<BlockJob, Error> {
        let to = CopyDestination::file(self.path("copy")).format("qcow2");
        let mut copy = disk.copy(to).bandwidth(self.bandwidth);
        if self.shallow {
            copy = copy.shallow();
        }
        if self.reuse {
            copy = copy.reuse_external();
        }
        if self.synchronous {
            copy = copy.synchronous_writes();
        }
        if self.life == Life::Persistent {
            copy = copy.transient_job();
        }
        copy.start().await
    }

    /// The images that the disk stands on before, the active one first.
    pub(crate) fn before(&self) -> Vec<PathBuf> {
        self.images(&["top", "mid", "base"])
    }

    /// The images that the disk stands on if all is done.
    pub(crate) fn after(&self) -> Vec<PathBuf> {
        self.images(match self.operation {
            Operation::Pull => &["top"],
            Operation::PushBackup | Operation::PullBackup => return self.before(),
            Operation::PartialPull | Operation::InnerCommit => &["top", "base"],
            operation if operation.is_active_commit() && self.shallow => &["mid", "base"],
            operation if operation.is_active_commit() => &["base"],
            _ if self.shallow => &["copy", "mid", "base"],
            _ => &["copy"],
        })
    }

    /// Where a copy or a backup goes to.
    pub(crate) fn destination(&self) -> PathBuf {
        self.chain.image("copy")
    }

    fn images(&self, layers: &[&str]) -> Vec<PathBuf> {
        layers.iter().map(|layer| self.chain.image(layer)).collect()
    }

    pub(crate) fn path(&self, layer: &str) -> String {
        self.chain.image(layer).to_string_lossy().into_owned()
    }
}
