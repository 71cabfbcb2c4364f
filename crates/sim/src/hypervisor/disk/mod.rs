//! The disks of a running domain, with their backing chains and what is being done to them.

mod chain;
mod layer;
mod mirror;
mod threshold;
mod writes;

use tokio::sync::watch;
use tokio::time::Instant;
use virtwire_protocol::constants::{DomainJobType, ErrorCode, ErrorDomain};

pub(crate) use self::chain::{Chain, parse_indexed, put_after};
pub(crate) use self::layer::Layer;
pub(crate) use self::mirror::{Mirror, MirrorJob, MirrorState};
pub(crate) use self::threshold::Threshold;
pub(crate) use self::writes::{Writes, time_for, transferred};
use super::backup::Backup;
use super::block_job::BlockJob;
use super::image::Image;
use super::model::Model;
use super::monitor::Monitor;
use super::{Hypervisor, Uuid};
use crate::refusal::{Result, from_domain, invalid, refusal};
use crate::xml::Element;
use virtwire_protocol::event::DomainEventKind;

/// How many disks a domain may have.
const MAX_DISKS: usize = 1024;

/// The disks of a running domain.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    disks: Vec<Disk>,
    last_index: u32,
    /// The backup that is being made.
    pub(crate) backup: Option<Backup>,
    /// The way to the process that runs the domain.
    pub(crate) monitor: Monitor,
}

/// One disk of a running domain.
#[derive(Debug)]
pub(crate) struct Disk {
    /// `vda`
    pub(crate) target: String,
    pub(crate) chain: Chain,
    pub(crate) readonly: bool,
    pub(crate) shareable: bool,
    transient: bool,
    bus: String,
    /// What a copy or an active commit writes to, beside the guest's own image.
    pub(crate) mirror: Option<Mirror>,
    pub(crate) job: Option<BlockJob>,
    /// What the guest writes.
    pub(crate) writes: Writes,
    pub(crate) thresholds: Vec<Threshold>,
    /// Whether somebody sees to it that thresholds are told of.
    pub(crate) watched: bool,
    /// Told whenever its images may grow faster or slower.
    changed: watch::Sender<()>,
}

impl Disks {
    /// The disks that a domain starts with. Images that nobody has described come into being.
    pub(crate) fn open(config: &Element, model: &mut Model) -> Result<Self> {
        let domain = config.child_text("name").unwrap_or_default();
        let mut disks = Self::default();
        for element in disk_elements(config) {
            if disks.disks.len() == MAX_DISKS {
                return Err(too_many());
            }
            disks.disks.push(Disk::open(element, &domain, model)?);
        }
        // libvirt counts from the last disk to the first.
        for disk in disks.disks.iter_mut().rev() {
            for layer in &mut disk.chain.layers {
                disks.last_index += 1;
                layer.index = disks.last_index;
            }
        }
        Ok(disks)
    }

    /// A disk that was plugged in.
    pub(crate) fn attach(
        &mut self,
        element: &Element,
        domain: &str,
        model: &mut Model,
    ) -> Result<()> {
        let mut disk = Disk::open(element, domain, model)?;
        // Finding the images below takes numbers as well.
        for _ in disk.chain.layers.iter().skip(1) {
            self.next_index();
        }
        if let Some(other) = self.by_target(&disk.target) {
            let sources = [other, &disk].map(|disk| disk.source().unwrap_or_default());
            let [other, source] = sources;
            let target = &disk.target;
            let about =
                format!("target '{target}' duplicated for disk sources '{other}' and '{source}'");
            return Err(from_domain(ErrorDomain::CONF, ErrorCode::XML_ERROR, &about));
        }
        if self.disks.len() >= MAX_DISKS {
            return Err(too_many());
        }
        for layer in &mut disk.chain.layers {
            layer.index = self.next_index();
        }
        self.disks.push(disk);
        Ok(())
    }

    /// A disk that was unplugged. One with a job stays.
    pub(crate) fn detach(&mut self, target: &str) -> Result<()> {
        let Some(place) = self.disks.iter().position(|disk| disk.target == target) else {
            return Err(no_such_disk(target));
        };
        self.get(target)?.refuse_when_busy()?;
        self.disks.remove(place);
        Ok(())
    }

