//! One disk of a domain.

use std::future::Future;

use virtwire_protocol::constants::{
    DomainBlockJobAbortFlags, DomainBlockJobInfoFlags, DomainBlockJobSetSpeedFlags,
};
use virtwire_protocol::{Procedure, remote};
use virtwire_xdr::Str;

use super::block_job::{
    BlockCopy, BlockJobInfo, CommitActive, CommitBase, CommitInner, CopyDestination, Pull,
};
use crate::{Bandwidth, Domain, Error, Reply};

/// One disk of a domain, named by its target (`vda`) or by a source path that no other disk has.
///
/// Prefer the target: a source path changes when a job pivots.
///
/// One image of the disk's chain has the name `vda[3]`, by its [index](crate::Layer::index). It can
/// be the top or the base of a job, and what a [threshold](Self::set_threshold) is set on; a job is
/// always one of the whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    domain: Domain,
    path: String,
}

/// The sizes of a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// What the guest sees.
    pub capacity: u64,
    /// What the image takes on the host's storage.
    pub allocation: u64,
    /// How far into the file or device the image reaches.
    pub physical: u64,
}

impl Disk {
    pub(crate) fn new(domain: Domain, path: String) -> Self {
        Self { domain, path }
    }

    /// Calls a procedure about this disk, which errors name.
    pub(crate) fn call<P: Procedure>(
        &self,
        args: &P::Args<'_>,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + Send + use<'_, P> {
        let object = || Some(format!("{} of {}", self.path, self.domain.name()));
        let connection = self.domain.connection();
        connection.call_about::<P, _>(args, object)
    }

    /// The domain that has the disk.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The target or path that names the disk.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The sizes of the disk.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk.
    #[doc(alias = "virDomainGetBlockInfo")]
    pub async fn info(&self) -> Result<BlockInfo, Error> {
        let args = remote::DomainGetBlockInfoArgs {
            dom: self.domain.wire(),
            path: Str::from(&self.path),
            flags: 0,
        };
        let reply = self.call::<remote::DomainGetBlockInfo>(&args).await?;
        let info = reply.decode()?;
        Ok(BlockInfo {
            capacity: info.capacity,
            allocation: info.allocation,
            physical: info.physical,
        })
    }

    /// A pull of the backing chain's data into this disk, not started yet.
    #[doc(alias = "virDomainBlockPull")]
    pub fn pull(&self) -> Pull {
        Pull::new(self.clone())
    }

    /// A commit of this disk's active image into one below it, not started yet. At its end the
    /// guest has to be [pivoted](crate::BlockJob::pivot) to that.
    #[doc(alias = "virDomainBlockCommit")]
    pub fn commit_active(&self) -> CommitActive {
        CommitActive::new(self.clone())
    }

    /// A commit of inner images of this disk, from `top` down to above `base`, into `base`; not
    /// started yet. Images are named by their paths, or by their indexes as in `vda[3]`.
    #[doc(alias = "virDomainBlockCommit")]
    pub fn commit_inner(&self, top: impl Into<String>, base: impl Into<CommitBase>) -> CommitInner {
        CommitInner::new(self.clone(), top.into(), base.into())
    }

    /// A copy of this disk, not started yet; a text is the path of a file.
    ///
    /// This is also what `virDomainBlockRebase` does with its flag `COPY`, less well: it cannot
    /// be told the destination's format, and fails for every domain that has a definition.
    #[doc(alias = "virDomainBlockCopy")]
    #[doc(alias = "virDomainBlockRebase")]
    pub fn copy(&self, to: impl Into<CopyDestination>) -> BlockCopy {
        BlockCopy::new(self.clone(), to.into())
    }

    /// What the block job of this disk is doing; `None` when libvirt runs none on it, which says
    /// nothing about how an earlier one ended.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk, `OPERATION_INVALID` when it does not run.
    #[doc(alias = "virDomainGetBlockJobInfo")]
    pub async fn job_info(&self) -> Result<Option<BlockJobInfo>, Error> {
        let args = remote::DomainGetBlockJobInfoArgs {
            dom: self.domain.wire(),
            path: Str::from(&self.path),
            flags: DomainBlockJobInfoFlags::BANDWIDTH_BYTES.bits(),
        };
        let reply = self.call::<remote::DomainGetBlockJobInfo>(&args).await?;
        Ok(BlockJobInfo::from_wire(&reply.decode()?))
    }

    /// Limits the running block job, or lifts the limit.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when no job runs on the disk.
    #[doc(alias = "virDomainBlockJobSetSpeed")]
    pub async fn set_job_speed(&self, bandwidth: Bandwidth) -> Result<(), Error> {
        let args = remote::DomainBlockJobSetSpeedArgs {
            dom: self.domain.wire(),
            path: Str::from(&self.path),
            bandwidth: bandwidth.to_wire_bytes(),
            flags: DomainBlockJobSetSpeedFlags::BANDWIDTH_BYTES.bits(),
        };
        self.call::<remote::DomainBlockJobSetSpeed>(&args)
            .await
            .map(drop)
    }

    /// Ends the running block job, whoever started it. With `ASYNC` the daemon answers at once
    /// and the job ends later; without, the answer comes when the job is over. Neither says how
    /// it ended: the event does, which [`BlockJob::cancel`](crate::BlockJob::cancel) waits for.
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when no job runs on the disk; `OPERATION_INVALID` while one is being ended;
    /// `BLOCK_COPY_ACTIVE` for `PIVOT` when the job is not ready for it.
    #[doc(alias = "virDomainBlockJobAbort")]
    pub async fn abort_job(&self, flags: DomainBlockJobAbortFlags) -> Result<(), Error> {
        let args = remote::DomainBlockJobAbortArgs {
            dom: self.domain.wire(),
            path: Str::from(&self.path),
            flags: flags.bits(),
        };
        self.call::<remote::DomainBlockJobAbort>(&args)
            .await
            .map(drop)
    }
}
