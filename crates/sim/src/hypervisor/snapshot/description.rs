//! What a snapshot is, as XML says it.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use crate::hypervisor::disk::Layer;
use crate::hypervisor::moment::Moment;
use crate::refusal::{Result, from_domain, refusal};
use crate::xml::Element;

/// What a snapshot keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// `disk-snapshot`, `running`, …: what the domain was.
    pub(crate) state: String,
    /// Where its memory is: `no`, `internal` or `external`.
    pub(crate) memory: String,
    pub(crate) disks: Vec<SnapshotDisk>,
    /// The domain as it was, and its definition beside it.
    pub(crate) domain: Option<Element>,
    pub(crate) inactive: Option<Element>,
}

/// What a snapshot does with a disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotDisk {
    pub(crate) name: String,
    /// `no`, `internal`, `external` or `manual`; none when that is left open.
    pub(crate) mode: Option<String>,
    /// The image that the guest goes on in.
    pub(crate) image: Option<Layer>,
}

impl Snapshot {
    /// Whether some disk goes on in another image.
    pub(crate) fn is_external(&self) -> bool {
        let mut disks = self.disks.iter();
        self.memory == "external" || disks.any(|disk| disk.mode.as_deref() == Some("external"))
    }

    /// `<domainsnapshot>`
    pub(crate) fn element(moment: &Moment<Self>) -> Element {
        let about = &moment.about;
        let mut root = Element::new("domainsnapshot");
        root.push(Element::new("name").with_text(&moment.name));
        if let Some(description) = &moment.description {
            root.push(Element::new("description").with_text(description));
        }
        root.push(Element::new("state").with_text(&about.state));
        if let Some(parent) = &moment.parent {
            let name = Element::new("name").with_text(parent);
            root.push(Element::new("parent").with_child(name));
        }
        root.push(Element::new("creationTime").with_text(moment.created));
        root.push(Element::new("memory").with("snapshot", &about.memory));
        if !about.disks.is_empty() {
            let mut disks = Element::new("disks");
            for disk in &about.disks {
                disks.push(disk.element());
            }
            root.push(disks);
        }
        root.children
            .extend(about.domain.clone().map(crate::xml::Node::Element));
        if let Some(mut inactive) = about.inactive.clone() {
            inactive.name = String::from("inactiveDomain");
            root.push(inactive);
        }
        root
    }
}

impl SnapshotDisk {
    fn parse(disk: &Element) -> Result<Self> {
        let name = disk
            .attribute("name")
            .ok_or_else(|| xml_error("missing name from disk snapshot element"))?;
        let format = disk.child("driver").and_then(|it| it.attribute("type"));
        let image = Layer::read(disk, format.map(str::to_owned));
        let asked = disk.attribute("snapshot").map(str::to_owned);
        let mode = match (asked, &image) {
            // To name a file is to ask for it.
            (None, Some(_)) => Some(String::from("external")),
            (asked, _) => asked,
        };
        if let Some(mode) = &mode {
            if !["no", "internal", "external", "manual"].contains(&mode.as_str()) {
                return Err(xml_error(&format!(
                    "Invalid value for attribute 'snapshot' in element 'disk': '{mode}'."
                )));
            }
        }
        let image = image.or_else(|| {
            // A format without a file.
            let format = format?;
            Some(Layer::file("", Some(format)))
        });
        Ok(Self {
            name: name.to_owned(),
            mode,
            image,
        })
    }

    fn element(&self) -> Element {
        let mode = self.mode.as_deref().unwrap_or("no");
        let mut element = Element::new("disk")
            .with("name", &self.name)
            .with("snapshot", mode);
        if let (Some(image), "external") = (&self.image, mode) {
            element.set("type", &image.kind);
            let format = image.format.as_deref().unwrap_or("qcow2");
            element.push(Element::new("driver").with("type", format));
            element.push(image.source.clone());
        }
        element
    }
}

impl Moment<Snapshot> {
    /// Reads `<domainsnapshot>`; one that is described anew has its time, its state and its parent
    /// there.
    pub(crate) fn parse_snapshot(xml: &str, redefine: bool) -> Result<Self> {
        let root = Element::parse(xml).map_err(|error| xml_error(&error.to_string()))?;
        if root.name != "domainsnapshot" {
            let name = &root.name;
            return Err(xml_error(&format!(
                "unexpected root element <{name}>, expecting <domainsnapshot>"
            )));
        }
        let name = root.child_text("name").filter(|name| !name.is_empty());
        if redefine && name.is_none() {
            return Err(xml_error("a redefined snapshot must have a name"));
        }
        let memory = root.child("memory").and_then(|it| it.attribute("snapshot"));
        let disks = root.child("disks").into_iter().flat_map(Element::elements);
        let mut moment = Self::now(
            name,
            root.child_text("description"),
            Snapshot {
                memory: memory.unwrap_or_default().to_owned(),
                disks: disks.map(SnapshotDisk::parse).collect::<Result<_>>()?,
                ..Snapshot::default()
            },
        );
        moment.weight = xml.len();
        if redefine {
            moment.read_again(&root)?;
        }
        Ok(moment)
    }

    /// What stands in a description that libvirt itself had written.
    fn read_again(&mut self, root: &Element) -> Result<()> {
        let time = root.child_text("creationTime");
        let time = time.and_then(|time| time.parse().ok());
        self.created = time.ok_or_else(|| {
            let about = "missing creationTime from existing snapshot";
            refusal(ErrorCode::INTERNAL_ERROR, about)
        })?;
        self.parent = root.find(&["parent", "name"]).map(Element::text);
        let state = root.child_text("state");
        let state = state.ok_or_else(|| xml_error("missing state from existing snapshot"))?;
        if self.about.memory.is_empty() {
            let offline = matches!(state.as_str(), "shutoff" | "disk-snapshot");
            let memory = if offline { "no" } else { "internal" };
            memory.clone_into(&mut self.about.memory);
        }
        self.about.state = state;
        self.about.domain = root.child("domain").cloned();
        self.about.inactive = root.child("inactiveDomain").cloned();
        Ok(())
    }
}

fn xml_error(about: &str) -> RemoteError {
    from_domain(ErrorDomain::DOMAIN_SNAPSHOT, ErrorCode::XML_ERROR, about)
}
