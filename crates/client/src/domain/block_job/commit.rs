//! Commits: the data of upper images goes down into a lower one.
//!
//! A commit of the active image has to be pivoted at its end and one of inner images has not, so
//! there is a type for each.

use virtwire_protocol::constants::{DomainBlockCommitFlags, DomainBlockJobType};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use super::BlockJob;
use super::plan::{Draft, Obstacle, Plan, kept};
use super::start::{Startable, start};
use super::subject::Subject;
use crate::error::Cause;
use crate::{Bandwidth, Disk, DiskDescription, Error};

/// A commit of the active image that is not started yet: its data goes into an image below, which
/// the guest uses after the [pivot](BlockJob::pivot).
#[derive(Debug, Clone)]
#[must_use = "a commit does nothing until it is started"]
pub struct CommitActive {
    disk: Disk,
    base: CommitBase,
    options: Options,
}

/// A commit of inner images that is not started yet: the data of the images from `top` down to
/// above `base` goes into `base`, and the image above `top` then stands on `base`. The job ends by
/// itself.
#[derive(Debug, Clone)]
#[must_use = "a commit does nothing until it is started"]
pub struct CommitInner {
    disk: Disk,
    top: String,
    base: CommitBase,
    options: Options,
}

/// The image that the data of a commit goes into.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CommitBase {
    /// The lowest image of the chain.
    #[default]
    Lowest,
    /// The image next below the top.
    NextBelow,
    /// This image, named by its path, or by its index as in `vda[3]`.
    Image(String),
}

impl From<&str> for CommitBase {
    fn from(image: &str) -> Self {
        Self::Image(image.to_owned())
    }
}

impl From<String> for CommitBase {
    fn from(image: String) -> Self {
        Self::Image(image)
    }
}

impl CommitBase {
    /// Where in the chain it is, below a top of that position.
    fn position(&self, disk: &DiskDescription, top: usize) -> Option<usize> {
        match self {
            Self::Lowest => Some(disk.backing.len()),
            Self::NextBelow => Some(top.saturating_add(1)),
            Self::Image(image) => disk.position(image),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Lowest | Self::NextBelow => None,
            Self::Image(image) => Some(image),
        }
    }
}

/// What both have in common.
#[derive(Debug, Clone, Default)]
struct Options {
    bandwidth: Bandwidth,
    delete: bool,
    relative: bool,
}

impl CommitActive {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            base: CommitBase::default(),
            options: Options::default(),
        }
    }

    /// Commits down to this image; the default is the lowest of the chain.
    pub fn base(mut self, base: impl Into<CommitBase>) -> Self {
        self.base = base.into();
        self
    }

    /// Commits into the image next below, and no further: [`CommitBase::NextBelow`].
    pub fn shallow(self) -> Self {
        self.base(CommitBase::NextBelow)
    }

    /// Deletes the images that are not needed any more once the job has been pivoted; since
    /// libvirt 6.0.0, and only those that are local files.
    pub fn delete(mut self) -> Self {
        self.options.delete = true;
        self
    }

    /// Keeps the references inside the chain relative, as they are now.
    pub fn keep_relative(mut self) -> Self {
        self.options.relative = true;
        self
    }

    /// Limits the job; the default is no limit.
    pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.options.bandwidth = bandwidth;
        self
    }

    /// Says what [`start`](Self::start) would do and what is in its way. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`Pull::plan`](super::Pull::plan).
    pub async fn plan(&self) -> Result<Plan, Error> {
        let draft = Draft::read(&self.disk, DomainBlockJobType::ACTIVE_COMMIT).await?;
        Ok(draft.finish(|plan, disk| {
            if disk.read_only {
                plan.obstacles.push(Obstacle::ReadOnly);
            }
            if disk.backing_known && disk.backing.is_empty() {
                plan.obstacles.push(Obstacle::NothingToDo);
                return;
            }
            match plan.base(disk, &self.base, 0) {
                Some(0) => plan.obstacles.push(Obstacle::NotBelow {
                    image: self.base.name().unwrap_or_default().to_owned(),
                    other: disk.target.clone(),
                }),
                Some(base) => plan.keep(disk, |position| position >= base),
                None => {}
            }
        }))
    }

    /// Starts the job. It has to be [pivoted](BlockJob::pivot) or cancelled at its end.
    ///
    /// # Errors
    ///
    /// As [`Pull::start`](super::Pull::start).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job may or may not have been started.
    #[doc(alias = "virDomainBlockCommit")]
    pub async fn start(self) -> Result<BlockJob, Error> {
        start(&self).await
    }
}

impl Startable for CommitActive {
    const KIND: DomainBlockJobType = DomainBlockJobType::ACTIVE_COMMIT;