    /// Writes what only a running domain has into its XML: backing chains, indexes, mirrors.
    pub(crate) fn describe(&self, config: &mut Element) {
        let Some(devices) = config.child_mut("devices") else {
            return;
        };
        let elements = devices.elements_mut().filter(|it| it.name == "disk");
        for element in elements {
            let disk = self
                .disks
                .iter()
                .find(|disk| Some(disk.target.as_str()) == target_of(element));
            if let Some(disk) = disk {
                disk.describe(element);
            }
        }
    }

    /// A number for an image.
    pub(crate) fn next_index(&mut self) -> u32 {
        self.last_index += 1;
        self.last_index
    }

    /// Whether a block job runs on any of them.
    pub(crate) fn have_job(&self) -> bool {
        self.disks.iter().any(|disk| disk.job.is_some())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter()
    }

    /// All of them, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Disk> {
        self.disks.iter_mut()
    }

    /// The disk of a target.
    pub(crate) fn by_target(&self, target: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.target == target)
    }

    /// The disk of a target, to be changed.
    pub(crate) fn by_target_mut(&mut self, target: &str) -> Option<&mut Disk> {
        self.disks.iter_mut().find(|disk| disk.target == target)
    }

    /// The disk that a client names by its target or by the path of its image.
    pub(crate) fn get(&self, name: &str) -> Result<&Disk> {
        let mut disks = self.disks.iter();
        let found = disks.find(|disk| disk.is_called(name));
        found.ok_or_else(|| no_such_disk(name))
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, name: &str) -> Result<&mut Disk> {
        let mut disks = self.disks.iter_mut();
        let found = disks.find(|disk| disk.is_called(name));
        found.ok_or_else(|| no_such_disk(name))
    }
}

impl Disk {
    fn open(element: &Element, domain: &str, model: &mut Model) -> Result<Self> {
        let target = target_of(element).ok_or_else(|| {
            from_domain(
                ErrorDomain::DOMAIN,
                ErrorCode::XML_ERROR,
                "missing target information for disk",
            )
        })?;
        let mut chain = Chain::read(element);
        chain.detect(&model.images)?;
        chain.make_up(&mut model.images)?;
        let attribute = |name: &str| element.find(&["target"])?.attribute(name);
        Ok(Self {
            target: target.to_owned(),
            chain,
            readonly: element.child("readonly").is_some(),
            shareable: element.child("shareable").is_some(),
            transient: element.child("transient").is_some(),
            bus: attribute("bus").unwrap_or_default().to_owned(),
            mirror: None,
            job: None,
            writes: Writes::new(model.writes(domain, target)),
            thresholds: Vec::new(),
            watched: false,
            changed: watch::Sender::new(()),
        })
    }

    fn is_called(&self, name: &str) -> bool {
        if name.starts_with('/') {
            return self.source() == Some(name);
        }
        self.target == name
    }

    /// The image that the guest writes to.
    pub(crate) fn top(&self) -> Result<&Layer> {
        self.chain.top().ok_or_else(|| {
            let target = &self.target;
            invalid(format!(
                "disk '{target}' does not currently have a source assigned"
            ))
        })
    }

    /// The path of the image that the guest writes to.
    pub(crate) fn source(&self) -> Option<&str> {
        self.chain.top().and_then(Layer::path)
    }

    /// The image that the guest writes to, as it is now.
    pub(crate) fn image(&self, model: &Model) -> Image {
        let location = self.chain.top().and_then(Layer::location);
        let format = self.chain.top().and_then(|top| top.format.as_deref());
        model
            .images
            .get_or_default(&location.unwrap_or_default(), format)
    }

    /// How much data the images from `first` up to but not including `last` hold together.
    pub(crate) fn data_between(&self, first: usize, last: usize, model: &Model) -> u64 {
        let layers = self.chain.layers.get(first..last).unwrap_or_default();
        let images = layers.iter().filter_map(Layer::location);
        let data = images.filter_map(|at| model.images.get(&at).map(Image::data));
        let sum = data.fold(0_u64, u64::saturating_add);
        sum.min(self.image(model).capacity())
    }

