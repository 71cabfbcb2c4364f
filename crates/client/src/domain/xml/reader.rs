//! A single pass over the XML with an explicit stack of what each open element means.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::disk::{
    DiskDescription, DiskDevice, Layer, Mirror, MirrorJob, MirrorReady, NetworkHost, Source,
};
use super::{MAX_XML_BYTES, XmlError};

/// Chains of several hundred images exist, and each image is one level deeper.
const MAX_DEPTH: usize = 1024;

/// What is read of a domain's XML.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// The ID, which a running domain has and which its next start changes.
    pub(crate) id: Option<u32>,
    pub(crate) disks: Vec<DiskDescription>,
}

/// Reads the XML of a domain.
pub(super) fn domain(xml: &str) -> Result<Described, XmlError> {
    walk(xml, Walk::default())
}

/// Reads a `<disk>` that stands alone.
pub(super) fn disk(xml: &str) -> Result<Option<DiskDescription>, XmlError> {
    let alone = Walk {
        alone: true,
        ..Walk::default()
    };
    Ok(walk(xml, alone)?.disks.into_iter().next())
}

fn walk(xml: &str, mut walk: Walk) -> Result<Described, XmlError> {
    if xml.len() > MAX_XML_BYTES {
        return Err(XmlError::TooLong { length: xml.len() });
    }
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        let event = reader.read_event();
        let malformed = |problem: String| XmlError::Malformed {
            offset: reader.error_position().max(reader.buffer_position()),
            problem,
        };
        match event.map_err(|error| malformed(error.to_string()))? {
            Event::Start(element) => {
                let attributes = Attributes::read(&element).map_err(malformed)?;
                walk.open(&element, attributes)?;
            }
            Event::Empty(element) => {
                let attributes = Attributes::read(&element).map_err(malformed)?;
                walk.open(&element, attributes)?;
                walk.close();
            }
            Event::End(_) => walk.close(),
            Event::Eof if walk.open.is_empty() && walk.seen_root => return Ok(walk.found),
            Event::Eof if walk.seen_root => return Err(malformed("it ends too early".to_owned())),
            Event::Eof => {
                return Err(XmlError::NotADomain {
                    root: String::new(),
                });
            }
            _ => {}
        }
    }
}

/// What an open element means for what stands inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Domain,
    Devices,
    Disk,
    Backing,
    Mirror,
    /// The `<source>` of the disk, backing image or mirror that is open.
    Source(Owner),
    Elsewhere,
}

/// Whose `<source>` or `<format>` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Disk,
    Backing,
    Mirror,
}

#[derive(Default)]
struct Walk {
    found: Described,
    open: Vec<Place>,
    seen_root: bool,
    /// Whether the XML is that of a disk, without a domain around it.
    alone: bool,
    /// The `type` attributes of the open backing image and mirror: a `<source>` is read by it.
    backing_kind: String,
    mirror_kind: String,
}

