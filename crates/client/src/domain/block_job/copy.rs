use virtwire_protocol::constants::names::{
    DOMAIN_BLOCK_COPY_BANDWIDTH, DOMAIN_BLOCK_COPY_BUF_SIZE, DOMAIN_BLOCK_COPY_GRANULARITY,
};
use virtwire_protocol::constants::{DomainBlockCopyFlags, DomainBlockJobType};
use virtwire_protocol::remote::{self, TypedParam, TypedParamValue};
use virtwire_xdr::Str;

use super::plan::{Draft, Obstacle, Plan};
use super::start::{Startable, start};
use super::subject::Subject;
use super::{BlockJob, CopyDestination};
use crate::error::Cause;
use crate::{Bandwidth, Disk, Error};

/// A copy of a disk that is not started yet. Once its destination is equal to the disk it is kept
/// so, until the guest is [pivoted](BlockJob::pivot) to it or the job is cancelled, which leaves
/// the destination as a copy of that moment.
#[derive(Debug, Clone)]
#[must_use = "a copy does nothing until it is started"]
pub struct BlockCopy {
    disk: Disk,
    to: CopyDestination,
    flags: DomainBlockCopyFlags,
    bandwidth: Bandwidth,
    granularity: Option<u32>,
    buffer_size: Option<u64>,
}

impl BlockCopy {
    pub(crate) fn new(disk: Disk, to: CopyDestination) -> Self {
        Self {
            disk,
            to,
            flags: DomainBlockCopyFlags::empty(),
            bandwidth: Bandwidth::UNLIMITED,
            granularity: None,
            buffer_size: None,
        }
    }

    /// Copies the active image only; the destination stands on the same backing image.
    pub fn shallow(self) -> Self {
        self.with(DomainBlockCopyFlags::SHALLOW)
    }

    /// Copies into an image that is there already, of the disk's size and a stated
    /// [format](CopyDestination::format).
    pub fn reuse_external(self) -> Self {
        self.with(DomainBlockCopyFlags::REUSE_EXT)
    }

    /// Accepts that the job does not survive a restart of the guest, which a domain with a
    /// definition needs. Since libvirt 3.5.0.
    pub fn transient_job(self) -> Self {
        self.with(DomainBlockCopyFlags::TRANSIENT_JOB)
    }

    /// Has each write of the guest go to both images before the guest is told that it is done, so
    /// that the copy cannot be outrun. Since libvirt 8.0.0.
    ///
    /// Refused for a [shallow](Self::shallow) copy into an [existing](Self::reuse_external) image,
    /// unless that is raw: QEMU opens it without what it stands on, and leaves zeros around each
    /// write into a cluster that only the images below have (seen up to QEMU 11.1.3).
    pub fn synchronous_writes(self) -> Self {
        self.with(DomainBlockCopyFlags::SYNCHRONOUS_WRITES)
    }

