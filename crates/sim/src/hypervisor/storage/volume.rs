//! A volume: a file in the directory of a pool.

use std::time::Duration;

use virtwire_protocol::constants::ErrorCode;
use virtwire_protocol::remote::NonnullStorageVol;
use virtwire_xdr::Str;

use super::definition::{Permissions, bytes, fault, parse_root, text};
use super::files::{File, Files};
use super::qcow2::{HEAD, Head};
use super::storage;
use crate::hypervisor::domain::settings::scale_of;
use crate::refusal::Result;
use crate::xml::Element;

/// The formats that libvirt knows the names of.
const FORMATS: [&str; 17] = [
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "cow",
    "qcow", "qcow2", "qed", "vmdk", "none",
];

/// A volume.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Where it is, which is its key as well.
    pub(crate) path: String,
    pub(crate) format: String,
    /// What a guest sees, in bytes.
    pub(crate) capacity: u64,
    /// What it takes of the disk, in bytes.
    pub(crate) allocation: u64,
    /// How long the file is, in bytes.
    pub(crate) physical: u64,
    /// What it stands on.
    pub(crate) backing: Option<Backing>,
    /// What its header says beyond that, once it was probed.
    pub(super) probed: Option<Probed>,
}

/// What a volume stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backing {
    pub(crate) path: String,
    pub(crate) format: String,
}

/// What libvirt finds in a header.
#[derive(Debug, Clone)]
pub(super) struct Probed {
    /// Since the version of the format that has them.
    features: bool,
    cluster: u64,
}

/// What a client's XML says a volume shall be.
#[derive(Debug, Clone)]
pub(crate) struct VolumeRequest {
    pub(crate) name: String,
    pub(crate) format: String,
    pub(crate) capacity: Option<u64>,
    pub(crate) allocation: Option<u64>,
    pub(crate) backing: Option<Backing>,
    pub(crate) permissions: Permissions,
    pub(crate) encrypted: bool,
    /// Whether a newer version of the format is wanted.
    pub(crate) modern: bool,
}

impl VolumeRequest {
    /// Reads a volume's XML.
    pub(crate) fn parse(xml: &str) -> Result<Self> {
        let volume = parse_root(xml, "volume")?;
        let name = text(&volume, &["name"]).ok_or_else(|| fault("missing volume name element"))?;
        let format = |part: &str| match volume.find(&[part, "format"]) {
            Some(format) => known_format(format.attribute("type").unwrap_or("raw")),
            None => Ok(String::from("raw")),
        };
        let backing = match text(&volume, &["backingStore", "path"]) {
            Some(path) => Some(Backing {
                path,
                format: format("backingStore")?,
            }),
            None => None,
        };
        Ok(Self {
            name,
            format: format("target")?,
            capacity: size(&volume, "capacity")?,
            allocation: size(&volume, "allocation")?,
            backing,
            permissions: Permissions::read(&volume, &["target", "permissions"])?,
            encrypted: volume.find(&["target", "encryption"]).is_some(),
            modern: volume.find(&["target", "features"]).is_some()
                || text(&volume, &["target", "compat"]).is_some_and(|it| it != "0.10"),
        })
    }

    /// The capacity, which may be left to the backing image.
    pub(crate) fn check_capacity(&self) -> Result<()> {
        if self.capacity.is_none() && self.backing.is_none() {
            return Err(fault("missing capacity element"));
        }
        Ok(())
    }
}

fn known_format(name: &str) -> Result<String> {
    if FORMATS.contains(&name) {
        return Ok(name.to_owned());
    }
    let what = format!("unknown volume format type {name}");
    Err(storage(ErrorCode::CONFIG_UNSUPPORTED, &what))
}

/// A size in bytes; none when it is not there.
fn size(volume: &Element, name: &str) -> Result<Option<u64>> {
    let Some(element) = volume.child(name) else {
        return Ok(None);
    };
    let number = element.text();
    if number.is_empty() {
        return Ok(None);
    }
    let number: u64 = number
        .parse()
        .map_err(|_| fault("malformed capacity element"))?;
    let unit = element.attribute("unit").unwrap_or("bytes");
    let scale = scale_of(unit).ok_or_else(|| {
        let what = format!("unknown suffix '{unit}'");
        storage(ErrorCode::INVALID_ARG, &what)
    })?;
    let bytes = number.checked_mul(scale);
    let bytes = bytes.filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.map(Some).ok_or_else(|| {
        let what = format!("value too large: {number}{unit}");
        storage(ErrorCode::OVERFLOW, &what)
    })
}