    fn disk(&self) -> &Disk {
        &self.disk
    }

    fn check(&self, subject: &mut Subject) -> Result<(), Error> {
        let before = subject.before.as_ref();
        subject.destination = before.and_then(|disk| {
            let position = self.base.position(disk, 0)?;
            disk.chain().nth(position).flatten().cloned()
        });
        Ok(())
    }

    async fn send(&self, disk: &Disk) -> Result<(), Error> {
        let flags = self.options.flags() | DomainBlockCommitFlags::ACTIVE;
        commit(disk, None, &self.base, &self.options, flags).await
    }
}

impl CommitInner {
    pub(crate) fn new(disk: Disk, top: String, base: CommitBase) -> Self {
        Self {
            disk,
            top,
            base,
            options: Options::default(),
        }
    }

    /// Deletes the images that are not needed any more once the job has completed; since libvirt
    /// 6.0.0, and only those that are local files.
    pub fn delete(mut self) -> Self {
        self.options.delete = true;
        self
    }

    /// Keeps the reference to the base relative, as the references in the chain are now.
    pub fn keep_relative(mut self) -> Self {
        self.options.relative = true;
        self
    }

    /// Limits the job; the default is no limit.
    pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.options.bandwidth = bandwidth;
        self
    }

    /// Says what [`start`](Self::start) would do and what is in its way. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`Pull::plan`](super::Pull::plan).
    pub async fn plan(&self) -> Result<Plan, Error> {
        let draft = Draft::read(&self.disk, DomainBlockJobType::COMMIT).await?;
        Ok(draft.finish(|plan, disk| {
            let Some(top) = plan.find(disk, &self.top) else {
                return;
            };
            if top == 0 {
                plan.obstacles.push(Obstacle::TopIsActive);
            }
            let Some(base) = plan.base(disk, &self.base, top) else {
                return;
            };
            if base <= top {
                plan.obstacles.push(Obstacle::NotBelow {
                    image: self.base.name().unwrap_or("the base").to_owned(),
                    other: self.top.clone(),
                });
                return;
            }
            plan.keep(disk, |position| position < top || position >= base);
        }))
    }

    /// Starts the job.
    ///
    /// # Errors
    ///
    /// As [`Pull::start`](super::Pull::start); kind `InvalidInput` when `top` is the active image,
    /// whose commit is [another job](Disk::commit_active).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job may or may not have been started.
    #[doc(alias = "virDomainBlockCommit")]
    pub async fn start(self) -> Result<BlockJob, Error> {
        start(&self).await
    }
}

impl Startable for CommitInner {
    const KIND: DomainBlockJobType = DomainBlockJobType::COMMIT;

    fn disk(&self) -> &Disk {
        &self.disk
    }

    fn check(&self, subject: &mut Subject) -> Result<(), Error> {
        let Some(disk) = &subject.before else {
            return Ok(());
        };
        let top = disk.position(&self.top);
        if top != Some(0) {
            let bounds = top.and_then(|top| Some((top, self.base.position(disk, top)?)));
            subject.after =
                bounds.map(|(top, base)| kept(disk, |position| position < top || position >= base));
            return Ok(());
        }
        Err(Error::from(Cause::InvalidInput {
            what: "the top of an inner commit",
            limit: "an image below the active one",
            given: self.top.clone(),
        }))
    }

    async fn send(&self, disk: &Disk) -> Result<(), Error> {
        let flags = self.options.flags();
        commit(disk, Some(&self.top), &self.base, &self.options, flags).await
    }
}

impl Options {
    fn flags(&self) -> DomainBlockCommitFlags {
        let mut flags = DomainBlockCommitFlags::BANDWIDTH_BYTES;
        flags.set(DomainBlockCommitFlags::DELETE, self.delete);
        flags.set(DomainBlockCommitFlags::RELATIVE, self.relative);
        flags
    }
}

async fn commit(
    disk: &Disk,
    top: Option<&str>,
    base: &CommitBase,
    options: &Options,
    mut flags: DomainBlockCommitFlags,
) -> Result<(), Error> {
    flags.set(
        DomainBlockCommitFlags::SHALLOW,
        *base == CommitBase::NextBelow,
    );
    let args = remote::DomainBlockCommitArgs {
        dom: disk.domain().wire(),
        disk: Str::from(disk.path()),
        base: base.name().map(Str::from),
        top: top.map(Str::from),
        bandwidth: options.bandwidth.to_wire_bytes(),
        flags: flags.bits(),
    };
    let started = disk.call::<remote::DomainBlockCommit>(&args).await;
    started.map(drop)
}
