//! The stage on a private libvirtd, of the release that the [environment](release) names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use virtwire::constants::DomainCreateFlags;
use virtwire::{Connection, Disk, Domain};
use virtwire_lab::guest::{self, DomainType};
use virtwire_lab::{Daemon, Driver, image};

use super::{Settings, scheme_and_path};
use crate::{fleet, release};

/// A private daemon and a connection to one of its drivers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stage {
    /// The daemon; gone, with everything it started, when the stage is dropped.
    pub daemon: Daemon,
    /// A connection with the default settings.
    pub connection: Connection,
    domain_type: DomainType,
}

impl Stage {
    /// How many events are a flood that it brings about in good time.
    pub const FLOOD: usize = 100_000;

    /// A daemon with default settings and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// When there is no daemon to be had or it lets nobody in.
    pub async fn new(driver: Driver) -> Self {
        Self::with(Settings::new(), driver).await
    }

    /// A daemon with other settings and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn with(settings: Settings, driver: Driver) -> Self {
        let mut builder = release::daemon();
        if let Some((interval, count)) = settings.keepalive {
            builder = builder.keepalive(interval, count);
        }
        if settings.tcp {
            builder = builder.tcp();
        }
        let daemon = builder.start().expect("a private libvirtd starts");
        let uri = daemon.uri(driver);
        Self::on(daemon, &uri).await
    }

    /// A daemon and a connection to its test driver with a [fleet] of domains.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn fleet(count: usize) -> Self {
        let daemon = release::daemon().start();
        let daemon = daemon.expect("a private libvirtd starts");
        let file = daemon.images_dir().join("fleet.xml");
        std::fs::write(&file, fleet::node(count)).expect("the fleet is described");
        let uri = format!(
            "test+unix://{}?socket={}",
            file.display(),
            daemon.socket().display()
        );
        Self::on(daemon, &uri).await
    }

    /// A daemon of an unprivileged user's session, whose guests are that user's.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn session() -> Self {
        let daemon = release::daemon().session().start();
        let daemon = daemon.expect("a private libvirtd starts");
        let uri = daemon.uri(Driver::Qemu);
        // The user may not use the processor's own means.
        let domain_type = DomainType::Qemu;
        let stage = Self::on(daemon, &uri).await;
        Self {
            domain_type,
            ..stage
        }
    }

    async fn on(daemon: Daemon, uri: &str) -> Self {
        let connection = Connection::open(uri).await.expect("the daemon opens");
        Self {
            daemon,
            connection,
            domain_type: guest::domain_type(),
        }
    }

    /// The URI of one of its drivers.
    #[must_use]
    pub fn uri(&self, driver: Driver) -> String {
        self.daemon.uri(driver)
    }

    /// The URI of one of its drivers by TCP.
    ///
    /// # Panics
    ///
    /// When that was not asked for.
    pub async fn tcp_uri(&self, driver: Driver) -> String {
        self.daemon.tcp_uri(driver).expect("it listens for TCP")
    }

    /// The URI of one of its drivers by the socket for readers.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn read_only_uri(&self, driver: Driver) -> String {
        let (scheme, path) = scheme_and_path(driver);
        let socket = self.daemon.read_only_socket();
        let socket = socket.expect("a socket for readers");
        format!("{scheme}+unix://{path}?socket={}", socket.display())
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.daemon.socket()
    }

    /// A directory for images.
    #[must_use]
    pub fn images_dir(&self) -> PathBuf {
        self.daemon.images_dir()
    }

    /// What virsh says on one of its drivers.
    ///
    /// # Panics
    ///
    /// When it says that it failed.
    pub async fn virsh(&self, driver: Driver, arguments: &[&str]) -> String {
        super::virsh(&self.uri(driver), arguments).await
    }

    /// A running guest with an overlay on a base of `mib` MiB of data as its disk `vda`.
    ///
    /// # Panics
    ///
    /// When an image or the guest cannot be made.
    pub async fn guest(&self, name: &str, mib: u64) -> Guest {
        let base = self.base(name, mib).await;
        self.guest_on(name, base).await
    }

    /// As [`guest`](Self::guest), on a base of which 4 MiB can be read in a second.
    ///
    /// # Panics
    ///
    /// When an image or the guest cannot be made.
    pub async fn slow_guest(&self, name: &str, mib: u64) -> Guest {
        let base = self.base(name, mib).await;
        let source = SlowSource::new(&base).await;
        let overlay = self.images_dir().join(format!("{name}.qcow2"));
        let (url, path) = (source.url(), overlay.clone());
        beside(move || overlay_on_url(&path, &url)).await;
        let handed_over = self.daemon.hand_over(&overlay);
        handed_over.expect("the image has another owner");
        let disks = [guest::Disk::new("vda", &overlay)];
        let guest = self.start(name, base, overlay, &disks).await;
        Guest {
            _source: Some(source),
            ..guest
        }
    }

    /// As [`guest`](Self::guest), on a base whose middle cannot be read.
    ///
    /// # Panics
    ///
    /// When an image or the guest cannot be made.
    pub async fn guest_on_unreadable_base(&self, name: &str, mib: u64) -> Guest {
        let base = self.base(name, mib).await;
        let _spoilt = image::spoil(&base, mib << 19).expect("the base is an image");
        self.guest_on(name, base).await
    }

    async fn base(&self, name: &str, mib: u64) -> PathBuf {
        let base = self.daemon.images_dir().join(format!("{name}-base.qcow2"));
        let path = base.clone();
        let created = beside(move || image::create_base(&path, mib << 20, 1)).await;
        created.expect("the base image is created");
        base
    }

    /// As [`guest`](Self::guest), with another overlay on the same base for each of these disks.
    ///
    /// # Panics
    ///
    /// When an image or the guest cannot be made.
    pub async fn guest_with_disks(&self, name: &str, mib: u64, more: &[&str]) -> Guest {
        let base = self.base(name, mib).await;
        self.guest_with(name, base, more).await
    }

    async fn guest_on(&self, name: &str, base: PathBuf) -> Guest {
        self.guest_with(name, base, &[]).await
    }

    async fn guest_with(&self, name: &str, base: PathBuf, more: &[&str]) -> Guest {
        let overlay = self.overlay(name, &base).await;
        let mut disks = vec![guest::Disk::new("vda", &overlay)];
        for target in more {
            let image = self.overlay(&format!("{name}-{target}"), &base).await;
            disks.push(guest::Disk::new(*target, image));
        }
        self.start(name, base, overlay, &disks).await
    }

    async fn start(
        &self,
        name: &str,
        base: PathBuf,
        overlay: PathBuf,
        disks: &[guest::Disk],
    ) -> Guest {
        let xml = guest::xml(name, self.domain_type, disks);
        let created = self
            .connection
            .create_domain(&xml, DomainCreateFlags::empty())
            .await;
        Guest {
            domain: created.expect("the guest starts"),
            base,
            overlay,
            _source: None,
        }
    }

    async fn overlay(&self, name: &str, base: &Path) -> PathBuf {
        let overlay = self.daemon.images_dir().join(format!("{name}.qcow2"));
        let (top, bottom) = (overlay.clone(), base.to_owned());
        let created = beside(move || image::create_overlay(&top, &bottom)).await;
        created.expect("the overlay is created");
        for image in [base, &overlay] {
            let handed_over = self.daemon.hand_over(image);
            handed_over.expect("the image has another owner");
        }
        overlay
    }

    /// Has the hypervisor of a guest stand still.
    ///
    /// # Panics
    ///
    /// When the guest does not run.
    pub fn freeze(&self, guest: &Guest) {
        self.signal(guest, Signal::STOP);
    }

    /// Has the hypervisor of a guest go on.
    ///
    /// # Panics
    ///
    /// When the guest does not run.
    pub fn thaw(&self, guest: &Guest) {
        self.signal(guest, Signal::CONT);
    }

    fn signal(&self, guest: &Guest, signal: Signal) {
        let pid = self.daemon.qemu_pid(guest.domain.name());
        let pid = pid.and_then(Pid::from_raw).expect("the guest runs");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Kills the daemon, and not its guests.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn kill(&mut self) {
        self.daemon.kill().expect("the daemon is killed");
    }

    /// Starts the daemon again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.daemon.restart().expect("the daemon starts again");
    }
}

