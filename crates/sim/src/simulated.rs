//! What tests have happen to domains.

use std::fmt;
use std::sync::Arc;

use virtwire_protocol::constants::DomainState;
use virtwire_protocol::event::DomainEventKind;

use crate::hypervisor::domain::normal::source_of;
use crate::hypervisor::domain::{Start, Stop};
use crate::hypervisor::{Domain, Hypervisor, Uuid, uuid_text};
use crate::refusal::{Result, invalid};
use crate::server::Shared;

/// A domain of a [`Simulator`](crate::Simulator), seen from the inside: what its guest, its
/// hypervisor and its devices do.
///
/// Clients are told as a real daemon would tell them. Everything here is the domain of this UUID,
/// whatever becomes of it; once it is gone, methods fail with libvirt's error for that.
#[derive(Clone)]
pub struct SimulatedDomain {
    shared: Arc<Shared>,
    uuid: Uuid,
}

impl fmt::Debug for SimulatedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedDomain")
            .field(&uuid_text(&self.uuid))
            .finish()
    }
}

impl SimulatedDomain {
    pub(crate) fn new(shared: Arc<Shared>, uuid: Uuid) -> Self {
        Self { shared, uuid }
    }

    /// The UUID.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The state, and why it is so: a number of a type that belongs to the state.
    ///
    /// # Errors
    ///
    /// When the domain is gone.
    pub fn state(&self) -> Result<(DomainState, i32)> {
        self.with(|domain| Ok((domain.state, domain.reason)))
    }

    /// The live XML, or the definition of a domain that does not run.
    ///
    /// # Errors
    ///
    /// When the domain is gone.
    pub fn xml(&self) -> Result<String> {
        self.with(|domain| {
            let live = domain.live.as_ref().map(|live| live.xml().to_string());
            Ok(live.unwrap_or_else(|| domain.next().to_string()))
        })
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it runs already, or is gone.
    pub fn start(&self) -> Result<()> {
        self.change(|hypervisor, uuid| hypervisor.start(uuid, Start::default()))
    }

    /// The hypervisor's process ends without having said why.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn crash(&self) -> Result<()> {
        self.change(|hypervisor, uuid| hypervisor.stop(uuid, Stop::Failed))
    }

    /// The guest's kernel panics; what follows is what the domain's `<on_crash>` says.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn panic(&self) -> Result<()> {
        self.change(Hypervisor::guest_panics)
    }

    /// The guest shuts down of its own accord.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn shut_down_by_guest(&self) -> Result<()> {
        self.change(Hypervisor::guest_shuts_down)
    }

    /// The guest reboots of its own accord.
    ///
    /// # Errors
    ///
    /// When the domain does not run.
    pub fn reboot_by_guest(&self) -> Result<()> {
        self.change(Hypervisor::guest_reboots)
    }

    /// The disk with this target cannot be read or written, for which the hypervisor pauses the
    /// domain; the reason is `enospc` when there is no room, and empty or `message` otherwise.
    ///
    /// # Errors
    ///
    /// When the domain does not run or has no such disk.
    pub fn pause_on_io_error(&self, target: &str, reason: &str) -> Result<()> {
        let (path, alias) = self.with(|domain| disk_names(domain, target))?;
        self.change(|hypervisor, uuid| hypervisor.pause_on_io_error(uuid, &path, &alias, reason))
    }

    /// Tells everybody who asked that this happened. Nothing else comes of it.
    ///
    /// # Errors
    ///
    /// When the domain is gone.
    pub fn emit(&self, event: &DomainEventKind) -> Result<()> {
        self.change(|hypervisor, uuid| {
            hypervisor.emit_now(uuid, event.clone());
            Ok(())
        })
    }

    fn with<T>(&self, read: impl FnOnce(&Domain) -> Result<T>) -> Result<T> {
        let hypervisor = self.shared.hypervisor();
        let dom = hypervisor.reference(self.uuid)?;
        read(hypervisor.domain(&dom)?)
    }

    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Hypervisor, Uuid) -> Result<T>,
    ) -> Result<T> {
        let mut hypervisor = self.shared.hypervisor();
        hypervisor.reference(self.uuid)?;
        change(&mut hypervisor, self.uuid)
    }
}

/// The image of a disk and the name that the hypervisor has for it.
fn disk_names(domain: &Domain, target: &str) -> Result<(String, String)> {
    let devices = domain.live()?.config.child("devices");
    let mut devices = devices.into_iter().flat_map(crate::xml::Element::elements);
    let disk = devices.find(|device| {
        let found = device.child("target").and_then(|one| one.attribute("dev"));
        device.name == "disk" && found == Some(target)
    });
    let disk =
        disk.ok_or_else(|| invalid(format!("invalid path {target} not assigned to domain")))?;
    let alias = disk
        .child("alias")
        .and_then(|alias| alias.attribute("name"));
    let path = disk.child("source").and_then(source_of);
    Ok((
        path.unwrap_or_default(),
        alias.unwrap_or_default().to_owned(),
    ))
}