    /// Limits the job; the default is no limit.
    pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
        self.bandwidth = bandwidth;
        self
    }

    /// Remembers what the guest has written in pieces of this many bytes, a power of two; the
    /// default is the hypervisor's.
    pub fn granularity(mut self, bytes: u32) -> Self {
        self.granularity = Some(bytes);
        self
    }

    /// Copies at most this many bytes at once; the default is the hypervisor's.
    pub fn buffer_size(mut self, bytes: u64) -> Self {
        self.buffer_size = Some(bytes);
        self
    }

    fn with(mut self, flag: DomainBlockCopyFlags) -> Self {
        self.flags |= flag;
        self
    }

    /// Says what [`start`](Self::start) would do and what is in its way. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`Pull::plan`](super::Pull::plan); kind `InvalidInput` for what [`start`](Self::start)
    /// refuses by itself.
    pub async fn plan(&self) -> Result<Plan, Error> {
        self.check_figures()?;
        let (source, format) = self.to.described()?;
        let loses_data = self.would_lose_data(format.as_deref());
        let draft = Draft::read(&self.disk, DomainBlockJobType::COPY).await?;
        let persistent = draft.persistent;
        Ok(draft.finish(|plan, disk| {
            let has = |flag| self.flags.contains(flag);
            if disk.shareable && !disk.read_only {
                plan.obstacles.push(Obstacle::Shareable);
            }
            if persistent && !has(DomainBlockCopyFlags::TRANSIENT_JOB) {
                plan.obstacles.push(Obstacle::DomainPersistent);
            }
            let reuse = has(DomainBlockCopyFlags::REUSE_EXT);
            if reuse && format.is_none() {
                plan.obstacles.push(Obstacle::FormatUnknown);
            }
            if loses_data {
                plan.obstacles.push(Obstacle::SynchronousOverBacking);
            }
            // Where nothing is below, a shallow copy is a whole one.
            let shallow = has(DomainBlockCopyFlags::SHALLOW) && !disk.backing.is_empty();
            if shallow && !reuse && format.as_deref() == Some("raw") {
                plan.obstacles.push(Obstacle::RawCannotBeShallow);
            }
            plan.keep(disk, |position| shallow && position > 0);
            plan.after.insert(0, source);
        }))
    }

    /// Starts the job. It has to be [pivoted](BlockJob::pivot) or cancelled at its end.
    ///
    /// # Errors
    ///
    /// As [`Pull::start`](super::Pull::start); `OPERATION_INVALID` also for a domain with a
    /// definition whose job is not [transient](Self::transient_job). Kind `InvalidInput`, and
    /// nothing is sent, for a granularity that is no power of two, an existing destination of
    /// which no format is stated, [synchronous writes](Self::synchronous_writes) that would lose
    /// data, and raw XML that is no `<disk>`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job may or may not have been started.
    #[doc(alias = "virDomainBlockCopy")]
    pub async fn start(self) -> Result<BlockJob, Error> {
        self.check_figures()?;
        let (_, format) = self.to.described()?;
        if self.flags.contains(DomainBlockCopyFlags::REUSE_EXT) && format.is_none() {
            return Err(Error::from(Cause::InvalidInput {
                what: "a copy into an existing image",
                limit: "a destination of a stated format",
                given: "none".to_owned(),
            }));
        }
        if self.would_lose_data(format.as_deref()) {
            return Err(Error::from(Cause::InvalidInput {
                what: "a shallow copy with synchronous writes",
                limit: "a destination that libvirt creates, or a raw one: QEMU would lose data",
                given: "an existing image of another format".to_owned(),
            }));
        }
        start(&self).await
    }

    /// Whether QEMU would put zeros where the guest has not written.
    fn would_lose_data(&self, format: Option<&str>) -> bool {
        let such = DomainBlockCopyFlags::SHALLOW
            | DomainBlockCopyFlags::REUSE_EXT
            | DomainBlockCopyFlags::SYNCHRONOUS_WRITES;
        self.flags.contains(such) && format != Some("raw")
    }

    fn check_figures(&self) -> Result<(), Error> {
        match self.granularity {
            Some(bytes) if !bytes.is_power_of_two() => Err(Error::from(Cause::InvalidInput {
                what: "the granularity of a copy",
                limit: "a power of two",
                given: bytes.to_string(),
            })),
            _ => Ok(()),
        }
    }

    /// The parameters of the call. Their types matter, and the bandwidth is in bytes per second
    /// here whatever the flags say.
    fn params(&self) -> Vec<TypedParam<'static>> {
        let figures = [
            self.bandwidth
                .bytes()
                .map(|bytes| (DOMAIN_BLOCK_COPY_BANDWIDTH, TypedParamValue::Ullong(bytes))),
            self.granularity
                .map(|bytes| (DOMAIN_BLOCK_COPY_GRANULARITY, TypedParamValue::Uint(bytes))),
            self.buffer_size
                .map(|bytes| (DOMAIN_BLOCK_COPY_BUF_SIZE, TypedParamValue::Ullong(bytes))),
        ];
        let param = |(name, value)| TypedParam {
            field: Str::from(name),
            value,
        };
        figures.into_iter().flatten().map(param).collect()
    }
}

impl Startable for BlockCopy {
    const KIND: DomainBlockJobType = DomainBlockJobType::COPY;

    fn disk(&self) -> &Disk {
        &self.disk
    }

    fn check(&self, subject: &mut Subject) -> Result<(), Error> {
        subject.destination = self.to.described()?.0;
        Ok(())
    }

    async fn send(&self, disk: &Disk) -> Result<(), Error> {
        let xml = self.to.to_xml();
        let args = remote::DomainBlockCopyArgs {
            dom: disk.domain().wire(),
            path: Str::from(disk.path()),
            destxml: Str::from(&xml),
            params: self.params(),
            flags: self.flags.bits(),
        };
        let started = disk.call::<remote::DomainBlockCopy>(&args).await;
        started.map(drop)
    }
}