/// A transient domain with a disk to pull.
#[derive(Debug)]
#[non_exhaustive]
pub struct Guest {
    /// The domain.
    pub domain: Domain,
    /// The backing image, full of data.
    pub base: PathBuf,
    /// The image on it, the disk `vda`.
    pub overlay: PathBuf,
    /// Serves the base, if that is slow.
    _source: Option<SlowSource>,
}

/// A server of an image of which 4 MiB can be read in a second.
#[derive(Debug)]
struct SlowSource {
    socket: PathBuf,
    server: std::process::Child,
}

impl SlowSource {
    async fn new(image: &Path) -> Self {
        let socket = image.with_extension("nbd");
        let throttled = format!(
            "driver=throttle,throttle-group=slow,read-only=on,file.driver=qcow2,\
             file.file.driver=file,file.file.filename={}",
            image.display()
        );
        let mut server = std::process::Command::new("qemu-nbd");
        server
            .args(["--object", "throttle-group,id=slow,x-bps-total=4194304"])
            .args(["--read-only", "--persistent", "--shared=8"])
            .args(["--export-name", "disk", "--socket"])
            .arg(&socket)
            .args(["--image-opts", &throttled]);
        // A hypervisor that is killed is none of its business.
        server.stderr(std::process::Stdio::null());
        let server = server.spawn().expect("qemu-nbd runs");
        // Whoever the guest runs as has to be let in.
        let open = std::fs::Permissions::from_mode(0o777);
        while std::fs::set_permissions(&socket, open.clone()).is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self { socket, server }
    }

