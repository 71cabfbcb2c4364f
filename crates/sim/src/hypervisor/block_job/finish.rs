//! What a job leaves behind: other chains, in the running domain and in its definition.

use std::time::Duration;

use tokio::time::Instant;
use virtwire_protocol::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType,
};
use virtwire_protocol::event::DomainEventKind;

use super::step::Step;
use super::{BlockJob, Ended, JobKey, Phase, Work};
use crate::hypervisor::disk::{Chain, Disk, Layer, MirrorJob, MirrorState, disk_element_mut};
use crate::hypervisor::model::Model;
use crate::hypervisor::{Hypervisor, Uuid};
use crate::xml::Element;

/// News of a job that are to be told.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    /// How long after the job's end.
    pub(super) delay: Duration,
    domain: Uuid,
    name: String,
    id: i32,
    /// The image; none when it is not on this host.
    path: Option<String>,
    target: String,
    kind: DomainBlockJobType,
    status: Status,
}

impl Hypervisor {
    /// The job, as long as it is there.
    pub(super) fn block_job_mut(&mut self, key: &JobKey) -> Option<&mut BlockJob> {
        let job = self.job_disk_mut(key)?.job.as_mut();
        job.filter(|job| job.serial == key.serial)
    }

    fn job_disk_mut(&mut self, key: &JobKey) -> Option<&mut Disk> {
        let live = self.domains.get_mut(&key.domain)?.live.as_mut()?;
        live.disks.by_target_mut(&key.target)
    }

    /// Takes note of what has become of a job. What is to be told later is returned.
    pub(super) fn take_note(&mut self, key: &JobKey, step: Step) -> Option<Announcement> {
        match step {
            Step::Nothing => None,
            Step::Ready => {
                let disk = self.job_disk_mut(key)?;
                if let Some(mirror) = &mut disk.mirror {
                    mirror.state = MirrorState::Ready;
                }
                let announcement = self.announcement(key, Status::READY)?;
                self.announce(&announcement);
                None
            }
            Step::Pivoted => {
                self.rewrite(key);
                let mirror = self.job_disk_mut(key)?.mirror.as_mut()?;
                (mirror.job, mirror.state) = (MirrorJob::Over, MirrorState::Behind);
                None
            }
            Step::Completed => {
                self.rewrite(key);
                self.end_block_job(key, Status::COMPLETED)
            }
            Step::Ended(status) => self.end_block_job(key, status),
        }
    }

    /// Tells what there is to tell of a job: in the older style first.
    pub(super) fn announce(&mut self, news: &Announcement) {
        let (kind, status) = (news.kind, news.status);
        if let Some(path) = news.path.clone() {
            let event = DomainEventKind::BlockJob { path, kind, status };
            self.emit(news.domain, &news.name, news.id, event);
        }
        let dst = news.target.clone();
        let event = DomainEventKind::BlockJob2 { dst, kind, status };
        self.emit(news.domain, &news.name, news.id, event);
    }

    fn announcement(&mut self, key: &JobKey, status: Status) -> Option<Announcement> {
        let domain = self.domains.get(&key.domain)?;
        let disk = domain.live.as_ref()?.disks.by_target(&key.target)?;
        let top = disk.chain.top().filter(|top| top.is_local());
        let job = disk.job.as_ref()?;
        Some(Announcement {
            delay: job.delay(),
            domain: key.domain,
            name: domain.name.clone(),
            id: domain.id(),
            path: top.and_then(Layer::path).map(str::to_owned),
            target: key.target.clone(),
            kind: job.work.kind(),
            status,
        })
    }

    /// The job is gone.
    fn end_block_job(&mut self, key: &JobKey, status: Status) -> Option<Announcement> {
        let now = Instant::now();
        let news = self.announcement(key, status)?;
        let job = self.job_disk_mut(key)?.job.as_ref()?;
        let lost = job.faults.contains(&super::BlockJobFault::LoseEvent);
        if let Some(location) = job.writes_to.clone() {
            let moved = job.moved(now);
            self.model.images.grow(&location, moved);
        }
        self.note_backup_ended(key, status);
        let disk = self.job_disk_mut(key)?;
        disk.mirror = None;
        let job = disk.job.take()?;
        disk.touch();
        if !lost && news.delay.is_zero() {
            self.announce(&news);
        }
        job.ended.send_replace(Some(Ended {
            status,
            error: job.error.clone(),
        }));
        (!lost && !news.delay.is_zero()).then_some(news)
    }

    /// The job has done its work: rewrites the chains.
    fn rewrite(&mut self, key: &JobKey) {
        let Some(domain) = self.domains.get_mut(&key.domain) else {
            return;
        };
        let Some(live) = &mut domain.live else { return };
        let Some(disk) = live.disks.by_target_mut(&key.target) else {
            return;
        };
        let Some(job) = &disk.job else { return };
        let work = job.work.clone();
        let mut config = Config::of(domain.definition.as_mut(), &key.target);
        let model = &mut self.model;
        match work {
            Work::Pull { base, relative } => disk.pulled(base, relative, &mut config, model),
            Work::Commit {
                top,
                base,
                delete,
                relative,
            } => disk.committed(top, base, (delete, relative), &mut config, model),
            Work::ActiveCommit { base, delete } => {
                disk.pivoted_down(base, delete, &mut config, model);
            }
            Work::Copy { inherits, .. } => disk.pivoted_away(inherits, &mut config),
            Work::Backup { .. } => {}
        }
        config.write();
        disk.write_into(&mut live.config);
    }
}

