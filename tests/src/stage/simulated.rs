//! The stage on the simulated daemon.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use virtwire::constants::DomainCreateFlags;
use virtwire::{Connection, Disk, Domain};
use virtwire_lab::{Driver, guest};
use virtwire_protocol::session::KeepaliveConfig;
use virtwire_sim::socket::{Address, Listener};
use virtwire_sim::{BlockJobFault, Builder, Image, Simulator};

use super::{Settings, scheme_and_path};
use crate::fleet;

/// Where images are said to be.
const IMAGES: &str = "/var/lib/libvirt/images";

/// What libvirt's test driver begins with.
const DEFAULT: &str = "<domain type='test'><name>test</name>\
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>8388608</memory>\
    <currentMemory>2097152</currentMemory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";

/// A simulated daemon and a connection to one of its drivers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stage {
    /// The daemon.
    pub simulator: Simulator,
    /// A connection with the default settings.
    pub connection: Connection,
    sockets: TempDir,
}

impl Stage {
    /// How many events are a flood that it brings about in good time.
    pub const FLOOD: usize = 40_000;

    /// A daemon with default settings and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// When it lets nobody in.
    pub async fn new(driver: Driver) -> Self {
        Self::with(Settings::new(), driver).await
    }

    /// A daemon with other settings and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn with(settings: Settings, driver: Driver) -> Self {
        let mut builder = Simulator::builder();
        if driver == Driver::Test {
            builder = builder.domain(DEFAULT).expect("a domain");
        }
        if let Some((interval, count)) = settings.keepalive {
            builder = builder.keepalive(Some(KeepaliveConfig::new(interval, count)));
        }
        Self::on(builder, driver).await
    }

    /// A daemon and a connection to its test driver with a [fleet] of domains.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub async fn fleet(count: usize) -> Self {
        let builder = Simulator::builder().config_xml(&fleet::node(count));
        Self::on(builder.expect("a fleet"), Driver::Test).await
    }

    async fn on(builder: Builder, driver: Driver) -> Self {
        let simulator = builder.start();
        let sockets = tempfile::tempdir().expect("a directory for sockets");
        let bind = |name| Listener::bind(&Address::Unix(sockets.path().join(name)));
        simulator.listen(bind("sock").expect("a socket"));
        simulator.listen_read_only(bind("sock-ro").expect("a socket for readers"));
        let uri = uri(&sockets, "sock", driver);
        let connection = Connection::open(&uri).await.expect("the daemon opens");
        Self {
            simulator,
            connection,
            sockets,
        }
    }

    /// The URI of one of its drivers.
    #[must_use]
    pub fn uri(&self, driver: Driver) -> String {
        uri(&self.sockets, "sock", driver)
    }

    /// The URI of one of its drivers by TCP.
    ///
    /// # Panics
    ///
    /// When no port is to be had.
    pub async fn tcp_uri(&self, driver: Driver) -> String {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(&Address::Tcp(any)).expect("a port");
        let (scheme, path) = scheme_and_path(driver);
        let uri = listener.address().uri(scheme, path);
        self.simulator.listen(listener);
        uri
    }

    /// The URI of one of its drivers by the socket for readers.
    #[must_use]
    pub fn read_only_uri(&self, driver: Driver) -> String {
        uri(&self.sockets, "sock-ro", driver)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.sockets.path().join("sock")
    }

    /// A directory for images.
    #[must_use]
    pub fn images_dir(&self) -> PathBuf {
        PathBuf::from(IMAGES)
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
    /// When the guest cannot be made.
    pub async fn guest(&self, name: &str, mib: u64) -> Guest {
        self.guest_with_disks(name, mib, &[]).await
    }

    /// As [`guest`](Self::guest), with another overlay on the same base for each of these disks.
    ///
    /// # Panics
    ///
    /// When the guest cannot be made.
    pub async fn guest_with_disks(&self, name: &str, mib: u64, more: &[&str]) -> Guest {
        let base = PathBuf::from(format!("{IMAGES}/{name}-base.qcow2"));
        let overlay = PathBuf::from(format!("{IMAGES}/{name}.qcow2"));
        let size = mib << 20;
        self.put(&base, Image::qcow2(size).with_data(size));
        let mut disks = Vec::new();
        let others = more.iter().map(|target| {
            let path = PathBuf::from(format!("{IMAGES}/{name}-{target}.qcow2"));
            (*target, path)
        });
        for (target, path) in std::iter::once(("vda", overlay.clone())).chain(others) {
            self.put(&path, Image::qcow2(size).on(base.to_string_lossy()));
            disks.push(guest::Disk::new(target, path));
        }
        let xml = guest::xml(name, guest::DomainType::Qemu, &disks);
        let created = self
            .connection
            .create_domain(&xml, DomainCreateFlags::empty())
            .await;
        Guest {
            domain: created.expect("the guest starts"),
            base,
            overlay,
            simulator: self.simulator.clone(),
        }
    }

    /// As [`guest`](Self::guest), on a base of which 4 MiB can be read in a second.
    ///
    /// # Panics
    ///
    /// When the guest cannot be made.
    pub async fn slow_guest(&self, name: &str, mib: u64) -> Guest {
        self.simulator.set_disk_throughput(4 << 20);
        self.guest(name, mib).await
    }

    /// As [`guest`](Self::guest), on a base whose middle cannot be read.
    ///
    /// # Panics
    ///
    /// When the guest cannot be made.
    pub async fn guest_on_unreadable_base(&self, name: &str, mib: u64) -> Guest {
        let guest = self.guest(name, mib).await;
        let domain = self.simulator.domain(name).expect("the guest is there");
        let planned = domain.disk("vda").plan(BlockJobFault::io_error_at(0.5));
        planned.expect("the fault is planned");
        guest
    }

    fn put(&self, path: &Path, image: Image) {
        let put = self.simulator.put_image(path.to_string_lossy(), image);
        put.expect("the image is put there");
    }

    /// Has the hypervisor of a guest stand still.
    ///
    /// # Panics
    ///
    /// When the guest does not run.
    pub fn freeze(&self, guest: &Guest) {
        let domain = self.simulator.domain(guest.domain.name());
        let frozen = domain.expect("the guest is there").freeze();
        frozen.expect("the guest runs");
    }

    /// Has the hypervisor of a guest go on.
    ///
    /// # Panics
    ///
    /// When the guest does not run.
    pub fn thaw(&self, guest: &Guest) {
        let domain = self.simulator.domain(guest.domain.name());
        let thawed = domain.expect("the guest is there").thaw();
        thawed.expect("the guest runs");
    }

    /// Kills the daemon, and not its guests.
    pub fn kill(&mut self) {
        self.simulator.restart();
    }

    /// Starts the daemon again: the simulated one has never stayed away.
    pub fn restart(&mut self) {}
}