impl Volume {
    /// What there is to say of a file that nobody has looked into.
    pub(super) fn of_file(name: &str, path: &str, format: &str, file: &File) -> Self {
        let mut volume = Self {
            name: name.to_owned(),
            path: path.to_owned(),
            format: format.to_owned(),
            capacity: 0,
            allocation: 0,
            physical: 0,
            backing: None,
            probed: None,
        };
        volume.update(file);
        volume
    }

    /// Finds out what a file is, as a refresh of its pool does.
    pub(super) fn probe(name: &str, path: &str, file: &File) -> Self {
        let head = Head::read(&file.read(0, HEAD));
        let format = if head.is_some() { "qcow2" } else { "raw" };
        let mut volume = Self::of_file(name, path, format, file);
        if let Some(head) = head {
            volume.probed = Some(Probed {
                features: head.version > 2,
                cluster: head.cluster,
            });
            let format = head.backing_format.unwrap_or_else(|| String::from("raw"));
            volume.backing = head.backing.map(|path| Backing { path, format });
        }
        volume
    }

    /// Whether a header was found in it.
    pub(super) fn is_probed(&self) -> bool {
        self.probed.is_some()
    }

    /// Takes note of what changed in the file, as libvirt does whenever it is asked about a
    /// volume: its sizes, and not its format.
    pub(super) fn update(&mut self, file: &File) {
        self.allocation = file.allocation();
        self.physical = file.len();
        let head = (self.format == "qcow2").then(|| Head::read(&file.read(0, HEAD)));
        self.capacity = head.flatten().map_or(file.len(), |head| head.capacity);
    }

    /// As it is named on the wire.
    pub(crate) fn reference(&self, pool: &str) -> NonnullStorageVol<'static> {
        NonnullStorageVol {
            pool: Str::from(pool.to_owned()),
            name: Str::from(self.name.clone()),
            key: Str::from(self.path.clone()),
        }
    }

    /// The XML.
    pub(crate) fn xml(&self, files: &Files) -> Element {
        let text = |name: &str, text: &str| Element::new(name).with_text(text);
        let mut target = described("target", &self.path, &self.format, files.get(&self.path));
        if let Some(probed) = &self.probed {
            if probed.features {
                target.push(text("compat", "1.1"));
            }
            let cluster = Element::new("clusterSize").with("unit", "B");
            target.push(cluster.with_text(probed.cluster));
            if probed.features {
                target.push(Element::new("features"));
            }
        }
        let mut volume = Element::new("volume")
            .with("type", "file")
            .with_child(text("name", &self.name))
            .with_child(text("key", &self.path))
            .with_child(bytes("capacity", self.capacity))
            .with_child(bytes("allocation", self.allocation));
        if self.physical > 0 {
            volume.push(bytes("physical", self.physical));
        }
        volume.push(target);
        if let Some(Backing { path, format }) = &self.backing {
            let file = files.get(path);
            volume.push(described("backingStore", path, format, file));
        }
        volume
    }
}

/// A file as the XML of a volume has it.
fn described(name: &str, path: &str, format: &str, file: Option<&File>) -> Element {
    let mut element = Element::new(name)
        .with_child(Element::new("path").with_text(path))
        .with_child(Element::new("format").with("type", format));
    if let Some(file) = file {
        Permissions::of(file.owned).write(&mut element);
        let mut times = Element::new("timestamps");
        for (name, time) in ["atime", "mtime", "ctime"].into_iter().zip(file.times) {
            times.push(Element::new(name).with_text(timestamp(time)));
        }
        times.push(Element::new("btime").with_text(0));
        element.push(times);
    }
    element
}

fn timestamp(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => time.as_secs().to_string(),
        nanos => format!("{}.{nanos:09}", time.as_secs()),
    }
}
