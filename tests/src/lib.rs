//! Shared test harness: a deadline for every test, stages on private daemons, and a scripted one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here is a test"
)]

pub mod fault;
pub mod fleet;
pub mod peer;
pub mod poll;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use virtwire::constants::DomainCreateFlags;
use virtwire::{Connection, Disk, Domain};
use virtwire_lab::{Daemon, Driver, guest, image};

/// Runs a test to its end, or fails it after a minute: nothing that is tested may hang.
///
/// # Panics
///
/// When the minute is over.
pub async fn deadline<T>(test: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), test).await {
        Ok(value) => value,
        Err(_) => panic!("the test did not end within a minute"),
    }
}

/// As [`deadline`], for a test on the paused clock: there a test that waits for nothing reaches
/// any deadline at once, so this one leaves room for whatever is tested.
///
/// # Panics
///
/// When a day of that clock is over.
pub async fn paused_deadline<T>(test: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(24 * 3600), test).await {
        Ok(value) => value,
        Err(_) => panic!("the test waits for nothing"),
    }
}

/// A private daemon and a connection to one of its drivers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stage {
    /// The daemon; gone, with everything it started, when the stage is dropped.
    pub daemon: Daemon,
    /// A connection with the default settings.
    pub connection: Connection,
}

impl Stage {
    /// A daemon with default settings and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// When there is no daemon to be had or it lets nobody in.
    pub async fn new(driver: Driver) -> Self {
        let daemon = Daemon::start().expect("a private libvirtd starts");
        Self::on(daemon, driver).await
    }

    /// This daemon and a connection to `driver`.
    ///
    /// # Panics
    ///
    /// When the daemon lets nobody in.
    pub async fn on(daemon: Daemon, driver: Driver) -> Self {
        let uri = daemon.uri(driver);
        let connection = Connection::open(&uri).await.expect("the daemon opens");
        Self { daemon, connection }
    }

    /// A running guest with an overlay on a base of `mib` MiB of data as its disk `vda`.
    ///
    /// # Panics
    ///
    /// When an image or the guest cannot be made.
    pub async fn guest(&self, name: &str, mib: u64) -> Guest {
        let base = self.daemon.images_dir().join(format!("{name}-base.qcow2"));
        image::create_base(&base, mib << 20, 1).expect("the base image is created");
        self.guest_on(name, base).await
    }

    /// A running guest with an overlay on this base as its disk `vda`.
    ///
    /// # Panics
    ///
    /// When the overlay or the guest cannot be made.
    pub async fn guest_on(&self, name: &str, base: PathBuf) -> Guest {
        let overlay = self.daemon.images_dir().join(format!("{name}.qcow2"));
        image::create_overlay(&overlay, &base).expect("the overlay is created");
        let disk = guest::Disk::new("vda", &overlay);
        let xml = guest::xml(name, guest::domain_type(), &[disk]);
        let created = self
            .connection
            .create_domain(&xml, DomainCreateFlags::empty())
            .await;
        Guest {
            domain: created.expect("the guest starts"),
            base,
            overlay,
        }
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
}

impl Guest {
    /// The disk.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.domain.disk("vda")
    }
}
