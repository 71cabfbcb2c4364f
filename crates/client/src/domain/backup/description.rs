//! What a backup is to be, in types, and the XML that says it.

use super::BackupMode;
use crate::domain::xml::Element;

/// The XML of a backup: made from a [`PushBackup`] or a [`PullBackup`], or by whoever has more to
/// say than these can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupXml(String);

impl BackupXml {
    /// This text, which is sent as it is.
    #[must_use]
    pub fn new(xml: impl Into<String>) -> Self {
        Self(xml.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A backup that the hypervisor writes into files or block devices by itself.
///
/// Without any disk named it is of every disk that has an image and that the guest can write, into
/// files beside the images; with one it is of those alone that are named.
///
/// ```
/// use virtwire::{BackupXml, PushBackup, PushDisk};
///
/// let backup = PushBackup::new()
///     .disk("vda", PushDisk::file("/backup/vda.tuesday").format("qcow2"))
///     .incremental("monday");
/// assert_eq!(
///     BackupXml::from(backup).as_str(),
///     "<domainbackup mode=\"push\"><incremental>monday</incremental><disks>\
///      <disk name=\"vda\" backup=\"yes\" type=\"file\"><driver type=\"qcow2\"/>\
///      <target file=\"/backup/vda.tuesday\"/></disk></disks></domainbackup>"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "domainbackup")]
#[must_use = "it is made by Domain::backup"]
pub struct PushBackup {
    incremental: Option<String>,
    disks: Vec<(String, Option<PushDisk>)>,
}

/// Where a push backup writes the data of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is for a backup"]
pub struct PushDisk {
    place: Option<Place>,
    format: Option<String>,
    extent: Option<Extent>,
}

/// A backup that somebody fetches from the hypervisor, by the protocol NBD, while the guest goes
/// on: what it overwrites meanwhile is kept in scratch files.
///
/// Without any disk named it is of every disk that has an image and that the guest can write, with
/// scratch files beside the images; with one it is of those alone that are named.
///
/// ```
/// use virtwire::{BackupXml, BackupServer, PullBackup, PullDisk};
///
/// let backup = PullBackup::new(BackupServer::unix("/run/backup.sock"))
///     .disk("vda", PullDisk::scratch_file("/scratch/vda").export_name("system"));
/// assert_eq!(
///     BackupXml::from(backup).as_str(),
///     "<domainbackup mode=\"pull\"><server transport=\"unix\" socket=\"/run/backup.sock\"/><disks>\
///      <disk name=\"vda\" exportname=\"system\" backup=\"yes\" type=\"file\">\
///      <scratch file=\"/scratch/vda\"/></disk></disks></domainbackup>"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "domainbackup")]
#[must_use = "it is made by Domain::backup"]
pub struct PullBackup {
    server: BackupServer,
    incremental: Option<String>,
    disks: Vec<(String, Option<PullDisk>)>,
}

/// What a pull backup does with one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is for a backup"]
pub struct PullDisk {
    scratch: Option<Place>,
    export_name: Option<String>,
    export_bitmap: Option<String>,
    extent: Option<Extent>,
}

/// Where the hypervisor offers the data of a pull backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is for a backup"]
pub struct BackupServer {
    address: Address,
    tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp { name: String, port: u16 },
    Unix { socket: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(String),
    Block(String),
}

/// How much of a disk, where that is not as for the others.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Extent {
    Full,
    Since(String),
}

impl PushBackup {
    /// Of everything that the disks hold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what has been written since this checkpoint.
    pub fn incremental(mut self, checkpoint: impl Into<String>) -> Self {
        self.incremental = Some(checkpoint.into());
        self
    }

    /// Of this disk, by its target, to there.
    pub fn disk(mut self, target: impl Into<String>, disk: PushDisk) -> Self {
        self.disks.push((target.into(), Some(disk)));
        self
    }

    /// Not of this disk, by its target. Of use only to say so: the others have to be named all the
    /// same.
    pub fn exclude(mut self, target: impl Into<String>) -> Self {
        self.disks.push((target.into(), None));
        self
    }
}

impl PullBackup {
    /// Of everything that the disks hold, to be fetched there.
    pub fn new(server: BackupServer) -> Self {
        Self {
            server,
            incremental: None,
            disks: Vec::new(),
        }
    }

    /// Says besides what has been written since this checkpoint: each export gets a bitmap of that.
    /// What to fetch is up to whoever fetches.
    pub fn incremental(mut self, checkpoint: impl Into<String>) -> Self {
        self.incremental = Some(checkpoint.into());
        self
    }

    /// Of this disk, by its target.
    pub fn disk(mut self, target: impl Into<String>, disk: PullDisk) -> Self {
        self.disks.push((target.into(), Some(disk)));
        self
    }

    /// Not of this disk, by its target. Of use only to say so: the others have to be named all the
    /// same.
    pub fn exclude(mut self, target: impl Into<String>) -> Self {
        self.disks.push((target.into(), None));
        self
    }
}

impl PushDisk {
    /// Into a file, by its absolute path. The daemon makes it, unless files are
    /// [reused](crate::Backup::reuse_external), and removes it when the backup does not complete.
    pub fn file(path: impl Into<String>) -> Self {
        Self::new(Some(Place::File(path.into())))
    }

    /// Onto a block device, by its absolute path. What is on it is lost.
    pub fn block(path: impl Into<String>) -> Self {
        Self::new(Some(Place::Block(path.into())))
    }

    /// Into a file beside the disk's image, whose name the daemon makes. libvirt 11.3.0 does; 9.0.0
    /// makes names only where no disk is named at all, and refuses this by `INTERNAL_ERROR`.
    pub fn generated() -> Self {
        Self::new(None)
    }

    fn new(place: Option<Place>) -> Self {
        Self {
            place,
            format: None,
            extent: None,
        }
    }

    /// The format, `qcow2` unless it is said. An incremental backup has to be `qcow2`, or what it
    /// leaves out reads as zeros.
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }

    /// Everything of this disk, even if the backup is incremental.
    pub fn full(mut self) -> Self {
        self.extent = Some(Extent::Full);
        self
    }

    /// What has been written to this disk since another checkpoint than for the others.
    pub fn incremental_from(mut self, checkpoint: impl Into<String>) -> Self {
        self.extent = Some(Extent::Since(checkpoint.into()));
        self
    }

    fn element(&self, target: &str) -> Element {
        let disk = with_extent(Element::new("disk").with("name", target), &self.extent);
        let driver = self.format.as_ref();
        let driver = driver.map(|format| Element::new("driver").with("type", format));
        with_kind(disk, self.place.as_ref())
            .with_children(driver)
            .with_children(self.place.as_ref().map(|place| place.element("target")))
    }
}

impl PullDisk {
    /// With a scratch file, by its absolute path. The daemon makes it and removes it.
    pub fn scratch_file(path: impl Into<String>) -> Self {
        Self::new(Some(Place::File(path.into())))
    }

    /// With a block device for scratch, by its absolute path. What is on it is lost.
    pub fn scratch_block(path: impl Into<String>) -> Self {
        Self::new(Some(Place::Block(path.into())))
    }

    /// With a scratch file beside the disk's image, whose name the daemon makes. libvirt 11.3.0 does;
    /// 9.0.0 makes names only where no disk is named at all, and refuses this by `INTERNAL_ERROR`.
    pub fn generated() -> Self {
        Self::new(None)
    }

    fn new(scratch: Option<Place>) -> Self {
        Self {
            scratch,
            export_name: None,
            export_bitmap: None,
            extent: None,
        }
    }

    /// The name by which the disk is fetched; its target unless it is said.
    pub fn export_name(mut self, name: impl Into<String>) -> Self {
        self.export_name = Some(name.into());
        self
    }

    /// The name of the bitmap that says what has changed; `backup-` and the target unless it is
    /// said. Who fetches asks for the context `qemu:dirty-bitmap:` and this name.
    pub fn export_bitmap(mut self, name: impl Into<String>) -> Self {
        self.export_bitmap = Some(name.into());
        self
    }

    /// No bitmap for this disk, even if the backup is incremental.
    pub fn full(mut self) -> Self {
        self.extent = Some(Extent::Full);
        self
    }

    /// A bitmap of what has been written to this disk since another checkpoint than for the others.
    pub fn incremental_from(mut self, checkpoint: impl Into<String>) -> Self {
        self.extent = Some(Extent::Since(checkpoint.into()));
        self
    }

    fn element(&self, target: &str) -> Element {
        let disk = with_extent(Element::new("disk").with("name", target), &self.extent)
            .with_some("exportname", self.export_name.as_ref())
            .with_some("exportbitmap", self.export_bitmap.as_ref());
        let scratch = self.scratch.as_ref();
        with_kind(disk, scratch).with_children(scratch.map(|scratch| scratch.element("scratch")))
    }
}

impl BackupServer {
    /// On a TCP port of this name or address of the host's. Whoever reaches it reads the disks,
    /// unless there is [TLS](Self::tls) and it checks certificates.
    pub fn tcp(name: impl Into<String>, port: u16) -> Self {
        let name = name.into();
        Self {
            address: Address::Tcp { name, port },
            tls: false,
        }
    }

    /// On a Unix socket, by its absolute path on the host. The hypervisor makes it and must be
    /// allowed to.
    pub fn unix(socket: impl Into<String>) -> Self {
        let socket = socket.into();
        Self {
            address: Address::Unix { socket },
            tls: false,
        }
    }

    /// With TLS, for which the host has to be set up (`backup_tls_x509_cert_dir`).
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    fn element(&self) -> Element {
        let server = Element::new("server");
        let server = if self.tls {
            server.with("tls", "yes")
        } else {
            server
        };
        match &self.address {
            Address::Tcp { name, port } => server
                .with("transport", "tcp")
                .with("name", name)
                .with("port", port.to_string()),
            Address::Unix { socket } => server.with("transport", "unix").with("socket", socket),
        }
    }
}

impl Place {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Block(_) => "block",
        }
    }

