//! Backups of running domains: a job of the whole domain, made of a block job for each disk.

mod description;
mod result;

use tokio::time::Instant;
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainJobType, ErrorCode,
};
use virtwire_protocol::event::DomainEventKind;
use virtwire_protocol::remote::NonnullDomain;

pub(crate) use self::description::{BackupDescription, BackupTarget};
pub(crate) use self::result::{CompletedJob, Figures};
use super::block_job::{JobKey, NewJob, Work};
use super::checkpoint::Checkpoint;
use super::disk::{Disk, Layer};
use super::image::Image;
use super::lock::TurnGuard;
use super::model::Model;
use super::moment::{Moment, Moments};
use super::{Hypervisor, Uuid};
use crate::refusal::{Result, invalid, refusal};

/// A backup that is being made.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) description: BackupDescription,
    /// Whether the files were there before.
    reuse: bool,
    disks: Vec<DiskBackup>,
    started: Instant,
    /// What the hypervisor said first of what went wrong.
    error: Option<String>,
    /// What the disks that are done have come to.
    figures: Figures,
    /// No other long job begins meanwhile.
    _turn: TurnGuard,
}

#[derive(Debug)]
struct DiskBackup {
    target: String,
    store: Layer,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Cancelling,
    Complete,
    Failed,
    Cancelled,
}

impl Backup {
    /// How far it is.
    fn figures(&self, disks: &super::disk::Disks, now: Instant) -> Figures {
        let mut figures = self.figures;
        for one in &self.disks {
            let disk = disks.by_target(&one.target);
            let job = disk.and_then(|disk| disk.job.as_ref());
            if let (Some(job), State::Running) = (job, one.state) {
                figures.add(self.description.pull, job.figures(now));
            }
        }
        figures
    }

    fn any(&self, state: State) -> bool {
        self.disks.iter().any(|disk| disk.state == state)
    }
}

/// A backup that is to begin.
#[derive(Debug)]
pub(crate) struct NewBackup {
    pub(crate) description: BackupDescription,
    pub(crate) checkpoint: Option<Moment<Checkpoint>>,
    pub(crate) reuse: bool,
    pub(crate) turn: TurnGuard,
}

impl Hypervisor {
    /// Begins a backup: the jobs that were started.
    pub(crate) fn begin_backup(
        &mut self,
        dom: &NonnullDomain<'_>,
        new: NewBackup,
    ) -> Result<Vec<JobKey>> {
        if self.domain(dom)?.live.is_none() {
            return Err(refusal(
                ErrorCode::OPERATION_UNSUPPORTED,
                "cannot perform disk backup for inactive domain",
            ));
        }
        let NewBackup {
            mut description,
            mut checkpoint,
            reuse,
            turn,
        } = new;
        let suffix = match &checkpoint {
            Some(checkpoint) => checkpoint.name.clone(),
            None => Moment::now(None, None, ()).name,
        };
        let now = Instant::now();
        let (disks, _) = self.disks_mut(dom)?;
        description.align(disks, &suffix)?;
        description.check_server()?;
        if let Some(checkpoint) = &mut checkpoint {
            self.prepare_checkpoint(dom, checkpoint)?;
        }
        let jobs = self.prepare_backup(dom, &mut description, reuse, now)?;
        let keys = self.start_together(dom, jobs)?;
        if let (Some(checkpoint), Some(domain)) = (checkpoint, self.domains.get_mut(&dom.uuid)) {
            domain.checkpoints.add(checkpoint)?;
        }
        let stores = description.disks.iter().filter_map(|target| {
            Some(DiskBackup {
                target: target.name.clone(),
                store: target.store.clone()?,
                state: State::Running,
            })
        });
        let backup = Backup {
            disks: stores.collect(),
            description,
            reuse,
            started: now,
            error: None,
            figures: Figures::default(),
            _turn: turn,
        };
        self.disks_mut(dom)?.0.backup = Some(backup);
        Ok(keys)
    }

