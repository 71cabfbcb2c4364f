//! What a client's XML says a pool is.

use virtwire_protocol::constants::{ConnectListAllStoragePoolsFlags, ErrorCode, ErrorDomain};

use super::files::{MAX_NAME, Owned};
use super::{Errno, sanitize, storage};
use crate::hypervisor::{Uuid, parse_uuid, uuid_text};
use crate::refusal::Result;
use crate::xml::Element;

/// The types of libvirt, by the flag that lists them.
const KINDS: [(&str, ConnectListAllStoragePoolsFlags); 14] = {
    use ConnectListAllStoragePoolsFlags as Flags;
    [
        ("dir", Flags::DIR),
        ("fs", Flags::FS),
        ("netfs", Flags::NETFS),
        ("logical", Flags::LOGICAL),
        ("disk", Flags::DISK),
        ("iscsi", Flags::ISCSI),
        ("iscsi-direct", Flags::ISCSI_DIRECT),
        ("scsi", Flags::SCSI),
        ("mpath", Flags::MPATH),
        ("rbd", Flags::RBD),
        ("sheepdog", Flags::SHEEPDOG),
        ("gluster", Flags::GLUSTER),
        ("zfs", Flags::ZFS),
        ("vstorage", Flags::VSTORAGE),
    ]
};

/// What a client's XML says a pool is.
#[derive(Debug, Clone)]
pub(crate) struct PoolDefinition {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// One of libvirt's types.
    pub(crate) kind: &'static str,
    /// Its flag among those for lists.
    pub(crate) flag: ConnectListAllStoragePoolsFlags,
    /// Where its volumes are, if they are files.
    pub(crate) target: Option<String>,
    /// The rights that the directory is to have.
    pub(crate) permissions: Permissions,
    source: Option<Element>,
}

/// Rights, as far as somebody said what they shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    mode: Option<u32>,
    owner: Option<u32>,
    group: Option<u32>,
}

impl PoolDefinition {
    /// Reads a pool's XML. A UUID that it lacks is made up by `make_uuid` from the name.
    pub(crate) fn parse(xml: &str, make_uuid: impl FnOnce(&str) -> Uuid) -> Result<Self> {
        let pool = parse_root(xml, "pool")?;
        let kind = pool
            .attribute("type")
            .ok_or_else(|| fault("Missing required attribute 'type' in element 'pool'"))?;
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let &(kind, flag) = known.ok_or_else(|| {
            fault(&format!(
                "Invalid value for attribute 'type' in element 'pool': '{kind}'."
            ))
        })?;
        let name = text(&pool, &["name"]);
        let name = name.ok_or_else(|| fault("missing pool source name element"))?;
        if name.contains('/') {
            return Err(fault(&format!("name {name} cannot contain '/'")));
        }
        if name.contains('\n') {
            return Err(fault(&format!("invalid char in name: {name}")));
        }
        // libvirt keeps it in a file of that name, and its name is in whatever names a volume.
        if name.len() + ".xml".len() > MAX_NAME {
            let what = "cannot create the pool's config file";
            return Err(Errno::NameTooLong.report(ErrorDomain::STORAGE, what));
        }
        let uuid = match text(&pool, &["uuid"]) {
            Some(text) => parse_uuid(&text).ok_or_else(|| fault("malformed uuid element"))?,
            None => make_uuid(&name),
        };
        let target = match kind {
            "rbd" | "sheepdog" | "gluster" | "iscsi-direct" => None,
            "logical" | "zfs" => Some(format!("/dev/{name}")),
            _ => {
                let path = text(&pool, &["target", "path"]);
                let path = path.ok_or_else(|| fault("missing storage pool target path"))?;
                Some(sanitize(&path))
            }
        };
        Ok(Self {
            permissions: Permissions::read(&pool, &["target", "permissions"])?,
            source: pool.child("source").cloned(),
            name,
            uuid,
            kind,
            flag,
            target,
        })
    }

    /// The flags of lists for all types.
    pub(crate) fn all_kinds() -> ConnectListAllStoragePoolsFlags {
        KINDS.iter().map(|(_, flag)| *flag).collect()
    }

