//! Starting jobs: what is asked for, checked in libvirt's order, and refused in its words.

use tokio::sync::watch;
use tokio::time::Instant;
use virtwire_protocol::constants::{
    DomainBlockCommitFlags, DomainBlockCopyFlags, DomainBlockRebaseFlags, ErrorCode,
};
use virtwire_protocol::remote::NonnullDomain;

use super::progress::Progress;
use super::{BlockJob, BlockJobFault, JobKey, Phase, Work};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::disk::{
    Chain, Disk, Disks, Layer, Mirror, MirrorJob, disk_elements, no_such_disk, target_of,
};
use crate::hypervisor::image::{Image, system_error};
use crate::hypervisor::model::Model;
use crate::refusal::{Result, invalid, not_valid_now, refusal};

/// `ENOENT`
const NOT_FOUND: (i32, &str) = (2, "No such file or directory");

/// A job that is to be started.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) work: Work,
    /// How much there is to do, in bytes.
    pub(crate) size: u64,
    /// In bytes a second; 0 for none.
    pub(crate) limit: u64,
    /// The image whose number the job's name has.
    pub(crate) named_after: u32,
    /// Where it writes to.
    pub(crate) writes_to: Option<String>,
    pub(crate) mirror: Option<Mirror>,
}

/// Where a copy goes and how.
#[derive(Debug)]
pub(crate) struct CopyTo {
    pub(crate) chain: Chain,
    /// In bytes a second; 0 for none.
    pub(crate) limit: u64,
    pub(crate) flags: DomainBlockCopyFlags,
}

impl Hypervisor {
    /// Starts a pull, of everything above `base` or of everything.
    pub(crate) fn block_pull(
        &mut self,
        dom: &NonnullDomain<'_>,
        path: &str,
        base: Option<&str>,
        bandwidth: u64,
        flags: DomainBlockRebaseFlags,
    ) -> Result<JobKey> {
        let (disks, model) = self.disks_mut(dom)?;
        let disk = disks.get_mut(path)?;
        disk.refuse_when_busy()?;
        disk.refuse_without_jobs()?;
        let relative = flags.contains(DomainBlockRebaseFlags::RELATIVE);
        let base = match base {
            Some(base) => {
                let base = disk.chain.lookup(Some(base), Some(0), &disk.target)?;
                disk.refuse_absolute(relative, 1, base)?;
                Some(base)
            }
            None => None,
        };
        let in_bytes = flags.contains(DomainBlockRebaseFlags::BANDWIDTH_BYTES);
        let limit = bytes_per_second(bandwidth, in_bytes)?;
        let end = base.unwrap_or(disk.chain.layers.len());
        let top = disk.top()?;
        // What the image has itself, it does not need from below.
        let image = disk.image(model);
        let room = image.capacity() - image.data();
        let new = NewJob {
            size: disk.data_between(1, end, model).min(room),
            named_after: top.index,
            writes_to: top.location(),
            work: Work::Pull {
                base: base.and_then(|base| disk.index_of(base)),
                relative,
            },
            limit,
            mirror: None,
        };
        let target = disk.target.clone();
        self.start_job(dom, &target, new)
    }

    /// Starts a commit of `top` and what is below it into `base`.
    pub(crate) fn block_commit(
        &mut self,
        dom: &NonnullDomain<'_>,
        path: &str,
        (base, top): (Option<&str>, Option<&str>),
        bandwidth: u64,
        flags: DomainBlockCommitFlags,
    ) -> Result<JobKey> {
        let in_bytes = flags.contains(DomainBlockCommitFlags::BANDWIDTH_BYTES);
        let limit = bytes_per_second(bandwidth, in_bytes)?;
        let shallow = flags.contains(DomainBlockCommitFlags::SHALLOW);
        if let (None, Some(definition)) = (&self.domain(dom)?.live, &self.domain(dom)?.definition) {
            // libvirt looks for the images first, and knows only those that the definition names.
            let disk = disk_elements(definition).find(|disk| target_of(disk) == Some(path));
            let disk = disk.ok_or_else(|| no_such_disk(path))?;
            Chain::read(disk).stretch(top, base, shallow, path)?;
        }
        let (disks, model) = self.disks_mut(dom)?;
        let disk = disks.get_mut(path)?;
        let (top, base) = disk.chain.stretch(top, base, shallow, &disk.target)?;
        disk.check_commit(top, base, flags)?;
        let new = disk.commit(top, base, flags, limit, model)?;
        let target = disk.target.clone();
        self.start_job(dom, &target, new)
    }

