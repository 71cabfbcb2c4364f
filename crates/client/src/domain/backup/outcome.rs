use std::fmt;

use virtwire_protocol::constants::DomainJobType;

use super::BackupStats;
use crate::{DomainStatus, VanishedReason};

/// How a backup ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BackupOutcome {
    /// The daemon says that the backup did what it was to do: in push mode everything is written;
    /// in pull mode it was ended in order, whatever was fetched by then.
    Completed,
    /// The daemon says that the backup was cancelled. What it has written is of no use, and files
    /// that the daemon made are gone.
    Cancelled,
    /// The daemon says that the backup did not do what it was to do.
    Failed(Box<BackupFailure>),
    /// The backup is gone, or out of sight, and nobody said how it ended. It may have completed and
    /// it may not: do not rely on what it has written.
    Vanished(Box<BackupEvidence>),
}

/// What is known of the failure of a backup.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackupFailure {
    /// What went wrong, in the hypervisor's words.
    pub message: Option<String>,
    /// Whether the domain does not run any more: then that is the cause.
    pub domain_stopped: bool,
    /// The last figures.
    pub stats: BackupStats,
}

/// What is known of a backup whose end nobody announced.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackupEvidence {
    /// Why there was no announcement.
    pub reason: VanishedReason,
    /// The last figures that were seen.
    pub last_stats: Option<BackupStats>,
    /// What the daemon says afterwards of the last backup of the domain that is over, which cannot
    /// have been this one.
    pub other: Option<(DomainJobType, BackupStats)>,
    /// The domain's state afterwards, when it could be asked.
    pub domain: Option<DomainStatus>,
}

impl BackupEvidence {
    pub(super) fn new(reason: VanishedReason, last_stats: Option<BackupStats>) -> Self {
        Self {
            reason,
            last_stats,
            other: None,
            domain: None,
        }
    }
}

impl fmt::Display for BackupOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Vanished(evidence) => write!(f, "vanished: {}", evidence.reason),
        }
    }
}

impl fmt::Display for BackupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => f.write_str(message),
            None if self.domain_stopped => f.write_str("the domain stopped"),
            None => f.write_str("the daemon does not say why"),
        }
    }
}
