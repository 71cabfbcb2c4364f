//! What a job would do and what is in its way, as data.

use std::fmt;

use virtwire_protocol::constants::{DomainBlockJobType, DomainXmlFlags, ErrorCode};

use super::subject::{described, find};
use super::{BlockJobInfo, CommitBase};
use crate::{Disk, DiskDescription, Error, Source};

/// What a job would do, found out without changing anything.
///
/// Between the plan and the start things may change: the daemon has the last word.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The kind of job.
    pub kind: DomainBlockJobType,
    /// The disk as it is now; `None` when the domain has no such disk.
    pub disk: Option<DiskDescription>,
    /// The images of the disk once the job has done its work, the active one first; empty where
    /// something is in the way of knowing. An image that the XML gives no source of is `None`.
    pub after: Vec<Option<Source>>,
    /// What keeps the job from being started.
    pub obstacles: Vec<Obstacle>,
}

/// Something that keeps a job from being started.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The domain does not run.
    DomainNotRunning,
    /// The domain has no such disk.
    NoSuchDisk,
    /// The drive is empty.
    NoImage,
    /// A job runs on the disk already: `BACKUP` for one of a backup tool.
    JobRunning(BlockJobInfo),
    /// The chain has no such image. Refresh what libvirt knows of it if it ought to.
    NotInChain {
        /// The image, as it was named.
        image: String,
    },
    /// An image is not below the other, as it has to be.
    NotBelow {
        /// The image that has to be below.
        image: String,
        /// The other one.
        other: String,
    },
    /// The top of an inner commit is the active image, whose commit is
    /// [another job](Disk::commit_active).
    TopIsActive,
    /// There are no images below that the job could be about.
    NothingToDo,
    /// The guest can only read the disk.
    ReadOnly,
    /// Several domains use the disk, which a copy cannot take along.
    Shareable,
    /// The format of an existing destination has to be stated: to guess it from the guest's data
    /// would let the guest choose.
    FormatUnknown,
    /// A raw image cannot stand on another, so a shallow copy cannot go there.
    RawCannotBeShallow,
    /// A shallow copy into an existing image would lose data with synchronous writes:
    /// [why](super::BlockCopy::synchronous_writes).
    SynchronousOverBacking,
    /// The domain has a definition, and a copy would not survive a restart from it: make the job
    /// [transient](super::BlockCopy::transient_job).
    DomainPersistent,
}

impl Plan {
    /// Whether nothing is known that keeps the job from being started.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Where an image is in the chain; noted when it is not.
    pub(super) fn find(&mut self, disk: &DiskDescription, image: &str) -> Option<usize> {
        let position = disk.position(image);
        if position.is_none() {
            let image = image.to_owned();
            self.obstacles.push(Obstacle::NotInChain { image });
        }
        position
    }

    /// Where a base is in the chain; noted when it is not.
    pub(super) fn base(
        &mut self,
        disk: &DiskDescription,
        base: &CommitBase,
        top: usize,
    ) -> Option<usize> {
        let position = match base {
            CommitBase::Lowest => disk.backing.len(),
            CommitBase::NextBelow => top.saturating_add(1),
            CommitBase::Image(image) => self.find(disk, image)?,
        };
        if position > disk.backing.len() {
            self.obstacles.push(Obstacle::NothingToDo);
            return None;
        }
        Some(position)
    }

    /// Of the chain as it is now, these images will be left.
    pub(super) fn keep(&mut self, disk: &DiskDescription, is_kept: impl Fn(usize) -> bool) {
        self.after = kept(disk, is_kept);
    }
}

/// These images of the chain as it is now.
pub(super) fn kept(disk: &DiskDescription, is_kept: impl Fn(usize) -> bool) -> Vec<Option<Source>> {
    let images = disk.chain().enumerate();
    let kept = images.filter(|(position, _)| is_kept(*position));
    kept.map(|(_, source)| source.cloned()).collect()
}

/// What has been read for a plan.
#[derive(Debug)]
pub(super) struct Draft {
    plan: Plan,
    pub(super) persistent: bool,
}

impl Draft {
    /// Reads what every plan needs.
    pub(super) async fn read(disk: &Disk, kind: DomainBlockJobType) -> Result<Self, Error> {
        let domain = disk.domain();
        let (described, persistent, job) = tokio::join!(
            described(domain, DomainXmlFlags::empty()),
            domain.is_persistent(),
            disk.job_info(),
        );
        let (described, persistent) = (described?, persistent?);
        let mut obstacles = Vec::new();
        if described.id.is_none() {
            obstacles.push(Obstacle::DomainNotRunning);
        }
        let found = find(described.disks, disk.path());
        match &found {
            None => obstacles.push(Obstacle::NoSuchDisk),
            Some(disk) if disk.source.is_none() => obstacles.push(Obstacle::NoImage),
            Some(_) => {}
        }
        match job {
            Ok(Some(job)) => obstacles.push(Obstacle::JobRunning(job)),
            Ok(None) => {}
            // What is said of a domain that does not run, and of a disk that is not there.
            Err(error)
                if error.has_code(ErrorCode::OPERATION_INVALID)
                    || error.has_code(ErrorCode::INVALID_ARG) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            plan: Plan {
                kind,
                disk: found,
                after: Vec::new(),
                obstacles,
            },
            persistent,
        })
    }

    /// Completes the plan with what depends on the job, if there is a disk.
    pub(super) fn finish(self, complete: impl FnOnce(&mut Plan, &DiskDescription)) -> Plan {
        let mut plan = self.plan;
        if let Some(disk) = plan.disk.clone() {
            complete(&mut plan, &disk);
        }
        plan
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DomainNotRunning => f.write_str("the domain does not run"),
            Self::NoSuchDisk => f.write_str("the domain has no such disk"),
            Self::NoImage => f.write_str("the drive is empty"),
            Self::JobRunning(info) => match info.kind.name() {
                Some(name) => write!(f, "a job of kind {name} runs on the disk"),
                None => write!(f, "a job of kind {} runs on the disk", info.kind.0),
            },
            Self::NotInChain { image } => write!(f, "{image} is not in the disk's chain"),
            Self::NotBelow { image, other } => write!(f, "{image} is not below {other}"),
            Self::TopIsActive => f.write_str("the top is the active image"),
            Self::NothingToDo => f.write_str("there is no image below to work on"),
            Self::ReadOnly => f.write_str("the disk is read-only"),
            Self::Shareable => f.write_str("the disk is shared with other domains"),
            Self::FormatUnknown => f.write_str("the destination's format is not stated"),
            Self::RawCannotBeShallow => f.write_str("a raw image cannot stand on another"),
            Self::SynchronousOverBacking => f.write_str(
                "synchronous writes would lose data in an existing image that stands on another",
            ),
            Self::DomainPersistent => {
                f.write_str("the domain is persistent and the job is not transient")
            }
        }
    }
}
