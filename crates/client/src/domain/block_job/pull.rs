use virtwire_protocol::constants::{
    DomainBlockJobType, DomainBlockPullFlags, DomainBlockRebaseFlags, DomainXmlFlags,
};
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use super::BlockJob;
use super::monitor::Monitor;
use crate::{Bandwidth, Disk, Error};

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

    /// Starts the job.
    ///
    /// The events that announce its end are asked for first, so none can be missed.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk; `OPERATION_INVALID` when it does not run;
    /// `OPERATION_UNSUPPORTED` when another job runs on the disk, `BLOCK_COPY_ACTIVE` when that
    /// is a copy. After an error whose [`execution`](Error::execution) is `MaybeExecuted` the job
    /// may run nonetheless.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job may or may not have been started.
    pub async fn start(self) -> Result<BlockJob, Error> {
        let disk = self.named_by_target().await?;
        let monitor = Monitor::prepare(&disk, DomainBlockJobType::PULL).await?;
        self.send().await?;
        Ok(monitor.started())
    }

    /// The disk under its target name, which is what the events use. A disk that is not in the
    /// XML keeps its name: the daemon's refusal says more than ours could.
    async fn named_by_target(&self) -> Result<Disk, Error> {
        let domain = self.disk.domain();
        let path = self.disk.path();
        let disks = domain.disks(DomainXmlFlags::empty()).await?;
        let by_source = || {
            let has_path = |disk: &&crate::DiskDescription| {
                disk.source.as_ref().and_then(|source| source.path()) == Some(path)
            };
            disks.iter().find(has_path)
        };
        let found = disks
            .iter()
            .find(|disk| disk.target == path)
            .or_else(by_source);
        Ok(domain.disk(found.map_or(path, |disk| disk.target.as_str())))
    }

    async fn send(&self) -> Result<(), Error> {
        let dom = self.disk.domain().wire();
        let path = Str::from(self.disk.path());
        let bandwidth = self.bandwidth.to_wire_bytes();
        let Some(base) = &self.base else {
            let flags = DomainBlockPullFlags::BANDWIDTH_BYTES.bits();
            let args = remote::DomainBlockPullArgs {
                dom,
                path,
                bandwidth,
                flags,
            };
            let started = self.disk.call::<remote::DomainBlockPull>(&args).await;
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
        let started = self.disk.call::<remote::DomainBlockRebase>(&args).await;
        started.map(drop)
    }
}