    /// Checks what a backup does with each disk, and makes the files.
    fn prepare_backup(
        &mut self,
        dom: &NonnullDomain<'_>,
        description: &mut BackupDescription,
        reuse: bool,
        now: Instant,
    ) -> Result<Vec<(String, NewJob)>> {
        let domain = self.domain(dom)?;
        for target in &description.disks {
            target.check_checkpoint(&domain.checkpoints)?;
        }
        let dirty: Vec<Option<u64>> = description
            .disks
            .iter()
            .map(|target| domain.dirty_since(&target.name, target.incremental.as_deref(), now))
            .collect();
        let pull = description.pull;
        let (disks, model) = self.disks_mut(dom)?;
        let mut jobs = Vec::new();
        for (target, dirty) in description.disks.iter_mut().zip(dirty) {
            let index = disks.next_index();
            let disk = disks.get(&target.name)?;
            if let Some(job) = target.job(disk, index, dirty, pull, model)? {
                jobs.push((target.name.clone(), job));
            }
        }
        if jobs.is_empty() {
            return Err(refusal(
                ErrorCode::CONFIG_UNSUPPORTED,
                "no disks selected for backup",
            ));
        }
        for target in description.disks.iter().filter(|_| !reuse) {
            target.check_store(model)?;
        }
        for target in description.disks.iter_mut() {
            let disk = disks.get(&target.name)?;
            target.create_store(disk, reuse, pull, model)?;
            if pull {
                target.export();
            }
        }
        Ok(jobs)
    }

    /// Starts all or none.
    fn start_together(
        &mut self,
        dom: &NonnullDomain<'_>,
        jobs: Vec<(String, NewJob)>,
    ) -> Result<Vec<JobKey>> {
        let mut keys: Vec<JobKey> = Vec::new();
        for (target, job) in jobs {
            match self.start_job(dom, &target, job) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    let (disks, _) = self.disks_mut(dom)?;
                    for key in keys {
                        if let Some(disk) = disks.by_target_mut(&key.target) {
                            disk.job = None;
                        }
                    }
                    return Err(error);
                }
            }
        }
        Ok(keys)
    }

    /// One of a backup's jobs has ended, as its own state says.
    pub(crate) fn note_backup_ended(&mut self, key: &JobKey, status: Status) {
        let now = Instant::now();
        let live = self
            .domains
            .get_mut(&key.domain)
            .and_then(|it| it.live.as_mut());
        let Some(live) = live else { return };
        let disk = live.disks.by_target(&key.target);
        let Some(job) = disk.and_then(|disk| disk.job.as_ref()) else {
            return;
        };
        if !matches!(job.work, Work::Backup { .. }) {
            return;
        }
        let (figures, error) = (job.figures(now), job.error.clone());
        let Some(backup) = &mut live.disks.backup else {
            return;
        };
        backup.figures.add(backup.description.pull, figures);
        backup.error = backup.error.take().or(error);
        if let Some(disk) = backup
            .disks
            .iter_mut()
            .find(|disk| disk.target == key.target)
        {
            disk.state = match status {
                Status::COMPLETED => State::Complete,
                Status::CANCELED => State::Cancelled,
                _ => State::Failed,
            };
        }
        let wrong = backup.any(State::Failed) || backup.any(State::Cancelled);
        if backup.any(State::Running) {
            if wrong {
                self.cancel_backup(key.domain);
            }
        } else if !backup.any(State::Cancelling) {
            let kind = match () {
                () if backup.any(State::Failed) => DomainJobType::FAILED,
                // Ending a backup that somebody fetches is how it completes.
                () if backup.any(State::Cancelled) && !backup.description.pull => {
                    DomainJobType::CANCELLED
                }
                () => DomainJobType::COMPLETED,
            };
            self.end_backup(key.domain, kind);
        }
    }

    /// Ends what still runs of a backup; `false` when there is none.
    pub(crate) fn cancel_backup(&mut self, uuid: Uuid) -> bool {
        let live = self.domains.get_mut(&uuid).and_then(|it| it.live.as_mut());
        let Some(live) = live else { return false };
        let Some(mut backup) = live.disks.backup.take() else {
            return false;
        };
        for one in &mut backup.disks {
            let disk = live.disks.by_target_mut(&one.target);
            let job = disk.and_then(|disk| disk.job.as_mut());
            if let (Some(job), State::Running) = (job, one.state) {
                job.end(false);
                one.state = State::Cancelling;
            }
        }
        live.disks.backup = Some(backup);
        true
    }

    /// A backup is over, and everybody is told.
    pub(crate) fn end_backup(&mut self, uuid: Uuid, kind: DomainJobType) {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return;
        };
        let backup = domain
            .live
            .as_mut()
            .and_then(|live| live.disks.backup.take());
        let Some(backup) = backup else { return };
        let wanted = !backup.description.pull && kind == DomainJobType::COMPLETED;
        for disk in backup.disks.iter().filter(|_| !backup.reuse && !wanted) {
            if let Some(location) = disk.store.location().filter(|_| disk.store.kind == "file") {
                self.model.images.remove(&location);
            }
        }
        let job = CompletedJob {
            kind,
            elapsed: backup.started.elapsed(),
            figures: backup.figures,
            error: backup.error,
        };
        let params = job.params();
        domain.completed_job = Some(job);
        self.emit_now(uuid, DomainEventKind::JobCompleted { params });
    }

    /// What a domain's job is at; `None` when it has none.
    pub(crate) fn current_job(&self, dom: &NonnullDomain<'_>) -> Result<Option<CompletedJob>> {
        let now = Instant::now();
        let disks = &self.domain(dom)?.live()?.disks;
        Ok(disks.backup.as_ref().map(|backup| CompletedJob {
            kind: DomainJobType::UNBOUNDED,
            elapsed: now.saturating_duration_since(backup.started),
            figures: backup.figures(disks, now),
            error: None,
        }))
    }
}