impl Walk {
    fn open(
        &mut self,
        element: &BytesStart<'_>,
        mut attributes: Attributes,
    ) -> Result<(), XmlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(XmlError::TooDeep { limit: MAX_DEPTH });
        }
        let name = element.name();
        let place = match (self.open.last(), name.as_ref()) {
            (None, b"domain") if !self.alone => {
                self.seen_root = true;
                self.found.id = attributes.take("id").and_then(|id| id.parse().ok());
                Place::Domain
            }
            (None, b"disk") if self.alone => {
                self.seen_root = true;
                self.open_disk(attributes)
            }
            (None, root) => {
                return Err(XmlError::NotADomain {
                    root: String::from_utf8_lossy(root).into_owned(),
                });
            }
            (Some(Place::Domain), b"devices") => Place::Devices,
            (Some(Place::Devices), b"disk") => self.open_disk(attributes),
            (Some(Place::Disk), name) => self.open_in_disk(name, attributes),
            (Some(Place::Backing), name) => self.open_in_backing(name, attributes),
            (Some(Place::Mirror), name) => self.open_in_mirror(name, attributes),
            (Some(&Place::Source(owner)), name) => self.open_in_source(owner, name, attributes),
            _ => Place::Elsewhere,
        };
        self.open.push(place);
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn open_disk(&mut self, mut attributes: Attributes) -> Place {
        let source_kind = attributes.take("type").unwrap_or_else(|| "file".to_owned());
        let device = DiskDevice::parse(attributes.take("device").unwrap_or_default());
        self.found.disks.push(DiskDescription {
            device,
            source_kind,
            ..DiskDescription::default()
        });
        Place::Disk
    }

    fn open_in_disk(&mut self, name: &[u8], mut attributes: Attributes) -> Place {
        let Some(disk) = self.found.disks.last_mut() else {
            return Place::Elsewhere;
        };
        match name {
            b"driver" => disk.format = attributes.take("type"),
            b"target" => {
                disk.target = attributes.take("dev").unwrap_or_default();
                disk.bus = attributes.take("bus");
            }
            b"alias" => disk.alias = attributes.take("name"),
            b"readonly" => disk.read_only = true,
            b"shareable" => disk.shareable = true,
            b"transient" => disk.transient = true,
            b"source" => {
                disk.index = attributes.index();
                disk.source = attributes.source(&disk.source_kind);
                return Place::Source(Owner::Disk);
            }
            b"backingStore" => return self.open_backing(attributes),
            b"mirror" => {
                self.mirror_kind = attributes.take("type").unwrap_or_else(|| "file".to_owned());
                disk.mirror = Some(Mirror {
                    job: MirrorJob::parse(attributes.take("job").as_deref()),
                    ready: MirrorReady::parse(attributes.take("ready").as_deref()),
                    format: attributes.take("format"),
                    source: attributes.take("file").map(|path| Source::File { path }),
                });
                return Place::Mirror;
            }
            _ => {}
        }
        Place::Elsewhere
    }

    /// Opens the next backing image, or ends the chain where the element says nothing.
    fn open_backing(&mut self, mut attributes: Attributes) -> Place {
        let Some(disk) = self.found.disks.last_mut() else {
            return Place::Elsewhere;
        };
        let index = attributes.index();
        match attributes.take("type") {
            Some(kind) => {
                self.backing_kind = kind;
                disk.backing.push(Layer {
                    index,
                    ..Layer::default()
                });
                Place::Backing
            }
            None => {
                disk.backing_known = true;
                Place::Elsewhere
            }
        }
    }

    fn open_in_backing(&mut self, name: &[u8], mut attributes: Attributes) -> Place {
        if name == b"backingStore" {
            return self.open_backing(attributes);
        }
        let layer = self
            .found
            .disks
            .last_mut()
            .and_then(|disk| disk.backing.last_mut());
        match (name, layer) {
            (b"format", Some(layer)) => layer.format = attributes.take("type"),
            (b"source", Some(layer)) => {
                layer.index = layer.index.or_else(|| attributes.index());
                layer.source = attributes.source(&self.backing_kind);
                return Place::Source(Owner::Backing);
            }
            _ => {}
        }
        Place::Elsewhere
    }

    fn open_in_mirror(&mut self, name: &[u8], mut attributes: Attributes) -> Place {
        let mirror = self
            .found
            .disks
            .last_mut()
            .and_then(|disk| disk.mirror.as_mut());
        match (name, mirror) {
            (b"format", Some(mirror)) => mirror.format = attributes.take("type"),
            (b"source", Some(mirror)) => {
                mirror.source = attributes.source(&self.mirror_kind);
                return Place::Source(Owner::Mirror);
            }
            _ => {}
        }
        Place::Elsewhere
    }

    fn open_in_source(&mut self, owner: Owner, name: &[u8], mut attributes: Attributes) -> Place {
        let Some(disk) = self.found.disks.last_mut() else {
            return Place::Elsewhere;
        };
        let source = match owner {
            Owner::Disk => disk.source.as_mut(),
            Owner::Backing => disk
                .backing
                .last_mut()
                .and_then(|layer| layer.source.as_mut()),
            Owner::Mirror => disk
                .mirror
                .as_mut()
                .and_then(|mirror| mirror.source.as_mut()),
        };
        match (name, source) {
            (b"host", Some(Source::Network { hosts, .. })) => hosts.push(NetworkHost {
                name: attributes.take("name"),
                port: attributes.take("port"),
                transport: attributes.take("transport"),
                socket: attributes.take("socket"),
            }),
            (b"address", Some(Source::Nvme { address, .. })) => *address = attributes.pci_address(),
            _ => {}
        }
        Place::Elsewhere
    }
}

/// The attributes of one element, unescaped.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn read(element: &BytesStart<'_>) -> Result<Self, String> {
        element
            .attributes()
            .map(|attribute| {
                let attribute = attribute.map_err(|error| error.to_string())?;
                let value = attribute
                    .normalized_value(XmlVersion::Implicit1_0)
                    .map_err(|error| error.to_string())?;
                let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
                Ok((name, value.into_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(position).1)
    }

    fn index(&mut self) -> Option<u32> {
        self.take("index")?.parse().ok()
    }

    fn pci_address(&mut self) -> Option<String> {
        let mut part = |name| {
            let text = self.take(name)?;
            u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok()
        };
        let (domain, bus) = (part("domain")?, part("bus")?);
        let (slot, function) = (part("slot")?, part("function")?);
        Some(format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"))
    }

    /// Reads a `<source>`; `None` where it names nothing, as in an empty drive.
    fn source(&mut self, kind: &str) -> Option<Source> {
        Some(match kind {
            "file" => Source::File {
                path: self.take("file")?,
            },
            "block" => Source::Block {
                path: self.take("dev")?,
            },
            "dir" => Source::Dir {
                path: self.take("dir")?,
            },
            "network" => Source::Network {
                protocol: self.take("protocol")?,
                name: self.take("name"),
                hosts: Vec::new(),
            },
            "volume" => Source::Volume {
                pool: self.take("pool")?,
                volume: self.take("volume")?,
            },
            "nvme" => Source::Nvme {
                namespace: self.take("namespace"),
                address: None,
            },
            "vhostuser" => Source::VhostUser {
                path: self.take("path"),
            },
            "vhostvdpa" => Source::VhostVdpa {
                path: self.take("dev"),
            },
            other => Source::Other {
                kind: other.to_owned(),
            },
        })
    }
}