fn uri(sockets: &TempDir, name: &str, driver: Driver) -> String {
    let (scheme, path) = scheme_and_path(driver);
    let socket = sockets.path().join(name);
    format!("{scheme}+unix://{path}?socket={}", socket.display())
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
    simulator: Simulator,
}

impl Guest {
    /// The disk.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.domain.disk("vda")
    }

    /// What the overlay stands on, as its header says it.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[must_use]
    pub fn backing_file(&self) -> Option<PathBuf> {
        self.image(&self.overlay).backing().map(PathBuf::from)
    }

    /// Whether the overlay has the base's data, of its own or by standing on it.
    ///
    /// # Panics
    ///
    /// When one of them is not there.
    #[must_use]
    pub fn reads_as_base(&self) -> bool {
        let (overlay, base) = (self.image(&self.overlay), self.image(&self.base));
        overlay.data() == base.data() || self.backing_file().as_ref() == Some(&self.base)
    }

    fn image(&self, path: &Path) -> Image {
        let image = self.simulator.image(path.to_string_lossy());
        image.expect("the image is there")
    }
}

impl Guest {
    /// Has the guest write so many MiB at the beginning of its disk.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[expect(clippy::unused_async, reason = "a real guest is asked to")]
    pub async fn write(&self, mib: u64) {
        let domain = self.simulator.domain(self.domain.name());
        let disk = domain.expect("the guest is there").disk("vda");
        disk.write(mib << 20).expect("the guest runs");
    }

    /// Whether an image has as much data as the disk, what they stand on included.
    ///
    /// # Panics
    ///
    /// When one of them is not there.
    #[must_use]
    pub fn reads_as(&self, image: &Path) -> bool {
        self.data(&self.overlay) == self.data(image)
    }

    /// Whether there is an image.
    #[must_use]
    pub fn has_image(&self, image: &Path) -> bool {
        self.simulator.image(image.to_string_lossy()).is_some()
    }

    /// Has an image stand on another, whatever it stood on before.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn rebase(&self, image: &Path, on: &Path) {
        let rebased = self.image(image).on(on.to_string_lossy());
        let put = self.simulator.put_image(image.to_string_lossy(), rebased);
        put.expect("the image is put there");
    }

    fn data(&self, image: &Path) -> u64 {
        let image = self.image(image);
        let below = image.backing().map(|below| self.data(Path::new(below)));
        image.data() + below.unwrap_or(0)
    }
}
