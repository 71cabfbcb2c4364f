//! A disk, as the XML describes it.

/// One `<disk>` of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiskDescription {
    /// What the guest sees: a disk, a CD-ROM drive, …
    pub device: DiskDevice,
    /// The target name (`vda`), by which block jobs and their events call the disk.
    pub target: String,
    /// The bus (`virtio`, `scsi`, …).
    pub bus: Option<String>,
    /// The device alias (`virtio-disk0`); running domains only.
    pub alias: Option<String>,
    /// The kind of source (`file`, `block`, `network`, …), which an empty drive has as well.
    pub source_kind: String,
    /// The active image; `None` for an empty drive.
    pub source: Option<Source>,
    /// The format of the active image (`qcow2`, `raw`, …).
    pub format: Option<String>,
    /// The number of the active image in `vda[N]`; running domains only.
    pub index: Option<u32>,
    /// The backing images, from the nearest to the farthest.
    pub backing: Vec<Layer>,
    /// Whether `backing` is known to be the whole chain: libvirt ends a chain it has looked at with
    /// an empty element, and leaves out what it has not looked at.
    pub backing_known: bool,
    /// The copy or active commit in progress.
    pub mirror: Option<Mirror>,
    /// Whether the guest can only read.
    pub read_only: bool,
    /// Whether several domains may use the disk at once.
    pub shareable: bool,
    /// Whether changes are thrown away when the domain stops.
    pub transient: bool,
}

/// What a disk is to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DiskDevice {
    /// A hard disk, which is also what no `device` attribute means.
    #[default]
    Disk,
    /// A CD-ROM drive.
    Cdrom,
    /// A floppy drive.
    Floppy,
    /// A host's SCSI unit that takes SCSI commands from the guest.
    Lun,
    /// Something newer than this crate.
    Other(String),
}

impl DiskDevice {
    pub(super) fn parse(name: String) -> Self {
        match name.as_str() {
            "" | "disk" => Self::Disk,
            "cdrom" => Self::Cdrom,
            "floppy" => Self::Floppy,
            "lun" => Self::Lun,
            _ => Self::Other(name),
        }
    }

    /// Returns the name as it stands in the XML.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk => "disk",
            Self::Cdrom => "cdrom",
            Self::Floppy => "floppy",
            Self::Lun => "lun",
            Self::Other(name) => name,
        }
    }
}

/// One backing image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Layer {
    /// The number of the image in `vda[N]`; running domains only.
    pub index: Option<u32>,
    /// The image's format.
    pub format: Option<String>,
    /// Where the image is.
    pub source: Option<Source>,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file.
    File {
        /// Its path.
        path: String,
    },
    /// A block device.
    Block {
        /// Its path.
        path: String,
    },
    /// A directory that the guest sees as a FAT disk.
    Dir {
        /// Its path.
        path: String,
    },
    /// An image on the network.
    Network {
        /// The protocol (`rbd`, `nbd`, `iscsi`, …).
        protocol: String,
        /// The image's name in the protocol's terms.
        name: Option<String>,
        /// The servers.
        hosts: Vec<NetworkHost>,
    },
    /// A volume of a storage pool.
    Volume {
        /// The pool's name.
        pool: String,
        /// The volume's name.
        volume: String,
    },
    /// A namespace of an NVMe controller that the guest drives directly.
    Nvme {
        /// The namespace's number.
        namespace: Option<String>,
        /// The controller's PCI address, as `0000:01:00.0`.
        address: Option<String>,
    },
    /// A vhost-user server.
    VhostUser {
        /// The path of its socket.
        path: Option<String>,
    },
    /// A vhost-vdpa device.
    VhostVdpa {
        /// Its path.
        path: Option<String>,
    },
    /// Something newer than this crate.
    Other {
        /// The `type` that the XML names.
        kind: String,
    },
}

impl Source {
    /// Returns the local path, if the source has one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path } | Self::Block { path } | Self::Dir { path } => Some(path),
            Self::VhostUser { path } | Self::VhostVdpa { path } => path.as_deref(),
            Self::Network { .. } | Self::Volume { .. } | Self::Nvme { .. } | Self::Other { .. } => {
                None
            }
        }
    }

    /// Returns the name of the kind of source, as it stands in the XML.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::File { .. } => "file",
            Self::Block { .. } => "block",
            Self::Dir { .. } => "dir",
            Self::Network { .. } => "network",
            Self::Volume { .. } => "volume",
            Self::Nvme { .. } => "nvme",
            Self::VhostUser { .. } => "vhostuser",
            Self::VhostVdpa { .. } => "vhostvdpa",
            Self::Other { kind } => kind,
        }
    }
}

/// A server of a network source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkHost {
    /// Its name or address.
    pub name: Option<String>,
    /// Its port, as written.
    pub port: Option<String>,
    /// The transport (`tcp`, `unix`, …).
    pub transport: Option<String>,
    /// The path of its socket, for `unix`.
    pub socket: Option<String>,
}

impl NetworkHost {
    /// A server at an address and a port, by TCP.
    pub fn tcp(name: impl Into<String>, port: u16) -> Self {
        Self {
            name: Some(name.into()),
            port: Some(port.to_string()),
            ..Self::default()
        }
    }

    /// A server at a Unix socket.
    pub fn unix(socket: impl Into<String>) -> Self {
        Self {
            transport: Some("unix".to_owned()),
            socket: Some(socket.into()),
            ..Self::default()
        }
    }
}

/// The other side of a copy or an active commit in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// The job that mirrors.
    pub job: MirrorJob,
    /// How far it is.
    pub ready: MirrorReady,
    /// Where the data goes.
    pub source: Option<Source>,
    /// The format of the destination.
    pub format: Option<String>,
}

/// The job behind a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MirrorJob {
    /// A block copy, which is also what no `job` attribute means.
    Copy,
    /// A commit of the active image.
    ActiveCommit,
    /// The job is being taken down: libvirt then leaves the name empty.
    Ending,
    /// Something newer than this crate.
    Other(String),
}

/// The state of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MirrorReady {
    /// Data is still being copied for the first time.
    No,
    /// Both sides are equal and kept so: the job can be pivoted.
    Yes,
    /// An abort has been asked for and is being waited for.
    Abort,
    /// A pivot has been asked for and is being waited for.
    Pivot,
    /// Something newer than this crate.
    Other(String),
}

impl MirrorJob {
    pub(super) fn parse(name: Option<&str>) -> Self {
        match name {
            None | Some("copy") => Self::Copy,
            Some("active-commit") => Self::ActiveCommit,
            Some("") => Self::Ending,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

impl MirrorReady {
    pub(super) fn parse(state: Option<&str>) -> Self {
        match state {
            None | Some("" | "no") => Self::No,
            Some("yes") => Self::Yes,
            Some("abort") => Self::Abort,
            Some("pivot") => Self::Pivot,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}