    /// What the guest wrote since the last time goes into its image.
    pub(crate) fn settle_writes(&mut self, model: &mut Model, now: Instant) {
        let written = self.writes.settle(now);
        if let Some(location) = self.chain.top().and_then(Layer::location) {
            model.images.grow(&location, written);
        }
    }

    /// Its images may grow faster or slower from now on.
    pub(crate) fn touch(&self) {
        self.changed.send_replace(());
    }

    /// Tells of such changes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Refuses what cannot be while a job runs, in libvirt's two ways.
    pub(crate) fn refuse_when_busy(&self) -> Result<()> {
        let about = || format!("disk '{}' already in active block job", self.target);
        if self.mirror.is_some() {
            return Err(refusal(ErrorCode::BLOCK_COPY_ACTIVE, about()));
        }
        if self.job.is_some() {
            return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about()));
        }
        Ok(())
    }

    /// Refuses disks that can have no jobs.
    pub(crate) fn refuse_without_jobs(&self) -> Result<()> {
        let target = &self.target;
        let about = if self.bus == "sd" {
            format!("block jobs are not supported on disk '{target}' using bus 'sd'")
        } else if self.transient {
            format!("block jobs are not supported on transient disk '{target}'")
        } else if self.chain.top().is_some_and(|top| top.kind == "vhostuser") {
            format!("block jobs are not supported on vhostuser disk '{target}'")
        } else {
            return Ok(());
        };
        Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about))
    }

    /// The job that a client speaks of.
    pub(crate) fn running_job(&mut self) -> Result<&mut BlockJob> {
        let target = &self.target;
        self.job
            .as_mut()
            .ok_or_else(|| invalid(format!("disk {target} does not have an active block job")))
    }

    fn describe(&self, element: &mut Element) {
        self.chain.write(element);
        if let Some(mirror) = &self.mirror {
            put_after(
                element,
                mirror.element(),
                &["driver", "auth", "source", "backingStore"],
            );
        }
    }
}

impl Hypervisor {
    /// A domain is about to stop: what was written stays in the images, and a backup ends.
    pub(crate) fn close_disks(&mut self, uuid: Uuid) {
        let now = Instant::now();
        let live = self.domains.get_mut(&uuid).and_then(|it| it.live.as_mut());
        for disk in live.into_iter().flat_map(|live| live.disks.iter_mut()) {
            disk.settle_writes(&mut self.model, now);
            if let Some(job) = disk.job.take() {
                let moved = job.moved(now);
                let images = &mut self.model.images;
                job.writes_to.iter().for_each(|at| images.grow(at, moved));
            }
        }
        let live = self.domains.get(&uuid).and_then(|it| it.live.as_ref());
        if live.is_some_and(|live| live.disks.monitor.is_frozen()) {
            // Its process is killed in the middle of a conversation.
            self.emit_now(uuid, DomainEventKind::ControlError);
        }
        self.end_backup(uuid, DomainJobType::CANCELLED);
    }
}

/// The disks in a domain's XML.
pub(crate) fn disk_elements(config: &Element) -> impl Iterator<Item = &Element> {
    let devices = config.child("devices").into_iter();
    devices
        .flat_map(Element::elements)
        .filter(|it| it.name == "disk")
}

/// A disk in a domain's XML, to be changed.
pub(crate) fn disk_element_mut<'a>(
    config: &'a mut Element,
    target: &str,
) -> Option<&'a mut Element> {
    let devices = config.child_mut("devices")?;
    devices
        .elements_mut()
        .find(|it| it.name == "disk" && target_of(it) == Some(target))
}

/// What a `<disk>` is called.
pub(crate) fn target_of(disk: &Element) -> Option<&str> {
    disk.child("target")?.attribute("dev")
}

fn too_many() -> virtwire_protocol::RemoteError {
    let about = format!("more than {MAX_DISKS} disks are not supported");
    refusal(ErrorCode::CONFIG_UNSUPPORTED, about)
}

/// A domain has no disk that is called so.
pub(crate) fn no_such_disk(name: &str) -> virtwire_protocol::RemoteError {
    invalid(format!("disk '{name}' not found in domain"))
}
