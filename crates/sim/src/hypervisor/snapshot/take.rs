//! Taking a snapshot.

use std::collections::BTreeSet;

use tokio::time::Instant;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{DomainSnapshotCreateFlags as Flags, DomainState, ErrorCode};
use virtwire_protocol::remote::NonnullDomain;

use super::{Snapshot, SnapshotDisk};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::checkpoint::at_rest;
use crate::hypervisor::disk::{
    Chain, Disk, Disks, Layer, disk_element_mut, disk_elements, target_of,
};
use crate::hypervisor::image::{Image, Images, system_error};
use crate::hypervisor::model::Model;
use crate::hypervisor::moment::Moment;
use crate::refusal::{Result, from_domain, refusal};
use crate::xml::Element;

/// A snapshot that is to be taken.
#[derive(Debug)]
pub(crate) struct NewSnapshot {
    pub(crate) moment: Moment<Snapshot>,
    pub(crate) flags: Flags,
}

/// A disk as far as a snapshot needs to know it, whether or not the domain runs.
struct Present {
    target: String,
    chain: Chain,
    readonly: bool,
    mode: Option<String>,
}

impl Present {
    fn all(config: &Element, disks: Option<&Disks>) -> Vec<Self> {
        let present = disk_elements(config).filter_map(|element| {
            let target = target_of(element)?.to_owned();
            let live = disks.and_then(|disks| disks.by_target(&target));
            Some(Self {
                chain: live.map_or_else(|| Chain::read(element), |disk| disk.chain.clone()),
                readonly: element.child("readonly").is_some(),
                mode: element.attribute("snapshot").map(str::to_owned),
                target,
            })
        });
        present.collect()
    }

    /// What becomes of the disk when nobody says.
    fn default_mode(&self, default: &str) -> String {
        match (self.chain.top(), &self.mode) {
            (None, _) => String::from("no"),
            (_, Some(mode)) => mode.clone(),
            (_, None) if self.readonly => String::from("no"),
            _ => default.to_owned(),
        }
    }
}

impl Hypervisor {
    /// Takes a snapshot; its name.
    pub(crate) fn take_snapshot(
        &mut self,
        dom: &NonnullDomain<'_>,
        new: NewSnapshot,
    ) -> Result<String> {
        let NewSnapshot { mut moment, flags } = new;
        let domain = self.domain(dom)?;
        let disks = domain.live.as_ref().map(|live| &live.disks);
        let present = Present::all(domain.current(), disks);
        let active = disks.is_some();
        let disk_only = flags.contains(Flags::DISK_ONLY);
        moment.about.domain = Some(at_rest(domain.current()));
        moment.about.inactive = domain.definition.clone().filter(|_| active);
        let kept = [&moment.about.domain, &moment.about.inactive];
        let kept = kept.into_iter().flatten().map(|xml| xml.to_string().len());
        moment.weight += kept.sum::<usize>();
        moment.about.state = match domain.state {
            _ if disk_only && active => "disk-snapshot",
            DomainState::RUNNING => "running",
            DomainState::PAUSED => "paused",
            _ => "shutoff",
        }
        .to_owned();
        let memory = if active && !disk_only {
            "internal"
        } else {
            "no"
        };
        memory.clone_into(&mut moment.about.memory);
        let default = if disk_only { "external" } else { "internal" };
        moment.align(&present, default, &self.model.images)?;
        let domain = self.domain(dom)?;
        if !flags.contains(Flags::NO_METADATA) {
            domain.snapshots.check_new(&moment.name)?;
        }
        let reuse = flags.contains(Flags::REUSE_EXT);
        moment.check(
            domain.live.as_ref().map(|live| &live.disks),
            reuse,
            &self.model,
        )?;
        self.switch_images(dom, &moment.about, reuse)?;
        let name = moment.name.clone();
        if let Some(domain) = self.domains.get_mut(&dom.uuid) {
            if !flags.contains(Flags::NO_METADATA) {
                domain.snapshots.add(moment)?;
            }
        }
        Ok(name)
    }

