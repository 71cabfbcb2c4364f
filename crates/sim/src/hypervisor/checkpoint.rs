//! Checkpoints: moments since when changes to disks are kept track of.

use tokio::time::Instant;
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::remote::NonnullDomain;

use super::disk::{Disk, Disks};
use super::domain::hardware;
use super::moment::Moment;
use super::{Domain, Hypervisor};
use crate::refusal::{Result, from_domain, refusal};
use crate::xml::Element;

/// What a checkpoint keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checkpoint {
    disks: Vec<CheckpointDisk>,
    /// The domain as it was.
    domain: Option<Element>,
}

#[derive(Debug, Clone)]
struct CheckpointDisk {
    name: String,
    /// The name of what keeps track of the changes; none if nothing does.
    bitmap: Option<String>,
    tracked: bool,
    /// What the guest had written by then.
    written: u64,
}

impl Checkpoint {
    /// Whether it keeps track of the changes to a disk.
    pub(crate) fn covers(&self, target: &str) -> bool {
        let mut disks = self.disks.iter();
        disks.any(|disk| disk.name == target && disk.tracked)
    }

    /// `<domaincheckpoint>`. `size` is that of the changes so far, if it is wanted and known.
    pub(crate) fn element(
        moment: &Moment<Self>,
        with_domain: bool,
        size: impl Fn(&str) -> Option<u64>,
    ) -> Element {
        let mut root = Element::new("domaincheckpoint");
        root.push(Element::new("name").with_text(&moment.name));
        if let Some(description) = &moment.description {
            root.push(Element::new("description").with_text(description));
        }
        if let Some(parent) = &moment.parent {
            let name = Element::new("name").with_text(parent);
            root.push(Element::new("parent").with_child(name));
        }
        root.push(Element::new("creationTime").with_text(moment.created));
        let mut disks = Element::new("disks");
        for disk in &moment.about.disks {
            let mut element = Element::new("disk").with("name", &disk.name);
            let kind = if disk.tracked { "bitmap" } else { "no" };
            element.set("checkpoint", kind);
            if let (Some(bitmap), true) = (&disk.bitmap, disk.tracked) {
                element.set("bitmap", bitmap);
                if let Some(size) = size(&disk.name) {
                    element.set("size", size);
                }
            }
            disks.push(element);
        }
        root.push(disks);
        if let (Some(domain), true) = (&moment.about.domain, with_domain) {
            root.push(domain.clone());
        }
        root
    }
}

impl Moment<Checkpoint> {
    /// Reads `<domaincheckpoint>`; one that is described anew has its time and its parent there.
    pub(crate) fn parse_checkpoint(xml: &str, redefine: bool) -> Result<Self> {
        let root = Element::parse(xml).map_err(|error| xml_error(&error.to_string()))?;
        if root.name != "domaincheckpoint" {
            let name = &root.name;
            return Err(xml_error(&format!(
                "unexpected root element <{name}>, expecting <domaincheckpoint>"
            )));
        }
        let name = root.child_text("name").filter(|name| !name.is_empty());
        if redefine && name.is_none() {
            return Err(xml_error("a redefined checkpoint must have a name"));
        }
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(from_domain(
                ErrorDomain::XML,
                ErrorCode::XML_INVALID_SCHEMA,
                "Unable to validate doc against domaincheckpoint.rng",
            ));
        }
        let disks = root.child("disks").into_iter().flat_map(Element::elements);
        let disks = disks.map(|disk| {
            let name = disk.attribute("name");
            Ok(CheckpointDisk {
                name: name
                    .ok_or_else(|| xml_error("missing name from disk checkpoint element"))?
                    .to_owned(),
                bitmap: disk.attribute("bitmap").map(str::to_owned),
                tracked: disk.attribute("checkpoint") != Some("no"),
                written: 0,
            })
        });
        let about = Checkpoint {
            disks: disks.collect::<Result<_>>()?,
            domain: root.child("domain").filter(|_| redefine).cloned(),
        };
        let mut moment = Self::now(name, root.child_text("description"), about);
        moment.weight = xml.len();
        if redefine {
            let time = root.child_text("creationTime");
            let time = time.and_then(|time| time.parse().ok());
            moment.created = time.ok_or_else(|| {
                refusal(
                    ErrorCode::INTERNAL_ERROR,
                    "missing creationTime from existing checkpoint",
                )
            })?;
            moment.parent = root.find(&["parent", "name"]).map(Element::text);
        }
        Ok(moment)
    }

    /// Adds what was left open, as the domain's disks have it.
    fn align(&mut self, disks: &Disks) -> Result<()> {
        let asked = std::mem::take(&mut self.about.disks);
        let everything = asked.is_empty();
        if disks.iter().next().is_none() {
            return Err(unsupported(
                "domain must have at least one disk to perform checkpoints",
            ));
        }
        for one in &asked {
            let name = &one.name;
            let disk = disks.by_target(name);
            let disk = disk.ok_or_else(|| unsupported(format!("no disk named '{name}'")))?;
            if asked.iter().filter(|other| other.name == *name).count() > 1 {
                return Err(unsupported(format!("disk '{name}' specified twice")));
            }
            if one.tracked && !writable(disk) {
                return Err(unsupported(format!("disk '{name}' is empty or readonly")));
            }
        }
        let now = Instant::now();
        for disk in disks.iter() {
            let found = asked.iter().find(|one| one.name == disk.target);
            let mut one = found.cloned().unwrap_or_else(|| CheckpointDisk {
                name: disk.target.clone(),
                bitmap: None,
                tracked: everything && writable(disk),
                written: 0,
            });
            one.written = disk.writes.total(now);
            if one.tracked {
                one.bitmap.get_or_insert_with(|| self.name.clone());
                check_tracked(&one, disk, &self.name)?;
            }
            self.about.disks.push(one);
        }
        Ok(())
    }
}

