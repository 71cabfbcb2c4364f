//! What the demo plays on: a private libvirtd with qemu-img beside it, or a simulated daemon that
//! knows its images itself.

use std::error::Error;
use std::path::{Path, PathBuf};

use virtwire::Connection;
use virtwire_lab::{Daemon, Driver, guest, image};
use virtwire_sim::{Image, Simulator};

use super::Wanted;
use crate::{Outcome, lab};

/// A host with guests.
pub(super) enum Host {
    Real(Box<Daemon>),
    Simulated(Simulator),
}

impl Host {
    /// The host that is wanted; the simulated one if there is no other, saying so.
    pub(super) async fn get(wanted: Wanted) -> Result<Self, Box<dyn Error>> {
        let Wanted::Real(policy) = wanted else {
            return Ok(Self::simulated());
        };
        if let Err(error) = lab::ensure(policy) {
            return Ok(Self::instead(error.as_ref()));
        }
        println!("== starting a private libvirtd");
        // The lab blocks; on a thread of its own it leaves us free to notice Ctrl-C.
        match tokio::task::spawn_blocking(Daemon::start).await? {
            Ok(daemon) => Ok(Self::Real(Box::new(daemon))),
            Err(error @ (virtwire_lab::Error::NotRoot | virtwire_lab::Error::Namespace { .. })) => {
                Ok(Self::instead(&error))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn instead(error: &dyn Error) -> Self {
        println!("note: no libvirtd can be had here: {error}");
        println!("note: so this is NOT a real guest, but the simulated daemon, and proves less");
        Self::simulated()
    }

    fn simulated() -> Self {
        println!("== starting a simulated daemon: no libvirtd, no QEMU, no data");
        Self::Simulated(Simulator::builder().start())
    }

    /// What has to be said beside whatever is said of it.
    pub(super) fn remark(&self) -> &'static str {
        match self {
            Self::Real(_) => "",
            Self::Simulated(_) => " (simulated)",
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, virtwire::Error> {
        match self {
            Self::Real(daemon) => Connection::open(&daemon.uri(Driver::Qemu)).await,
            Self::Simulated(simulator) => {
                let builder = Connection::builder().uri("qemu:///system");
                let (connection, driver) = builder.connect_with_io(simulator.connect()).await?;
                tokio::spawn(driver);
                Ok(connection)
            }
        }
    }

    pub(super) fn images_dir(&self) -> PathBuf {
        match self {
            Self::Real(daemon) => daemon.images_dir(),
            Self::Simulated(_) => PathBuf::from("/var/lib/libvirt/images"),
        }
    }

    pub(super) fn domain_type(&self) -> guest::DomainType {
        match self {
            Self::Real(_) => guest::domain_type(),
            Self::Simulated(_) => guest::DomainType::Qemu,
        }
    }

    /// Creates a base full of data, and an empty overlay on it.
    pub(super) fn create_images(&self, base: &Path, overlay: &Path, data: u64) -> Outcome {
        match self {
            Self::Real(_) => {
                image::create_base(base, data, 1)?;
                image::create_overlay(overlay, base)?;
            }
            Self::Simulated(simulator) => {
                let (base, overlay) = (base.to_string_lossy(), overlay.to_string_lossy());
                simulator.put_image(&base, Image::qcow2(data).with_data(data))?;
                simulator.put_image(&overlay, Image::qcow2(data).on(&*base))?;
            }
        }
        Ok(())
    }

    /// Who says what an image stands on.
    pub(super) fn image_tool(&self) -> &'static str {
        match self {
            Self::Real(_) => "qemu-img",
            Self::Simulated(_) => "the simulated host",
        }
    }

    /// What an image stands on.
    pub(super) fn backing_file(&self, path: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
        match self {
            Self::Real(_) => Ok(image::info(path)?.backing_file),
            Self::Simulated(simulator) => {
                let image = find(simulator, path)?;
                Ok(image.backing().map(PathBuf::from))
            }
        }
    }

    /// What [`reads_the_same`](Self::reads_the_same) proves.
    pub(super) fn data_claim(&self) -> &'static str {
        match self {
            Self::Real(_) => "the data reads back identical to the base",
            Self::Simulated(_) => "the overlay has all of the base's data, or still stands on it",
        }
    }

    /// Whether a guest would see the same in both images.
    pub(super) fn reads_the_same(
        &self,
        overlay: &Path,
        base: &Path,
    ) -> Result<bool, Box<dyn Error>> {
        match self {
            Self::Real(_) => Ok(image::compare(overlay, base)?),
            Self::Simulated(simulator) => {
                let has_all = find(simulator, overlay)?.data() == find(simulator, base)?.data();
                Ok(has_all || self.backing_file(overlay)?.as_deref() == Some(base))
            }
        }
    }
}

fn find(simulator: &Simulator, path: &Path) -> Result<Image, Box<dyn Error>> {
    let image = simulator.image(path.to_string_lossy());
    image.ok_or_else(|| format!("there is no image {}", path.display()).into())
}