    fn element(&self, name: &str) -> Element {
        match self {
            Self::File(path) => Element::new(name).with("file", path),
            Self::Block(path) => Element::new(name).with("dev", path),
        }
    }
}

impl From<PushBackup> for BackupXml {
    fn from(backup: PushBackup) -> Self {
        let disks = backup.disks.iter().map(|(target, disk)| match disk {
            Some(disk) => disk.element(target),
            None => excluded(target),
        });
        let root = domain_backup(BackupMode::Push, backup.incremental.as_ref());
        Self(root.with_children(list(disks)).to_string())
    }
}

impl From<PullBackup> for BackupXml {
    fn from(backup: PullBackup) -> Self {
        let disks = backup.disks.iter().map(|(target, disk)| match disk {
            Some(disk) => disk.element(target),
            None => excluded(target),
        });
        let root = domain_backup(BackupMode::Pull, backup.incremental.as_ref());
        let root = root.with_child(backup.server.element());
        Self(root.with_children(list(disks)).to_string())
    }
}

fn domain_backup(mode: BackupMode, incremental: Option<&String>) -> Element {
    let incremental = incremental.map(|name| Element::new("incremental").with_text(name));
    Element::new("domainbackup")
        .with("mode", mode.name())
        .with_children(incremental)
}

/// `<disks>`; nothing where there is none, which means all.
fn list(disks: impl ExactSizeIterator<Item = Element>) -> Option<Element> {
    (disks.len() > 0).then(|| Element::new("disks").with_children(disks))
}