    /// Has the guest go on in other images.
    fn switch_images(
        &mut self,
        dom: &NonnullDomain<'_>,
        snapshot: &Snapshot,
        reuse: bool,
    ) -> Result<()> {
        let now = Instant::now();
        let Some(domain) = self.domains.get_mut(&dom.uuid) else {
            return Ok(());
        };
        let external = snapshot
            .disks
            .iter()
            .filter(|disk| disk.mode.as_deref() == Some("external"));
        for (name, image) in external.filter_map(|disk| Some((&disk.name, disk.image.as_ref()?))) {
            let config = domain.definition.as_mut();
            let config = config.and_then(|config| disk_element_mut(config, name));
            match &mut domain.live {
                Some(live) => {
                    let index = live.disks.next_index();
                    if let Some(disk) = live.disks.by_target_mut(name) {
                        disk.go_on_in(image, index, config, reuse, &mut self.model, now)?;
                        disk.write_into(&mut live.config);
                    }
                }
                None => {
                    let Some(config) = config else { continue };
                    let mut chain = Chain::read(config);
                    create(image, chain.top(), reuse, &mut self.model)?;
                    if reuse || chain.layers.len() < 2 {
                        // libvirt keeps no more of the chain than it knew before.
                        chain.layers.clear();
                        chain.terminated = false;
                    }
                    chain.layers.insert(0, image.clone());
                    chain.write(config);
                }
            }
        }
        Ok(())
    }
}

impl Disk {
    fn go_on_in(
        &mut self,
        image: &Layer,
        index: u32,
        config: Option<&mut Element>,
        reuse: bool,
        model: &mut Model,
        now: Instant,
    ) -> Result<()> {
        self.settle_writes(model, now);
        create(image, self.chain.top(), reuse, model)?;
        if let Some(config) = config {
            let mut chain = Chain::read(config);
            if chain.same_top(&self.chain) {
                chain.layers.insert(0, image.clone());
                chain.write(config);
            }
        }
        let layer = Layer {
            index,
            ..image.clone()
        };
        self.chain.layers.insert(0, layer);
        self.touch();
        Ok(())
    }
}

/// Makes the image of a snapshot on what was the disk's image so far.
fn create(image: &Layer, below: Option<&Layer>, reuse: bool, model: &mut Model) -> Result<()> {
    let location = image.location().unwrap_or_default();
    if reuse && model.images.get(&location).is_some() {
        return Ok(());
    }
    let below_at = below.and_then(Layer::location).unwrap_or_default();
    let format = below.and_then(|below| below.format.as_deref());
    let capacity = model.images.get_or_default(&below_at, format).capacity();
    let format = image.format.as_deref().unwrap_or("qcow2");
    model
        .images
        .put(&location, Image::new(format, capacity).on(below_at))
}

impl Moment<Snapshot> {
    /// Adds what was left open, as the domain's disks have it.
    fn align(&mut self, present: &[Present], default: &str, images: &Images) -> Result<()> {
        let asked = std::mem::take(&mut self.about.disks);
        if asked.len() > present.len() {
            return Err(unsupported("too many disk snapshot requests for domain"));
        }
        let mut named = BTreeSet::new();
        for one in &asked {
            let name = &one.name;
            if !present.iter().any(|disk| disk.target == *name) {
                return Err(unsupported(format!("no disk named '{name}'")));
            }
            if !named.insert(name) {
                return Err(unsupported(format!("disk '{name}' specified twice")));
            }
        }
        for disk in present {
            let found = asked.iter().find(|one| one.name == disk.target);
            let mut one = found.cloned().unwrap_or_else(|| SnapshotDisk {
                name: disk.target.clone(),
                mode: None,
                image: None,
            });
            let mode = one.mode.get_or_insert_with(|| disk.default_mode(default));
            if mode == "external" {
                let image = one.image.take();
                one.image = Some(self.image_for(disk, image, images)?);
            }
            self.about.disks.push(one);
        }
        let mut paths = BTreeSet::new();
        for disk in &self.about.disks {
            let path = disk.image.as_ref().and_then(Layer::location);
            if path.is_some_and(|path| !paths.insert(path)) {
                let name = &disk.name;
                return Err(unsupported(format!(
                    "cannot generate external snapshot name for disk '{name}': collision with \
                     another disk"
                )));
            }
        }
        Ok(())
    }

