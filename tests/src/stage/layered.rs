//! Guests on chains of images, whose disks are written to and whose content is known.

use std::path::{Path, PathBuf};

use virtwire::constants::{DomainCreateFlags, DomainDefineFlags};
use virtwire::{Connection, Disk, Domain};
use virtwire_lab::guest;
use virtwire_lab::{Chain, Daemon};

/// What each disk stands on, from the lowest layer to the one that the guest writes to.
pub const LAYERS: [&str; 3] = ["base", "mid", "top"];

/// How long a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// Defined, and then started.
    Persistent,
    /// Gone when it stops.
    Transient,
}

/// A running guest whose disks are chains of images.
#[derive(Debug)]
#[non_exhaustive]
pub struct LayeredGuest {
    /// The domain.
    pub domain: Domain,
    /// Its disks: `vda`, `vdb`, and so on.
    pub disks: Vec<LayeredDisk>,
    /// Where a [`Monitor`](virtwire_lab::Monitor) reaches it.
    pub monitor: PathBuf,
}

/// One of its disks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayeredDisk {
    /// What the guest calls it.
    pub target: String,
    /// Its images when the guest starts.
    pub chain: Chain,
}

impl LayeredDisk {
    /// Names the disks of a guest in their order.
    #[must_use]
    pub fn number(number: u8, chain: Chain) -> Self {
        Self {
            target: format!("vd{}", char::from(b'a' + number)),
            chain,
        }
    }
}

impl LayeredGuest {
    /// Starts a guest with these disks.
    ///
    /// # Errors
    ///
    /// Those of defining and starting it.
    ///
    /// # Panics
    ///
    /// When the daemon's directory cannot be written to.
    pub async fn start(
        daemon: &Daemon,
        connection: &Connection,
        name: &str,
        life: Life,
        disks: Vec<LayeredDisk>,
    ) -> Result<Self, virtwire::Error> {
        let monitor = daemon.images_dir().join(format!("{name}.qmp"));
        let shown = |disk: &LayeredDisk| guest::Disk::new(&disk.target, disk.chain.active());
        let shown: Vec<_> = disks.iter().map(shown).collect();
        let firmware = guest::halting_firmware(&daemon.images_dir()).expect("it can be written");
        let domain_type = guest::domain_type();
        let xml = guest::monitored_xml(name, domain_type, &shown, &firmware, &monitor);
        let create = DomainCreateFlags::empty();
        let domain = match life {
            Life::Transient => connection.create_domain(&xml, create).await?,
            Life::Persistent => {
                let define = DomainDefineFlags::empty();
                let defined = connection.define_domain(&xml, define).await?;
                defined.create(create).await?
            }
        };
        Ok(Self {
            domain,
            disks,
            monitor,
        })
    }

    /// One of its disks.
    ///
    /// # Panics
    ///
    /// When it has no such disk.
    #[must_use]
    pub fn disk(&self, number: usize) -> Disk {
        let disk = self.disks.get(number).expect("the guest has the disk");
        self.domain.disk(&disk.target)
    }
}

/// Copies a chain to where only the daemon and its guests see it.
///
/// # Errors
///
/// When there is no room for it.
pub fn copy_inside(
    daemon: &Daemon,
    chain: &Chain,
    dir: &Path,
) -> Result<Chain, virtwire_lab::Error> {
    let from = chain.dir().join(".");
    let words = ["-r".as_ref(), from.as_os_str(), dir.as_os_str()];
    daemon.run_inside("cp", &words)?;
    Ok(chain.at(dir))
}