fn excluded(target: &str) -> Element {
    let disk = Element::new("disk").with("name", target);
    disk.with("backup", "no")
}

fn with_kind(disk: Element, place: Option<&Place>) -> Element {
    let kind = place.map_or("file", Place::kind);
    disk.with("backup", "yes").with("type", kind)
}

fn with_extent(disk: Element, extent: &Option<Extent>) -> Element {
    match extent {
        None => disk,
        Some(Extent::Full) => disk.with("backupmode", "full"),
        Some(Extent::Since(checkpoint)) => disk
            .with("backupmode", "incremental")
            .with("incremental", checkpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(disk: &PushDisk) -> String {
        disk.element("vda").to_string()
    }

    fn pull(disk: &PullDisk) -> String {
        disk.element("vda").to_string()
    }

    #[test]
    fn push_disks_say_what_is_known_of_them() {
        assert_eq!(
            push(&PushDisk::generated()),
            r#"<disk name="vda" backup="yes" type="file"/>"#
        );
        assert_eq!(
            push(&PushDisk::generated().format("raw").full()),
            r#"<disk name="vda" backupmode="full" backup="yes" type="file"><driver type="raw"/></disk>"#
        );
        assert_eq!(
            push(&PushDisk::block("/dev/vg/lv").incremental_from("one")),
            concat!(
                r#"<disk name="vda" backupmode="incremental" incremental="one" "#,
                r#"backup="yes" type="block"><target dev="/dev/vg/lv"/></disk>"#
            )
        );
    }

    #[test]
    fn pull_disks_say_what_is_known_of_them() {
        assert_eq!(
            pull(&PullDisk::generated()),
            r#"<disk name="vda" backup="yes" type="file"/>"#
        );
        assert_eq!(
            pull(
                &PullDisk::scratch_block("/dev/a")
                    .export_name("<a>")
                    .export_bitmap("b")
            ),
            concat!(
                r#"<disk name="vda" exportname="&lt;a&gt;" exportbitmap="b" "#,
                r#"backup="yes" type="block"><scratch dev="/dev/a"/></disk>"#
            )
        );
    }

    #[test]
    fn servers_say_where_they_are() {
        assert_eq!(
            BackupServer::tcp("::1", 10809).tls().element().to_string(),
            r#"<server tls="yes" transport="tcp" name="::1" port="10809"/>"#
        );
    }

    #[test]
    fn everything_is_meant_when_nothing_is_named() {
        assert_eq!(
            BackupXml::from(PushBackup::new()).as_str(),
            r#"<domainbackup mode="push"/>"#
        );
        assert_eq!(
            BackupXml::from(PushBackup::new().exclude("vdb")).as_str(),
            concat!(
                r#"<domainbackup mode="push"><disks><disk name="vdb" backup="no"/></disks>"#,
                "</domainbackup>"
            )
        );
    }
}