    /// The image that a disk goes on in, whose name is made up if need be.
    fn image_for(&self, disk: &Present, image: Option<Layer>, images: &Images) -> Result<Layer> {
        let name = &disk.target;
        let mut image = image.unwrap_or_else(|| Layer::file("", None));
        let format = image.format.get_or_insert_with(|| String::from("qcow2"));
        if !matches!(format.as_str(), "qcow2" | "qed") {
            return Err(unsupported(format!(
                "external snapshot format for disk {name} is unsupported: {format}"
            )));
        }
        if image.path().is_some_and(|path| !path.is_empty()) {
            return Ok(image);
        }
        let top = disk.chain.top().filter(|top| top.kind == "file");
        let Some(path) = top.and_then(Layer::path) else {
            return Err(unsupported(format!(
                "source for disk '{name}' is not a regular file; refusing to generate external \
                 snapshot name"
            )));
        };
        let stem = match path.rsplit_once('.') {
            Some((stem, suffix)) if !suffix.contains('/') => stem,
            _ => path,
        };
        let _ = images;
        let path = format!("{stem}.{}", self.name);
        Ok(Layer::file(&path, image.format.as_deref()))
    }

    /// Refuses what cannot be.
    fn check(&self, disks: Option<&Disks>, reuse: bool, model: &Model) -> Result<()> {
        let mut external = false;
        let mut internal = false;
        let disk_only = self.about.state == "disk-snapshot";
        for one in &self.about.disks {
            let name = &one.name;
            let mode = one.mode.as_deref().unwrap_or("no");
            let disk = disks.and_then(|disks| disks.by_target(name));
            if let (Some(disk), true) = (disk, mode != "no") {
                disk.refuse_when_busy()?;
            }
            match (mode, &one.image) {
                ("internal", _) if disk_only => {
                    return Err(unsupported(format!(
                        "active qemu domains require external disk snapshots; disk {name} \
                         requested internal"
                    )));
                }
                ("internal", _) => internal = true,
                ("external", Some(image)) => {
                    external = true;
                    check_image(name, image, reuse, model)?;
                }
                _ => {}
            }
        }
        if !external && !internal && self.about.memory == "no" {
            return Err(unsupported("nothing selected for snapshot"));
        }
        if disk_only && !external {
            return Err(unsupported(
                "disk-only snapshots require at least one disk to be selected for snapshot",
            ));
        }
        if external && (internal || self.about.memory == "internal") {
            return Err(unsupported(
                "mixing internal and external targets for a snapshot is not yet supported",
            ));
        }
        Ok(())
    }
}

fn check_image(disk: &str, image: &Layer, reuse: bool, model: &Model) -> Result<()> {
    if !image.is_local() {
        return Ok(());
    }
    let path = image.path().unwrap_or_default();
    let there = model.images.get(path).is_some();
    if !there && reuse {
        let words = format!("missing existing file for disk {disk}: {path}");
        return Err(system_error(2, &words, "No such file or directory"));
    }
    if !there && image.kind == "block" {
        let about = format!("block device snapshot target '{path}' doesn't exist");
        return Err(refusal(ErrorCode::OPERATION_UNSUPPORTED, about));
    }
    if there && !reuse && image.kind == "file" {
        return Err(unsupported(format!(
            "external snapshot file for disk {disk} already exists and is not a block device: \
             {path}"
        )));
    }
    Ok(())
}

impl NewSnapshot {
    /// Refuses names that cannot be those of files.
    pub(crate) fn check_name(&self) -> Result<()> {
        let name = &self.moment.name;
        let problem = match () {
            () if self.flags.contains(Flags::NO_METADATA) => return Ok(()),
            () if name.contains('/') => "contain '/'",
            () if name.starts_with('.') => "start with '.'",
            () => return Ok(()),
        };
        let about = format!("invalid snapshot name '{name}': name can't {problem}");
        Err(from_domain(
            virtwire_protocol::constants::ErrorDomain::QEMU,
            ErrorCode::XML_DETAIL,
            &about,
        ))
    }
}

fn unsupported(about: impl AsRef<str>) -> RemoteError {
    refusal(ErrorCode::CONFIG_UNSUPPORTED, about)
}