    /// Whether the simulated host can start such a pool.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, "dir" | "fs" | "netfs")
    }

    /// The XML, with these figures.
    pub(crate) fn xml(&self, figures: [u64; 3]) -> Element {
        let [capacity, allocation, available] = figures;
        let source = self
            .source
            .clone()
            .filter(|source| !source.children.is_empty());
        // libvirt never writes this element as an empty one.
        let source = source.unwrap_or_else(|| Element::new("source").with_text("\n  "));
        let mut pool = Element::new("pool")
            .with("type", self.kind)
            .with_child(Element::new("name").with_text(&self.name))
            .with_child(Element::new("uuid").with_text(uuid_text(&self.uuid)))
            .with_child(bytes("capacity", capacity))
            .with_child(bytes("allocation", allocation))
            .with_child(bytes("available", available))
            .with_child(source);
        if let Some(path) = &self.target {
            let mut target =
                Element::new("target").with_child(Element::new("path").with_text(path));
            self.permissions.write(&mut target);
            pool.push(target);
        }
        pool
    }
}

impl Permissions {
    /// Those of a file or directory.
    pub(crate) fn of(owned: Owned) -> Self {
        Self {
            mode: Some(owned.mode),
            owner: Some(owned.owner),
            group: Some(owned.group),
        }
    }

    /// Reads them from XML.
    pub(super) fn read(element: &Element, path: &[&str]) -> Result<Self> {
        let Some(permissions) = element.find(path) else {
            return Ok(Self::default());
        };
        let number = |name: &str, radix: u32| match text(permissions, &[name]) {
            None => Ok(None),
            Some(text) if text == "-1" => Ok(None),
            Some(text) => match u32::from_str_radix(&text, radix) {
                Ok(number) => Ok(Some(number)),
                Err(_) if name == "mode" => Err(fault("malformed octal mode")),
                Err(_) => Err(fault(&format!("malformed {name} element"))),
            },
        };
        let (mode, owner) = (number("mode", 8)?, number("owner", 10)?);
        let group = number("group", 10)?;
        if mode.is_some_and(|mode| mode > 0o777) {
            return Err(fault("malformed octal mode"));
        }
        Ok(Self { mode, owner, group })
    }

    /// The rights, where nobody said what they shall be those that were there.
    pub(crate) fn or(&self, otherwise: Owned) -> Owned {
        Owned {
            mode: self.mode.unwrap_or(otherwise.mode),
            owner: self.owner.unwrap_or(otherwise.owner),
            group: self.group.unwrap_or(otherwise.group),
        }
    }

    /// Writes them into XML.
    pub(super) fn write(&self, element: &mut Element) {
        let mut permissions = Element::new("permissions");
        let numbers = [
            ("mode", self.mode.map(|mode| format!("0{mode:o}"))),
            ("owner", self.owner.map(|owner| owner.to_string())),
            ("group", self.group.map(|group| group.to_string())),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                permissions.push(Element::new(name).with_text(number));
            }
        }
        if !permissions.children.is_empty() {
            element.push(permissions);
        }
    }
}

/// Reads a document whose root must have this name.
pub(super) fn parse_root(xml: &str, name: &str) -> Result<Element> {
    let root = Element::parse(xml).map_err(|error| fault(&error.to_string()))?;
    if root.name != name {
        let found = &root.name;
        return Err(fault(&format!(
            "expecting root element of '{name}', not '{found}'"
        )));
    }
    Ok(root)
}

/// The text at the end of a path of names, unless it is empty.
pub(super) fn text(element: &Element, path: &[&str]) -> Option<String> {
    let text = element.find(path)?.text();
    (!text.is_empty()).then_some(text)
}

/// A number of bytes.
pub(super) fn bytes(name: &str, number: u64) -> Element {
    Element::new(name).with("unit", "bytes").with_text(number)
}

/// Something is wrong with the XML.
pub(super) fn fault(about: &str) -> virtwire_protocol::RemoteError {
    storage(ErrorCode::XML_ERROR, about)
}