impl Hypervisor {
    /// Completes a checkpoint that is to be made now.
    pub(crate) fn prepare_checkpoint(
        &self,
        dom: &NonnullDomain<'_>,
        checkpoint: &mut Moment<Checkpoint>,
    ) -> Result<()> {
        let domain = self.domain(dom)?;
        let live = domain.live()?;
        checkpoint.align(&live.disks)?;
        domain.checkpoints.check_new(&checkpoint.name)?;
        let config = at_rest(&live.config);
        checkpoint.weight = config.to_string().len();
        checkpoint.about.domain = Some(config);
        Ok(())
    }
}

impl Domain {
    /// How much was written to a disk since a checkpoint; `None` without one.
    pub(crate) fn dirty_since(
        &self,
        target: &str,
        checkpoint: Option<&str>,
        now: Instant,
    ) -> Option<u64> {
        let checkpoint = self.checkpoints.get(checkpoint?)?;
        let mut disks = checkpoint.about.disks.iter();
        let then = disks.find(|disk| disk.name == target)?.written;
        let disk = self.live.as_ref()?.disks.by_target(target)?;
        Some(disk.writes.total(now).saturating_sub(then))
    }
}

/// A description without what only a running domain has.
pub(crate) fn at_rest(config: &Element) -> Element {
    let mut config = config.clone();
    hardware::unplug(&mut config);
    config
}

fn check_tracked(one: &CheckpointDisk, disk: &Disk, checkpoint: &str) -> Result<()> {
    let name = &one.name;
    if one.bitmap.as_deref() != Some(checkpoint) {
        return Err(unsupported(format!(
            "bitmap for disk '{name}' must match checkpoint name '{checkpoint}'"
        )));
    }
    let format = disk.chain.top().and_then(|top| top.format.as_deref());
    let format = format.unwrap_or("raw");
    if format != "qcow2" {
        return Err(unsupported(format!(
            "checkpoint for disk {name} unsupported for storage type {format}"
        )));
    }
    disk.refuse_without_jobs()
}

/// What libvirt's schema lets a checkpoint be called.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !name.starts_with('.') && name.chars().all(fits)
}

fn writable(disk: &Disk) -> bool {
    disk.chain.top().is_some() && !disk.readonly
}

fn unsupported(about: impl AsRef<str>) -> RemoteError {
    refusal(ErrorCode::CONFIG_UNSUPPORTED, about)
}

fn xml_error(about: &str) -> RemoteError {
    from_domain(ErrorDomain::DOMAIN_CHECKPOINT, ErrorCode::XML_ERROR, about)
}
