//! What tests have happen to disks and to their block jobs.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::hypervisor::Hypervisor;
use crate::hypervisor::block_job::BlockJobFault;
use crate::hypervisor::disk::{Disk, Layer};
use crate::hypervisor::image::Image;
use crate::refusal::{Result, invalid};
use crate::simulated::SimulatedDomain;
use crate::simulator::{Builder, Simulator};

/// A disk of a [`Simulator`]'s domain, seen from the inside: what the guest does with it, and what
/// goes wrong with its block jobs.
///
/// What is planned here is kept while the domain does not run, and does not need the disk to be
/// there.
///
/// ```
/// use virtwire::{Connection, Outcome};
/// use virtwire_sim::{BlockJobFault, Image, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let simulator = Simulator::builder()
///     .image("/base", Image::qcow2(10 << 30).with_data(2 << 30))
///     .image("/top", Image::qcow2(10 << 30).on("/base"))
///     .domain(
///         "<domain type='kvm'><name>guest</name><memory>32768</memory>
///            <os><type>hvm</type></os>
///            <devices><disk type='file'><driver name='qemu' type='qcow2'/>
///              <source file='/top'/><target dev='vda'/></disk></devices></domain>",
///     )?
///     .start();
/// let guest = simulator.domain("guest").unwrap();
/// guest.disk("vda").plan(BlockJobFault::no_space_at(0.0))?;
///
/// let builder = Connection::builder().uri("qemu:///system");
/// let (connection, driver) = builder.connect_with_io(simulator.connect()).await?;
/// tokio::spawn(driver);
/// let domain = connection.lookup_domain_by_name("guest").await?;
/// let job = domain.disk("vda").pull().start().await?;
/// assert!(matches!(job.wait().await, Outcome::Failed(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    domain: SimulatedDomain,
    target: String,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDisk")
            .field("domain", &self.domain)
            .field("target", &self.target)
            .finish()
    }
}

impl SimulatedDisk {
    /// Has this go wrong with the next block job. Faults that are planned add up for the same job.
    ///
    /// # Errors
    ///
    /// When the domain is gone.
    pub fn plan(&self, fault: BlockJobFault) -> Result<()> {
        self.domain.change(|hypervisor, uuid| {
            let domain = hypervisor.domains.get(&uuid);
            let name = domain.map_or_else(String::new, |domain| domain.name.clone());
            let habit = hypervisor.model.habit(&name, &self.target);
            habit.faults.push(fault);
            Ok(())
        })
    }

    /// Has the guest write so much in a second from now on. An active commit or a copy that is not
    /// quicker never becomes ready.
    ///
    /// # Errors
    ///
    /// When the domain is gone.
    pub fn set_guest_writes(&self, bytes_per_second: u64) -> Result<()> {
        self.domain.change(|hypervisor, uuid| {
            let Hypervisor { domains, model, .. } = hypervisor;
            let Some(domain) = domains.get_mut(&uuid) else {
                return Ok(());
            };
            model.habit(&domain.name, &self.target).writes = bytes_per_second;
            let live = domain.live.as_mut();
            let disk = live.and_then(|live| live.disks.by_target_mut(&self.target));
            if let Some(disk) = disk {
                disk.settle_writes(model, Instant::now());
                disk.writes.set_rate(bytes_per_second);
                if let Some(job) = &mut disk.job {
                    job.set_rates(bytes_per_second);
                }
                disk.touch();
            }
            Ok(())
        })
    }

    /// The guest writes so much at once, to places that had no data before.
    ///
    /// # Errors
    ///
    /// When the domain does not run or has no such disk.
    pub fn write(&self, bytes: u64) -> Result<()> {
        self.domain.change(|hypervisor, uuid| {
            let Hypervisor { domains, model, .. } = hypervisor;
            let disk = disk(domains.get_mut(&uuid), &self.target)?;
            disk.settle_writes(model, Instant::now());
            disk.writes.add(bytes);
            if let Some(job) = &mut disk.job {
                job.note_writes(bytes);
            }
            if let Some(location) = disk.chain.top().and_then(Layer::location) {
                model.images.grow(&location, bytes);
            }
            disk.touch();
            Ok(())
        })
    }

    /// The image that the guest writes to: where it is, and what it is like now.
    ///
    /// # Errors
    ///
    /// When the domain does not run or has no such disk.
    pub fn image(&self) -> Result<(String, Image)> {
        self.domain.change(|hypervisor, uuid| {
            let Hypervisor { domains, model, .. } = hypervisor;
            let disk = disk(domains.get_mut(&uuid), &self.target)?;
            disk.settle_writes(model, Instant::now());
            let location = disk.top()?.location().unwrap_or_default();
            Ok((location, disk.image(model)))
        })
    }
}

fn disk<'a>(
    domain: Option<&'a mut crate::hypervisor::Domain>,
    target: &str,
) -> Result<&'a mut Disk> {
    let missing = || invalid(format!("disk '{target}' not found in domain"));
    let live = domain.ok_or_else(missing)?.live_mut()?;
    live.disks.by_target_mut(target).ok_or_else(missing)
}

impl SimulatedDomain {
    /// The disk of this target, such as `vda`.
    #[must_use]
    pub fn disk(&self, target: impl Into<String>) -> SimulatedDisk {
        SimulatedDisk {
            domain: self.clone(),
            target: target.into(),
        }
    }

    /// The hypervisor's process stands still, as one does that waits for dead storage: block jobs
    /// do not move, and calls that ask it wait until it is thawed or the domain destroyed.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// The hypervisor's process goes on.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        self.change(|hypervisor, uuid| {
            let domain = hypervisor.domains.get_mut(&uuid);
            let Some(domain) = domain else { return Ok(()) };
            let disks = &mut domain.live_mut()?.disks;
            disks.monitor.set_frozen(frozen);
            for job in disks.iter_mut().filter_map(|disk| disk.job.as_mut()) {
                job.freeze(frozen);
            }
            Ok(())
        })
    }
}

impl Builder {
    /// Has a disk image at this path or URL. One that a domain names without its having been
    /// described is taken for 1 GiB with 128 MiB of data.
    pub fn image(mut self, location: impl AsRef<str>, image: Image) -> Self {
        // More than there can be are not put anywhere.
        let images = &mut self.hypervisor_mut().model.images;
        let _ = images.put(location.as_ref(), image);
        self
    }

    /// How much a block job without a limit moves in a second; 512 MiB by default.
    pub fn disk_throughput(mut self, bytes_per_second: u64) -> Self {
        self.hypervisor_mut().model.pace.throughput = bytes_per_second.max(1);
        self
    }

    /// How long the hypervisor takes to begin with a block job and to end it; 5 ms by default.
    pub fn block_job_latency(mut self, latency: Duration) -> Self {
        self.hypervisor_mut().model.pace.latency = latency;
        self
    }
}

impl Simulator {
    /// Puts a disk image at this path or URL, in the place of any other.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn put_image(&self, location: impl AsRef<str>, image: Image) -> Result<()> {
        let images = &mut self.hypervisor().model.images;
        images.put(location.as_ref(), image)
    }

    /// Block jobs that begin from now on move so much in a second, without a limit of their own.
    pub fn set_disk_throughput(&self, bytes_per_second: u64) {
        self.hypervisor().model.pace.throughput = bytes_per_second.max(1);
    }

    /// The disk image at this path or URL.
    #[must_use]
    pub fn image(&self, location: impl AsRef<str>) -> Option<Image> {
        self.hypervisor()
            .model
            .images
            .get(location.as_ref())
            .cloned()
    }
}
