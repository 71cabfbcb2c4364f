use virtwire_protocol::constants::DomainSnapshotCreateFlags;

use super::Snapshot;
use crate::domain::xml::Element;
use crate::{Domain, Error};

/// A snapshot of disks that is not taken yet: the guest goes on in new images, overlays, which
/// stand on those that it has used so far. These stay as they are, and a commit brings the overlays
/// back into them.
///
/// A disk that is not named goes on in an overlay beside its image, whose name ends in that of the
/// snapshot, unless its image is no file, which the daemon refuses, or the guest only reads it.
///
/// Made by [`Domain::disk_snapshot`].
#[derive(Debug, Clone)]
#[must_use = "a snapshot is not taken until it is created"]
pub struct DiskSnapshot {
    domain: Domain,
    name: Option<String>,
    description: Option<String>,
    disks: Vec<(String, Option<Overlay>)>,
    flags: DomainSnapshotCreateFlags,
}

/// The image that a disk goes on in.
///
/// ```
/// # use virtwire::Overlay;
/// let overlay = Overlay::file("/images/vda.tuesday").format("qcow2");
/// # let _ = overlay;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is for a snapshot"]
pub struct Overlay {
    place: Option<Place>,
    format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(String),
    Block(String),
}

impl Overlay {
    /// A file, by its absolute path.
    pub fn file(path: impl Into<String>) -> Self {
        Self::new(Some(Place::File(path.into())))
    }

    /// A block device, by its absolute path. It is there already, and what is on it is lost.
    pub fn block(path: impl Into<String>) -> Self {
        Self::new(Some(Place::Block(path.into())))
    }

    /// A file beside the disk's image, whose name the daemon makes.
    pub fn generated() -> Self {
        Self::new(None)
    }

    fn new(place: Option<Place>) -> Self {
        Self {
            place,
            format: None,
        }
    }

    /// Its format: `qcow2`, which is the default, or another that can stand on an image.
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }

    fn element(&self, target: &str) -> Element {
        let disk = Element::new("disk").with("name", target);
        let (kind, source) = match &self.place {
            None => (None, None),
            Some(Place::File(path)) => (Some("file"), Some(("file", path))),
            Some(Place::Block(path)) => (Some("block"), Some(("dev", path))),
        };
        let disk = disk.with("snapshot", "external");
        let disk = kind
            .into_iter()
            .fold(disk, |disk, kind| disk.with("type", kind));
        let format = self.format.as_ref();
        disk.with_children(format.map(|format| Element::new("driver").with("type", format)))
            .with_children(source.map(|(name, path)| Element::new("source").with(name, path)))
    }
}

impl DiskSnapshot {
    pub(super) fn new(domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
            name: None,
            description: None,
            disks: Vec::new(),
            flags: DomainSnapshotCreateFlags::DISK_ONLY,
        }
    }

    /// Its name, which generated names of files end in. Without one the daemon makes one of the
    /// time, in seconds since 1970.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says what it is for, to people.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// This disk, by its target, goes on in that image.
    pub fn disk(mut self, target: impl Into<String>, overlay: Overlay) -> Self {
        self.disks.push((target.into(), Some(overlay)));
        self
    }

    /// This disk, by its target, goes on in the image that it has.
    pub fn exclude(mut self, target: impl Into<String>) -> Self {
        self.disks.push((target.into(), None));
        self
    }

    /// All disks change over or none. The daemon does no less with any hypervisor of our time;
    /// this has it refuse where it could not.
    #[doc(alias = "VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC")]
    pub fn atomic(self) -> Self {
        self.with(DomainSnapshotCreateFlags::ATOMIC)
    }

    /// Has the guest's agent freeze its filesystems for the moment.
    #[doc(alias = "VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE")]
    pub fn quiesce(self) -> Self {
        self.with(DomainSnapshotCreateFlags::QUIESCE)
    }

    /// The images are there already, prepared by whoever asks: the daemon neither makes them nor
    /// looks at what they stand on.
    #[doc(alias = "VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT")]
    pub fn reuse_external(self) -> Self {
        self.with(DomainSnapshotCreateFlags::REUSE_EXT)
    }

    /// The daemon keeps no record of the snapshot, which then is nothing but the images. Whoever
    /// commits the overlays afterwards wants this, since the record would speak of images that are
    /// no more.
    #[doc(alias = "VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA")]
    pub fn no_metadata(self) -> Self {
        self.with(DomainSnapshotCreateFlags::NO_METADATA)
    }

    fn with(mut self, flags: DomainSnapshotCreateFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// The XML that is sent.
    #[must_use]
    pub fn xml(&self) -> String {
        let text = |name: &str, value: &Option<String>| {
            let value = value.as_ref();
            value.map(|value| Element::new(name).with_text(value))
        };
        let disks = self.disks.iter().map(|(target, overlay)| match overlay {
            Some(overlay) => overlay.element(target),
            None => Element::new("disk")
                .with("name", target)
                .with("snapshot", "no"),
        });
        let disks = (!self.disks.is_empty()).then(|| Element::new("disks").with_children(disks));
        Element::new("domainsnapshot")
            .with_children(text("name", &self.name))
            .with_children(text("description", &self.description))
            .with_children(disks)
            .to_string()
    }

    /// Takes the snapshot. What the handle names is not to be found when no record is kept.
    ///
    /// # Errors
    ///
    /// `CONFIG_UNSUPPORTED` for a disk that the domain does not have, or an image that is there
    /// though it is not to be reused; `OPERATION_UNSUPPORTED` or `OPERATION_INVALID` while a job
    /// runs on a disk; `ARGUMENT_UNSUPPORTED` or one of the guest agent's codes when the
    /// filesystems cannot be frozen; `OPERATION_TIMEOUT` after half a minute while a job of the
    /// whole domain, such as a backup, is under way.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the snapshot may or may not be taken: the XML of the domain tells.
    #[doc(alias = "virDomainSnapshotCreateXML")]
    pub async fn create(self) -> Result<Snapshot, Error> {
        let xml = self.xml();
        self.domain.create_snapshot(&xml, self.flags).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_are_described_by_what_is_known_of_them() {
        let element = |overlay: Overlay| overlay.element("vda").to_string();
        assert_eq!(
            element(Overlay::file("/a & b").format("qcow2")),
            "<disk name=\"vda\" snapshot=\"external\" type=\"file\"><driver type=\"qcow2\"/>\
             <source file=\"/a &amp; b\"/></disk>"
        );
        assert_eq!(
            element(Overlay::block("/dev/vg/lv")),
            "<disk name=\"vda\" snapshot=\"external\" type=\"block\"><source dev=\"/dev/vg/lv\"/></disk>"
        );
        assert_eq!(
            element(Overlay::generated()),
            "<disk name=\"vda\" snapshot=\"external\"/>"
        );
    }
}