    /// Starts a copy.
    pub(crate) fn block_copy(
        &mut self,
        dom: &NonnullDomain<'_>,
        path: &str,
        mut to: CopyTo,
    ) -> Result<JobKey> {
        let persistent = self.domain(dom)?.definition.is_some();
        let (disks, model) = self.disks_mut(dom)?;
        let disk = disks.get(path)?;
        disk.refuse_when_busy()?;
        disk.refuse_without_jobs()?;
        if persistent && !to.flags.contains(DomainBlockCopyFlags::TRANSIENT_JOB) {
            return Err(not_valid_now("domain is not transient"));
        }
        if disk.chain.layers.len() < 2 {
            to.flags.remove(DomainBlockCopyFlags::SHALLOW);
        }
        let target = disk.target.clone();
        to.prepare(disk, model)?;
        for layer in &mut to.chain.layers {
            layer.index = disks.next_index();
        }
        let disk = disks.get(&target)?;
        let new = to.into_job(disk, model)?;
        self.start_job(dom, &target, new)
    }

    /// The disks of a domain that runs, and how disks behave.
    pub(crate) fn disks_mut(
        &mut self,
        dom: &NonnullDomain<'_>,
    ) -> Result<(&mut Disks, &mut Model)> {
        self.domain(dom)?.live()?;
        let live = self
            .domains
            .get_mut(&dom.uuid)
            .and_then(|it| it.live.as_mut());
        let live = live.ok_or_else(|| not_valid_now("domain is not running"))?;
        Ok((&mut live.disks, &mut self.model))
    }

    /// Starts a job that is known to be possible.
    pub(crate) fn start_job(
        &mut self,
        dom: &NonnullDomain<'_>,
        target: &str,
        new: NewJob,
    ) -> Result<JobKey> {
        let name = self.domain(dom)?.name.clone();
        let mut faults = self.model.take_faults(&name, target);
        let refused = faults
            .iter()
            .position(|it| matches!(it, BlockJobFault::Refuse(_)));
        if let Some(BlockJobFault::Refuse(error)) = refused.map(|at| faults.remove(at)) {
            return Err(error);
        }
        self.model.last_job += 1;
        let serial = self.model.last_job;
        let (disks, model) = self.disks_mut(dom)?;
        let frozen = disks.monitor.is_frozen();
        let disk = disks.get_mut(target)?;
        let mut job = BlockJob::new(serial, &new, disk, model, faults);
        job.freeze(frozen);
        disk.mirror = new.mirror;
        disk.job = Some(job);
        disk.touch();
        Ok(JobKey {
            domain: dom.uuid,
            target: target.to_owned(),
            serial,
        })
    }
}

impl BlockJob {
    fn new(
        serial: u64,
        new: &NewJob,
        disk: &Disk,
        model: &Model,
        faults: Vec<BlockJobFault>,
    ) -> Self {
        let now = Instant::now();
        let begins = now.checked_add(model.pace.latency).unwrap_or(now);
        let word = match new.work {
            Work::Pull { .. } => "pull",
            Work::Commit { .. } | Work::ActiveCommit { .. } => "commit",
            Work::Copy { .. } => "copy",
            Work::Backup { .. } => "backup",
        };
        let (target, node) = (&disk.target, Layer::node_of(new.named_after));
        let mut job = Self {
            serial,
            name: format!("{word}-{target}-{node}"),
            work: new.work.clone(),
            phase: Phase::Running,
            since: now,
            begins,
            progress: Progress::new(begins, new.size, 0, 0),
            size: new.size,
            capacity: disk.image(model).capacity(),
            limit: new.limit,
            pace: model.pace,
            writes_to: new.writes_to.clone(),
            faults,
            error: None,
            synchronous: false,
            frozen: false,
            nudge: watch::Sender::new(()),
            ended: watch::Sender::new(None),
        };
        job.set_rates(disk.writes.rate());
        job
    }
}

