use virtwire_protocol::constants::{
    DomainBlockJobType, DomainBlockPullFlags, DomainBlockRebaseFlags,
};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use super::BlockJob;
use super::plan::{Draft, Obstacle, Plan, kept};
use super::start::{Startable, start};
use super::subject::Subject;
use crate::{Bandwidth, Disk, DiskDescription, Error};

/// A block pull that is not started yet: it copies the data of the backing chain into the disk,
/// which afterwards needs the chain no more.
#[derive(Debug, Clone)]
#[must_use = "a pull does nothing until it is started"]
pub struct Pull {
    disk: Disk,
    bandwidth: Bandwidth,
    base: Option<String>,
    relative: bool,
}

impl Pull {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            bandwidth: Bandwidth::UNLIMITED,
            base: None,
            relative: false,
        }
    }

    /// Limits the job; the default is no limit.
    pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Pulls the layers above `base` only and keeps `base` as the backing image. Named by its
    /// path, or by its index as in `vda[3]`.
    #[doc(alias = "virDomainBlockRebase")]
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Keeps the reference to the base relative, as it is in the chain now. Of use with
    /// [`base`](Self::base) only.
    pub fn keep_relative(mut self) -> Self {
        self.relative = true;
        self
    }

    /// Says what [`start`](Self::start) would do and what is in its way. Nothing is changed.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone, and whatever else keeps the daemon from answering.
    pub async fn plan(&self) -> Result<Plan, Error> {
        let draft = Draft::read(&self.disk, DomainBlockJobType::PULL).await?;
        Ok(draft.finish(|plan, disk| {
            if disk.backing_known && disk.backing.is_empty() {
                plan.obstacles.push(Obstacle::NothingToDo);
            }
            let Some(base) = &self.base else {
                plan.keep(disk, |position| position == 0);
                return;
            };
            match plan.find(disk, base) {
                Some(0) => plan.obstacles.push(Obstacle::NotBelow {
                    image: base.clone(),
                    other: disk.target.clone(),
                }),
                Some(1) => plan.obstacles.push(Obstacle::NothingToDo),
                Some(kept) => plan.keep(disk, |position| position == 0 || position >= kept),
                None => {}
            }
        }))
    }

    /// Starts the job.
    ///
    /// The events that announce its end are asked for first, so none can be missed.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk; `OPERATION_INVALID` when it does not run;
    /// `OPERATION_UNSUPPORTED` when another job runs on the disk, `BLOCK_COPY_ACTIVE` when that
    /// is a copy. After an error whose [`execution`](Error::execution) is `MaybeExecuted` the job
    /// may run nonetheless; [`BlockJob::attach`] finds it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job may or may not have been started.
    pub async fn start(self) -> Result<BlockJob, Error> {
        start(&self).await
    }
}

impl Startable for Pull {
    const KIND: DomainBlockJobType = DomainBlockJobType::PULL;

    fn disk(&self) -> &Disk {
        &self.disk
    }

    fn check(&self, subject: &mut Subject) -> Result<(), Error> {
        let base = |disk: &DiskDescription| match &self.base {
            None => Some(usize::MAX),
            Some(base) => disk.position(base),
        };
        subject.after = subject.before.as_ref().and_then(|disk| {
            let base = base(disk)?;
            Some(kept(disk, |position| position == 0 || position >= base))
        });
        Ok(())
    }

    async fn send(&self, disk: &Disk) -> Result<(), Error> {
        let dom = disk.domain().wire();
        let path = Str::from(disk.path());
        let bandwidth = self.bandwidth.to_wire_bytes();
        let Some(base) = &self.base else {
            let flags = DomainBlockPullFlags::BANDWIDTH_BYTES.bits();
            let args = remote::DomainBlockPullArgs {
                dom,
                path,
                bandwidth,
                flags,
            };
            let started = disk.call::<remote::DomainBlockPull>(&args).await;
            return started.map(drop);
        };
        let mut flags = DomainBlockRebaseFlags::BANDWIDTH_BYTES;
        flags.set(DomainBlockRebaseFlags::RELATIVE, self.relative);
        let args = remote::DomainBlockRebaseArgs {
            dom,
            path,
            base: Some(Str::from(base)),
            bandwidth,
            flags: flags.bits(),
        };
        let started = disk.call::<remote::DomainBlockRebase>(&args).await;
        started.map(drop)
    }
}
