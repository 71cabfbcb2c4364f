//! Being told when an image has grown so far.

use tokio::time::Instant;
use virtwire_protocol::event::DomainEventKind;

use super::Disk;
use super::layer::Layer;
use super::writes::time_for;
use crate::hypervisor::image::Image;
use crate::hypervisor::model::Model;
use crate::hypervisor::{Hypervisor, Uuid};

/// A wish to be told when writes to an image reach a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Threshold {
    /// The image's number.
    pub(crate) index: u32,
    /// The place, in bytes.
    pub(crate) bytes: u64,
    /// Whether the client named the image by its number.
    pub(crate) numbered: bool,
    /// How far the image reached then: only what is written afterwards counts.
    pub(crate) reached: u64,
}

/// A threshold that was passed.
struct Passed {
    threshold: Threshold,
    path: Option<String>,
    is_top: bool,
    excess: u64,
}

impl Hypervisor {
    /// Tells who wants to know that an image of a disk has grown so far. When the next may have, if
    /// ever; nothing at all when nobody waits for any.
    pub(crate) fn pass_thresholds(
        &mut self,
        domain: Uuid,
        target: &str,
        now: Instant,
    ) -> Option<Option<Instant>> {
        let live = self.domains.get_mut(&domain)?.live.as_mut()?;
        let disk = live.disks.by_target_mut(target)?;
        let passed = disk.take_passed(&self.model, now);
        let next = disk
            .thresholds
            .iter()
            .filter_map(|one| disk.passes(one, &self.model, now))
            .min();
        disk.watched = !disk.thresholds.is_empty();
        let waited_for = disk.watched;
        for one in passed {
            let Passed {
                threshold,
                path,
                is_top,
                excess,
            } = one;
            let event = |dev: String| DomainEventKind::BlockThreshold {
                dev,
                path: path.clone(),
                threshold: threshold.bytes,
                excess,
            };
            if is_top && !threshold.numbered {
                self.emit_now(domain, event(target.to_owned()));
            }
            let index = threshold.index;
            self.emit_now(domain, event(format!("{target}[{index}]")));
        }
        waited_for.then_some(next)
    }
}

impl Disk {
    fn take_passed(&mut self, model: &Model, now: Instant) -> Vec<Passed> {
        let thresholds = std::mem::take(&mut self.thresholds);
        let mut passed = Vec::new();
        for threshold in thresholds {
            let Some(position) = self.chain.position(threshold.index) else {
                continue;
            };
            let extent = self.extent(position, model, now);
            if extent <= threshold.bytes.max(threshold.reached) {
                self.thresholds.push(threshold);
                continue;
            }
            let layer = self.chain.layers.get(position);
            let local = layer.filter(|layer| layer.is_local());
            passed.push(Passed {
                path: local.and_then(Layer::path).map(str::to_owned),
                is_top: position == 0,
                excess: extent - threshold.bytes,
                threshold,
            });
        }
        passed
    }

    /// How far an image reaches, with what the guest and a job have written to it.
    pub(crate) fn extent(&self, position: usize, model: &Model, now: Instant) -> u64 {
        let location = self.chain.layers.get(position).and_then(Layer::location);
        let Some(location) = location else { return 0 };
        let image = model.images.get(&location).map_or(0, Image::allocation);
        let guest = match position {
            0 => self.writes.unsettled(now),
            _ => 0,
        };
        let job = self
            .job
            .as_ref()
            .filter(|job| job.writes_to.as_ref() == Some(&location));
        let job = job.map_or(0, |job| job.moved(now));
        image.saturating_add(guest).saturating_add(job)
    }

    /// When an image will have grown beyond a threshold, at the rates of now.
    fn passes(&self, threshold: &Threshold, model: &Model, now: Instant) -> Option<Instant> {
        let position = self.chain.position(threshold.index)?;
        let location = self.chain.layers.get(position).and_then(Layer::location);
        let place = threshold.bytes.max(threshold.reached);
        let left = place.saturating_sub(self.extent(position, model, now));
        let guest = if position == 0 { self.writes.rate() } else { 0 };
        let job = self.job.as_ref().filter(|job| job.writes_to == location);
        let job = job.map_or(0, |job| job.rate(now));
        now.checked_add(time_for(left.saturating_add(1), guest.saturating_add(job))?)
    }
}
