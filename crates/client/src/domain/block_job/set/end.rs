use std::fmt;

use crate::domain::block_job::Outcome;
use crate::{Disk, Error};

/// How the job on one disk of a set ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct DiskEnd {
    /// The disk.
    pub disk: Disk,
    /// How its job ended, or what went wrong with it. One whose pivot was refused or took too long,
    /// and which was cancelled then, has that error.
    pub end: Result<Outcome, Error>,
}

/// How the jobs of a set ended.
#[derive(Debug)]
#[must_use = "jobs that end are not all successful"]
pub struct SetEnd {
    pub(super) disks: Vec<DiskEnd>,
    pub(super) thaw: Option<Error>,
}

impl SetEnd {
    pub(super) fn of(disks: Vec<DiskEnd>) -> Self {
        Self { disks, thaw: None }
    }

    /// How the job on each disk ended, in the order of the set.
    #[must_use]
    pub fn disks(&self) -> &[DiskEnd] {
        &self.disks
    }

    /// As [`disks`](Self::disks), for keeps.
    #[must_use]
    pub fn into_disks(self) -> Vec<DiskEnd> {
        self.disks
    }

    /// Whether every job has done what it was started for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.disks.iter().all(DiskEnd::is_success)
    }

    /// The disks whose jobs have been pivoted, which cannot be taken back.
    pub fn pivoted(&self) -> impl Iterator<Item = &Disk> {
        let pivoted = self.disks.iter().filter(|disk| disk.is_pivoted());
        pivoted.map(|disk| &disk.disk)
    }

    /// Why the guest's filesystems could not be thawed; they may be frozen still.
    #[must_use]
    pub fn thaw_error(&self) -> Option<&Error> {
        self.thaw.as_ref()
    }
}

impl DiskEnd {
    /// Whether the job has done what it was started for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(&self.end, Ok(outcome) if outcome.is_success())
    }

    /// Whether the job was pivoted.
    #[must_use]
    pub fn is_pivoted(&self) -> bool {
        matches!(&self.end, Ok(outcome) if outcome.is_pivoted())
    }
}

impl fmt::Display for DiskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Ok(outcome) => write!(f, "{}: {outcome}", self.disk.path()),
            Err(error) => write!(f, "{}: {error}", self.disk.path()),
        }
    }
}