impl BackupTarget {
    fn check_checkpoint(&self, checkpoints: &Moments<Checkpoint>) -> Result<()> {
        let (Some(wanted), Some(_)) = (&self.incremental, &self.store) else {
            return Ok(());
        };
        let name = &self.name;
        let Some(checkpoint) = checkpoints.get(wanted) else {
            let about =
                format!("Checkpoint '{wanted}' for incremental backup of disk '{name}' not found");
            return Err(refusal(ErrorCode::NO_DOMAIN_CHECKPOINT, about));
        };
        if !checkpoint.about.covers(name) {
            let about = format!("missing or broken bitmap '{wanted}' for disk '{name}'");
            return Err(refusal(ErrorCode::CHECKPOINT_INCONSISTENT, about));
        }
        Ok(())
    }

    /// The job for the disk, unless it is left out.
    fn job(
        &mut self,
        disk: &Disk,
        index: u32,
        dirty: Option<u64>,
        pull: bool,
        model: &Model,
    ) -> Result<Option<NewJob>> {
        let name = &self.name;
        let Some(store) = &mut self.store else {
            return Ok(None);
        };
        disk.refuse_without_jobs()?;
        match store.format.as_deref() {
            None => store.format = Some(String::from("qcow2")),
            Some("qcow2") => {}
            Some(_) if pull => {
                let about = format!("pull mode backup for disk '{name}' requires qcow2 driver");
                return Err(refusal(ErrorCode::CONFIG_UNSUPPORTED, about));
            }
            Some(_) => {}
        }
        if disk.job.is_some() {
            let about = format!("disk '{name}' has a blockjob assigned");
            return Err(refusal(ErrorCode::INTERNAL_ERROR, about));
        }
        store.index = index;
        let everything = disk.data_between(0, disk.chain.layers.len(), model);
        Ok(Some(NewJob {
            work: Work::Backup {
                pull,
                incremental: dirty.is_some(),
            },
            // What somebody fetches may be all of it.
            size: if pull {
                disk.image(model).capacity()
            } else {
                dirty.unwrap_or(everything)
            },
            limit: 0,
            named_after: disk.top()?.index,
            writes_to: store.location(),
            mirror: None,
        }))
    }

    fn check_store(&self, model: &Model) -> Result<()> {
        let store = self.store.as_ref().filter(|store| store.kind == "file");
        let location = store.and_then(Layer::location);
        if let Some(location) = location.filter(|at| model.images.get(at).is_some()) {
            let name = &self.name;
            let about = format!("store '{location}' for backup of '{name}' exists");
            return Err(invalid(about));
        }
        Ok(())
    }

    fn create_store(&self, disk: &Disk, reuse: bool, pull: bool, model: &mut Model) -> Result<()> {
        let Some(store) = self.store.as_ref().filter(|_| !reuse) else {
            return Ok(());
        };
        let format = store.format.as_deref().unwrap_or("qcow2");
        let mut image = Image::new(format, disk.image(model).capacity());
        let below = disk.chain.top().and_then(Layer::location);
        if let Some(below) = below.filter(|_| pull || self.incremental.is_some()) {
            image = image.on(below);
        }
        model
            .images
            .put(&store.location().unwrap_or_default(), image)
    }
}