    fn url(&self) -> String {
        format!("nbd+unix:///disk?socket={}", self.socket.display())
    }
}

impl Drop for SlowSource {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn overlay_on_url(overlay: &Path, url: &str) {
    let mut create = std::process::Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", url]);
    let status = create.arg(overlay).status();
    assert!(status.expect("qemu-img runs").success());
}

impl Guest {
    /// The disk.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.domain.disk("vda")
    }

    /// What the overlay stands on, as the image tool sees it.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn backing_file(&self) -> Option<PathBuf> {
        let info = image::info(&self.overlay);
        info.expect("the overlay is an image").backing_file
    }

    /// Whether the overlay reads as the base does; to be asked of a guest that has stopped.
    ///
    /// # Panics
    ///
    /// When one of them cannot be read.
    #[must_use]
    pub fn reads_as_base(&self) -> bool {
        image::compare(&self.overlay, &self.base).expect("both images are there")
    }
}

/// Does what takes long where it does not keep connections from giving signs of life.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it ends")
}

impl Guest {
    /// Has the guest write so many MiB at the beginning of its disk.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub async fn write(&self, mib: u64) {
        let device = "/machine/peripheral/virtio-disk0/virtio-backend";
        let line = format!("qemu-io -d {device} \"write -f -q -P 7 0 {mib}M\"");
        let dom = virtwire::remote::NonnullDomain {
            name: self.domain.name().into(),
            uuid: *self.domain.uuid().as_bytes(),
            id: -1,
        };
        let args = virtwire::qemu::DomainMonitorCommandArgs {
            dom,
            cmd: line.as_str().into(),
            flags: virtwire::constants::DomainQemuMonitorCommandFlags::HMP.bits(),
        };
        let connection = self.domain.connection();
        let reply = connection
            .call::<virtwire::qemu::DomainMonitorCommand>(args)
            .await
            .expect("the monitor answers");
        let result = reply.decode().expect("an answer").result;
        assert_eq!(result.to_string_lossy(), "", "the guest writes");
    }

    /// Whether an image reads as the disk does; to be asked of a guest that has stopped.
    ///
    /// # Panics
    ///
    /// When one of them cannot be read.
    #[must_use]
    pub fn reads_as(&self, image: &Path) -> bool {
        image::compare(&self.overlay, image).expect("both images are there")
    }

    /// Whether there is an image.
    #[must_use]
    pub fn has_image(&self, image: &Path) -> bool {
        image.exists()
    }

    /// Has an image stand on another, whatever it stood on before.
    ///
    /// # Panics
    ///
    /// When one of them is not there.
    pub fn rebase(&self, image: &Path, on: &Path) {
        let mut rebase = std::process::Command::new("qemu-img");
        rebase.args(["rebase", "-u", "-F", "qcow2", "-b"]);
        let status = rebase.arg(on).arg(image).status();
        assert!(status.expect("qemu-img runs").success());
    }
}