impl Disk {
    /// The number of the image at a place of the chain.
    fn index_of(&self, position: usize) -> Option<u32> {
        self.chain.layers.get(position).map(|layer| layer.index)
    }

    /// Refuses to keep names relative that are not.
    fn refuse_absolute(&self, relative: bool, first: usize, last: usize) -> Result<()> {
        let layers = self.chain.layers.get(first..=last).unwrap_or_default();
        if relative && layers.iter().any(|layer| layer.relative.is_none()) {
            return Err(not_valid_now("can't keep relative backing relationship"));
        }
        Ok(())
    }

    fn check_commit(&self, top: usize, base: usize, flags: DomainBlockCommitFlags) -> Result<()> {
        self.refuse_without_jobs()?;
        let target = &self.target;
        let Some(layer) = self.chain.layers.get(top) else {
            let about = format!("disk {target} has no source file to be committed");
            return Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about));
        };
        self.refuse_when_busy()?;
        let path = layer.path().unwrap_or_default();
        let active = flags.contains(DomainBlockCommitFlags::ACTIVE);
        match (top, active) {
            (0, false) => {
                let about = format!("commit of '{target}' active layer requires active flag");
                return Err(invalid(about));
            }
            (1.., true) => {
                let about = format!("active commit requested but '{path}' is not active");
                return Err(invalid(about));
            }
            _ => {}
        }
        let source = self.source().unwrap_or_default();
        let Some(below) = self.chain.layers.get(base) else {
            let about = format!("top '{path}' in chain for '{source}' has no backing file");
            return Err(invalid(about));
        };
        if flags.contains(DomainBlockCommitFlags::SHALLOW) && base != top + 1 {
            let below = below.path().unwrap_or_default();
            return Err(invalid(format!(
                "base '{below}' is not immediately below '{path}' in chain for '{source}'"
            )));
        }
        let relative = flags.contains(DomainBlockCommitFlags::RELATIVE);
        self.refuse_absolute(relative && top > 0, top, base)
    }

    fn commit(
        &self,
        top: usize,
        base: usize,
        flags: DomainBlockCommitFlags,
        limit: u64,
        model: &Model,
    ) -> Result<NewJob> {
        let of = |at: usize| self.chain.layers.get(at).ok_or_else(|| invalid("no image"));
        let (upper, lower) = (of(top)?, of(base)?);
        let delete = flags.contains(DomainBlockCommitFlags::DELETE);
        let (work, mirror) = if top == 0 {
            let chain = Chain {
                layers: vec![lower.clone()],
                terminated: false,
            };
            let mirror = Mirror::new(chain, MirrorJob::ActiveCommit);
            let base = lower.index;
            (Work::ActiveCommit { base, delete }, Some(mirror))
        } else {
            let work = Work::Commit {
                top: upper.index,
                base: lower.index,
                delete,
                relative: flags.contains(DomainBlockCommitFlags::RELATIVE),
            };
            (work, None)
        };
        Ok(NewJob {
            work,
            size: self.data_between(top, base, model),
            limit,
            named_after: upper.index,
            writes_to: lower.location(),
            mirror,
        })
    }
}