/// A disk in a domain's definition.
struct Config<'a> {
    element: Option<&'a mut Element>,
    chain: Chain,
    changed: bool,
}

impl<'a> Config<'a> {
    fn of(definition: Option<&'a mut Element>, target: &str) -> Self {
        let element = definition.and_then(|config| disk_element_mut(config, target));
        Self {
            chain: element.as_deref().map(Chain::read).unwrap_or_default(),
            element,
            changed: false,
        }
    }

    /// Whether the definition says the same of the chain down to `last`, or to its end.
    fn agrees(&self, live: &Chain, last: Option<usize>) -> bool {
        let to_the_end = last.is_some() || self.chain.terminated;
        to_the_end && self.chain.same_down_to(live, last)
    }

    /// Forgets what the definition says of the chain, if it is about the same disk.
    fn forget_chain(&mut self, live: &Chain) {
        if self.chain.same_top(live) {
            self.chain.layers.truncate(1);
            self.chain.terminated = false;
            self.changed = true;
        }
    }

    /// Takes images out of the chain.
    fn drop_layers(&mut self, first: usize, last: usize) {
        self.chain.layers.drain(first..last);
        self.changed = true;
    }

    /// Puts the new chain in the place of the old one, if the definition is about the same disk.
    fn follow(&mut self, old: &Chain, new: &Chain) {
        if self.chain.same_top(old) {
            self.chain = new.at_rest();
            self.changed = true;
        }
    }

    fn write(self) {
        if let (Some(element), true) = (self.element, self.changed) {
            self.chain.write(element);
        }
    }
}

/// What jobs do to a disk's chain.
impl Disk {
    /// Has a running domain's own description follow.
    pub(crate) fn write_into(&self, config: &mut Element) {
        if let Some(element) = disk_element_mut(config, &self.target) {
            self.chain.at_rest().write(element);
        }
    }

    fn pulled(
        &mut self,
        base: Option<u32>,
        relative: bool,
        config: &mut Config<'_>,
        model: &mut Model,
    ) {
        let base = base.and_then(|base| self.chain.position(base));
        let agrees = config.agrees(&self.chain, base);
        if !agrees {
            config.forget_chain(&self.chain);
        }
        if base == Some(1) {
            return;
        }
        let end = base.unwrap_or(self.chain.layers.len());
        self.cut(1, end, relative, model);
        if agrees {
            config.drop_layers(1, end);
        }
    }

    fn committed(
        &mut self,
        top: u32,
        base: u32,
        (delete, relative): (bool, bool),
        config: &mut Config<'_>,
        model: &mut Model,
    ) {
        let (Some(top), Some(base)) = (self.chain.position(top), self.chain.position(base)) else {
            return;
        };
        if config.agrees(&self.chain, Some(base)) {
            config.drop_layers(top, base);
        } else {
            config.forget_chain(&self.chain);
        }
        if delete {
            self.delete_images(top, base, model);
        }
        self.cut(top, base, relative, model);
    }

    fn pivoted_down(
        &mut self,
        base: u32,
        delete: bool,
        config: &mut Config<'_>,
        model: &mut Model,
    ) {
        let Some(base) = self.chain.position(base) else {
            return;
        };
        if config.agrees(&self.chain, Some(base)) {
            config.drop_layers(0, base);
        } else {
            let below = Chain {
                layers: self.chain.layers.iter().skip(base).cloned().collect(),
                ..self.chain
            };
            config.follow(&self.chain, &below);
        }
        if delete {
            self.delete_images(0, base, model);
        }
        self.chain.layers.drain(..base);
    }

    fn pivoted_away(&mut self, inherits: bool, config: &mut Config<'_>) {
        let Some(mirror) = &self.mirror else { return };
        let mut chain = mirror.chain.clone();
        if inherits && chain.layers.len() == 1 && !chain.terminated {
            let below = self.chain.layers.iter().skip(1).cloned();
            chain.layers.extend(below);
            chain.terminated = self.chain.terminated;
        }
        config.follow(&self.chain, &chain);
        self.chain = chain;
    }

    /// Takes images out of the chain: what stood on them stands on what they stood on.
    fn cut(&mut self, first: usize, end: usize, relative: bool, model: &mut Model) {
        let above = first
            .checked_sub(1)
            .and_then(|at| self.chain.layers.get(at));
        let below = self.chain.layers.get(end);
        if let Some(location) = above.and_then(Layer::location) {
            let backing = below.and_then(|below| below.backing(relative));
            model.images.rebase(&location, backing);
        }
        self.chain.layers.drain(first..end);
    }

    fn delete_images(&self, first: usize, end: usize, model: &mut Model) {
        let layers = self.chain.layers.get(first..end).unwrap_or_default();
        for layer in layers.iter().filter(|layer| layer.kind == "file") {
            if let Some(location) = layer.location() {
                model.images.remove(&location);
            }
        }
    }
}

impl BlockJob {
    /// Whether libvirt would let it pivot.
    pub(crate) fn may_pivot(&self) -> bool {
        self.phase == Phase::Ready
    }
}