impl CopyTo {
    /// Finds out or makes up what the destination leaves open, and makes the image.
    fn prepare(&mut self, disk: &Disk, model: &mut Model) -> Result<()> {
        let shallow = self.flags.contains(DomainBlockCopyFlags::SHALLOW);
        let reuse = self.flags.contains(DomainBlockCopyFlags::REUSE_EXT);
        let target = &disk.target;
        if self.chain.layers.len() > 1 && !shallow {
            return Err(invalid(
                "backingStore of mirror without VIR_DOMAIN_BLOCK_COPY_SHALLOW doesn't make sense",
            ));
        }
        let named_chain = self.chain.layers.len() > 1 || self.chain.terminated;
        let Some(mirror) = self.chain.layers.first_mut() else {
            return Err(refusal(
                ErrorCode::NO_SOURCE,
                "missing source information for device",
            ));
        };
        if shallow && !reuse && mirror.format.as_deref() == Some("raw") {
            let about = format!("shallow copy of disk '{target}' into a raw file is not possible");
            return Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about));
        }
        let location = mirror.location().unwrap_or_default();
        let there = model.images.get(&location).cloned();
        let existing = mirror.check_destination(target, there.as_ref(), reuse)?;
        if mirror.format.is_none() {
            let format = if reuse {
                there.as_ref().map(|image| image.format().to_owned())
            } else {
                disk.top()?.format.clone()
            };
            mirror.format = Some(format.ok_or_else(|| {
                let about = "reused mirror destination format must be specified";
                refusal(ErrorCode::CONFIG_UNSUPPORTED, about)
            })?);
        }
        if disk.shareable && !disk.readonly && mirror.format.as_deref() != Some("raw") {
            let about = "can't pivot a shared disk to a storage volume not supporting sharing";
            return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about));
        }
        if !existing {
            let format = mirror.format.clone().unwrap_or_default();
            let mut image = Image::new(format, disk.image(model).capacity());
            let below = self.chain.layers.get(1);
            let below = below.or_else(|| disk.chain.layers.get(1));
            if let Some(below) = below.filter(|_| shallow).and_then(Layer::location) {
                image = image.on(below);
            }
            model.images.put(&location, image)?;
        }
        if reuse && shallow && !named_chain {
            self.chain.detect(&model.images)?;
        }
        self.chain.terminated |= !shallow;
        Ok(())
    }

    fn into_job(self, disk: &Disk, model: &Model) -> Result<NewJob> {
        let shallow = self.flags.contains(DomainBlockCopyFlags::SHALLOW);
        let end = if shallow { 1 } else { disk.chain.layers.len() };
        Ok(NewJob {
            work: Work::Copy {
                inherits: shallow && !self.flags.contains(DomainBlockCopyFlags::REUSE_EXT),
                synchronous: self
                    .flags
                    .contains(DomainBlockCopyFlags::SYNCHRONOUS_WRITES),
            },
            size: disk.data_between(0, end, model),
            limit: self.limit,
            named_after: disk.top()?.index,
            writes_to: self.chain.top().and_then(Layer::location),
            mirror: Some(Mirror::new(self.chain, MirrorJob::Copy)),
        })
    }
}

impl Layer {
    /// Whether the destination of a copy is taken as it is; it is made otherwise.
    fn check_destination(&self, target: &str, there: Option<&Image>, reuse: bool) -> Result<bool> {
        if !self.is_local() {
            return Ok(reuse);
        }
        let path = self.path().unwrap_or_default();
        let is_device = path.starts_with("/dev/");
        match there {
            None if reuse || self.kind == "block" => {
                let words = format!("missing destination file for disk {target}: {path}");
                Err(system_error(NOT_FOUND.0, &words, NOT_FOUND.1))
            }
            None => Ok(false),
            Some(_) if is_device => Ok(true),
            Some(_) if !reuse => {
                let about = format!(
                    "external destination file for disk {target} already exists and is not a \
                     block device: {path}"
                );
                Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about))
            }
            Some(_) if self.kind == "block" => Err(invalid(format!(
                "blockdev flag requested for disk {target}, but file '{path}' is not a block device"
            ))),
            Some(_) => Ok(true),
        }
    }
}

/// A limit in bytes a second: in MiB unless a flag says otherwise.
pub(crate) fn bytes_per_second(bandwidth: u64, in_bytes: bool) -> Result<u64> {
    const MOST: u64 = i64::MAX as u64 >> 20;
    if in_bytes {
        return Ok(bandwidth);
    }
    if bandwidth > MOST {
        let about = format!("bandwidth must be less than {MOST}");
        return Err(refusal(ErrorCode::OVERFLOW, about));
    }
    Ok(bandwidth << 20)
}
