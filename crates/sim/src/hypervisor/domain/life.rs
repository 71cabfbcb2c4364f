//! From defined to running and back, and what is told of it.

use tokio::time::Instant;
use virtwire_protocol::constants::{
    DomainEventCrashedDetailType, DomainEventDefinedDetailType, DomainEventIoErrorAction,
    DomainEventResumedDetailType, DomainEventShutdownDetailType, DomainEventStartedDetailType,
    DomainEventStoppedDetailType, DomainEventSuspendedDetailType, DomainEventUndefinedDetailType,
    DomainJobOperation, DomainPausedReason, DomainRunningReason, DomainShutdownReason,
    DomainShutoffReason, DomainState, ErrorCode, names,
};
use virtwire_protocol::event::{DomainEventKind, Lifecycle};
use virtwire_protocol::remote::{TypedParam, TypedParamValue};

use super::described::check_name;
use super::settings::{self, Memory};
use super::{Described, Domain, Live, Saved, hardware};
use crate::hypervisor::disk::Disks;
use crate::hypervisor::{ClientId, Hypervisor, Uuid, uuid_text};
use crate::refusal::{Result, not_valid_now, refusal};
use crate::xml::Element;

/// How many domains there can be: as many as one answer of libvirt's protocol holds.
pub(crate) const MAX_DOMAINS: usize = 16_384;

/// How a domain is to start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Start {
    pub(crate) paused: bool,
    pub(crate) autodestroy: Option<ClientId>,
    /// Whether to forget what was saved.
    pub(crate) force_boot: bool,
}

/// Why a domain stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody destroyed it.
    Destroyed,
    /// The guest shut down.
    ShutDown,
    /// The hypervisor's process ended.
    Failed,
    /// The guest crashed, and that is what was to happen then.
    Crashed,
    /// Its state was saved.
    Saved,
}

impl Stop {
    fn reason(self) -> DomainShutoffReason {
        match self {
            Self::Destroyed => DomainShutoffReason::DESTROYED,
            Self::ShutDown => DomainShutoffReason::SHUTDOWN,
            Self::Failed | Self::Crashed => DomainShutoffReason::CRASHED,
            Self::Saved => DomainShutoffReason::SAVED,
        }
    }

    fn detail(self) -> DomainEventStoppedDetailType {
        match self {
            Self::Destroyed => DomainEventStoppedDetailType::DESTROYED,
            Self::ShutDown => DomainEventStoppedDetailType::SHUTDOWN,
            Self::Failed => DomainEventStoppedDetailType::FAILED,
            Self::Crashed => DomainEventStoppedDetailType::CRASHED,
            Self::Saved => DomainEventStoppedDetailType::SAVED,
        }
    }

    /// Whether the event still has the number: it is made before the domain is put away when the
    /// hypervisor's process ends by itself, and after that when it is ended.
    fn keeps_number(self) -> bool {
        matches!(self, Self::ShutDown | Self::Failed)
    }
}

/// Defining.
impl Hypervisor {
    /// What a client's XML says, which may lack a UUID.
    pub(crate) fn describe(&self, xml: &str) -> Result<Described> {
        Described::parse(xml, |uuid| self.domains.contains_key(uuid))
    }

    /// Defines a domain, or changes what its next start will be from.
    pub(crate) fn define(&mut self, described: Described) -> Result<Uuid> {
        let uuid = described.uuid;
        let domain = self.domain_for(&described)?;
        let detail = match domain.definition.replace(described.config) {
            Some(_) => DomainEventDefinedDetailType::UPDATED,
            None => DomainEventDefinedDetailType::ADDED,
        };
        self.step(uuid, detail);
        Ok(uuid)
    }

    /// The domain of this name and UUID, which is made if there is none.
    fn domain_for(&mut self, described: &Described) -> Result<&mut Domain> {
        let Described { name, uuid, .. } = described;
        let text = uuid_text(uuid);
        if let Some(other) = self.domains.get(uuid).filter(|other| other.name != *name) {
            let what = format!(
                "domain '{}' is already defined with uuid {text}",
                other.name
            );
            return Err(refusal(ErrorCode::OPERATION_FAILED, what));
        }
        if let Some(other) = self.named(name).filter(|other| other.uuid != *uuid) {
            let text = uuid_text(&other.uuid);
            let what = format!("domain '{name}' already exists with uuid {text}");
            return Err(refusal(ErrorCode::OPERATION_FAILED, what));
        }
        if self.domains.len() >= MAX_DOMAINS && !self.domains.contains_key(uuid) {
            return Err(refusal(ErrorCode::OPERATION_FAILED, "too many domains"));
        }
        self.names.insert(name.clone(), *uuid);
        let new = || Domain::new(name.clone(), *uuid);
        Ok(self.domains.entry(*uuid).or_insert_with(new))
    }

    /// Forgets a definition; what runs goes on without one.
    pub(crate) fn undefine(&mut self, uuid: Uuid) {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return;
        };
        domain.definition = None;
        domain.autostart = false;
        domain.saved = None;
        let detail = DomainEventUndefinedDetailType::REMOVED;
        self.step(uuid, detail);
        self.drop_if_gone(uuid);
    }

    /// Gives a domain that is only defined another name.
    pub(crate) fn rename(&mut self, uuid: Uuid, name: &str) -> Result<()> {
        let other = self.named(name).is_some();
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        let problem = match () {
            () if domain.live.is_some() => Some("cannot rename active domain".to_owned()),
            () if domain.saved.is_some() => {
                Some("domain with a managed saved state can't be renamed".to_owned())
            }
            () if domain.name == name => Some("Can't rename domain to itself".to_owned()),
            () if other => Some(format!("domain with name '{name}' already exists")),
            () => None,
        };
        if let Some(problem) = problem {
            return Err(not_valid_now(problem));
        }
        check_name(name)?;
        let old = std::mem::replace(&mut domain.name, name.to_owned());
        self.names.remove(&old);
        self.names.insert(name.to_owned(), uuid);
        if let Some(definition) = &mut domain.definition {
            definition.set_child_text("name", name);
        }
        let gone = DomainEventUndefinedDetailType::RENAMED;
        self.emit(uuid, &old, -1, Lifecycle::from(gone));
        let come = DomainEventDefinedDetailType::RENAMED;
        self.step(uuid, come);
        Ok(())
    }
}

/// Starting and stopping.
impl Hypervisor {
    /// Starts a domain from this description, whether or not it is defined as well.
    pub(crate) fn create(&mut self, described: Described, start: Start) -> Result<Uuid> {
        let uuid = described.uuid;
        let domain = self.domain_for(&described)?;
        if domain.live.is_some() {
            let what = format!("domain '{}' is already active", described.name);
            return Err(not_valid_now(what));
        }
        let booted = DomainEventStartedDetailType::BOOTED;
        let running = DomainRunningReason::BOOTED;
        let begun = self.begin(uuid, described.config, start, running, booted);
        self.drop_if_gone(uuid);
        begun.map(|()| uuid)
    }

    /// Starts a domain that is defined, from what was saved if there is such.
    pub(crate) fn start(&mut self, uuid: Uuid, start: Start) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        if domain.live.is_some() {
            return Err(not_valid_now("domain is already running"));
        }
        let saved = domain.saved.take().filter(|_| !start.force_boot);
        match saved {
            Some(saved) => {
                let start = Start {
                    paused: start.paused || !saved.running,
                    ..start
                };
                let (running, restored) = (
                    DomainRunningReason::RESTORED,
                    DomainEventStartedDetailType::RESTORED,
                );
                self.begin(uuid, saved.config, start, running, restored)
            }
            None => {
                let config = domain.next().clone();
                let booted = DomainEventStartedDetailType::BOOTED;
                self.begin(uuid, config, start, DomainRunningReason::BOOTED, booted)
            }
        }
    }

    fn begin(
        &mut self,
        uuid: Uuid,
        mut config: Element,
        start: Start,
        running: DomainRunningReason,
        detail: DomainEventStartedDetailType,
    ) -> Result<()> {
        hardware::plug(&mut config, &mut self.next_interface);
        let disks = Disks::open(&config, &mut self.model)?;
        let id = self.next_domain_id();
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live = Some(Live {
            id,
            config,
            disks,
            since: Instant::now(),
            autodestroy: start.autodestroy,
            frozen_filesystems: 0,
        });
        let test = domain.is_test();
        match start.paused {
            true => domain.set_paused(DomainPausedReason::USER),
            false => domain.set_running(running),
        }
        let restored = detail == DomainEventStartedDetailType::RESTORED;
        let resumed = DomainEventResumedDetailType::UNPAUSED;
        // QEMU starts stopped and is then told to go on, which is heard first.
        if !test && !restored && !start.paused {
            self.step(uuid, resumed);
        }
        self.step(uuid, detail);
        if start.paused {
            let suspended = match restored {
                true => DomainEventSuspendedDetailType::RESTORED,
                false => DomainEventSuspendedDetailType::PAUSED,
            };
            self.step(uuid, suspended);
        } else if !test && restored {
            let resumed = DomainEventResumedDetailType::FROM_SNAPSHOT;
            self.step(uuid, resumed);
        }
        Ok(())
    }

    /// Stops a domain that runs.
    pub(crate) fn stop(&mut self, uuid: Uuid, why: Stop) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        let live = domain.live()?;
        let id = live.id;
        // A process that is asked to end says so before it does; one that hangs is killed.
        if why == Stop::Destroyed && !live.disks.monitor.is_frozen() && !domain.is_test() {
            let detail = DomainEventShutdownDetailType::HOST;
            self.step(uuid, detail);
        }
        self.close_disks(uuid);
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live = None;
        (domain.state, domain.reason) = (DomainState::SHUTOFF, why.reason().0);
        let name = domain.name.clone();
        let event = Lifecycle::from(why.detail());
        self.drop_if_gone(uuid);
        self.emit(uuid, &name, if why.keeps_number() { id } else { -1 }, event);
        Ok(())
    }

    /// Stops a domain and keeps its state for the next start; `running` says how it is to go on
    /// then, as it is now if it says nothing.
    pub(crate) fn save(&mut self, uuid: Uuid, running: Option<bool>) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        let now = domain.state == DomainState::RUNNING;
        if domain.live()?.disks.have_job() {
            return Err(not_valid_now("domain has active block job"));
        }
        let config = domain.live()?.config.clone();
        if domain.definition.is_none() {
            return Err(not_valid_now("cannot do managed save for transient domain"));
        }
        domain.saved = Some(Saved {
            config,
            running: running.unwrap_or(now),
        });
        if domain.is_test() {
            return self.stop(uuid, Stop::Saved);
        }
        if now {
            domain.set_paused(DomainPausedReason::SAVE);
            let detail = DomainEventSuspendedDetailType::PAUSED;
            self.step(uuid, detail);
        }
        self.tell_saving(uuid);
        self.stop(uuid, Stop::Saved)
    }

    /// For QEMU saving is a migration, which is over in two rounds, into a file.
    fn tell_saving(&mut self, uuid: Uuid) {
        for iteration in 1..=2 {
            self.emit_now(uuid, DomainEventKind::MigrationIteration { iteration });
        }
        let Some(domain) = self.domains.get(&uuid) else {
            return;
        };
        let kib = settings::memory(domain.current(), Memory::Total);
        let bytes = TypedParamValue::Ullong(kib.saturating_mul(1024));
        let params = [
            (
                names::DOMAIN_JOB_OPERATION,
                TypedParamValue::Int(DomainJobOperation::SAVE.0),
            ),
            (names::DOMAIN_JOB_TIME_ELAPSED, TypedParamValue::Ullong(0)),
            (names::DOMAIN_JOB_MEMORY_TOTAL, bytes.clone()),
            (names::DOMAIN_JOB_MEMORY_PROCESSED, bytes),
            (
                names::DOMAIN_JOB_MEMORY_REMAINING,
                TypedParamValue::Ullong(0),
            ),
        ];
        let params = params.map(|(name, value)| TypedParam {
            field: name.into(),
            value,
        });
        let params = params.into();
        self.emit_now(uuid, DomainEventKind::JobCompleted { params });
    }

    /// A client has gone, and with it the domains that it did not want to outlive it.
    pub(crate) fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
        let orphans: Vec<Uuid> = self
            .domains
            .values()
            .filter(|domain| {
                let live = domain.live.as_ref();
                live.is_some_and(|live| live.autodestroy == Some(client))
            })
            .map(|domain| domain.uuid)
            .collect();
        for uuid in orphans {
            // They all run.
            let _ = self.stop(uuid, Stop::Destroyed);
        }
    }

    /// A domain that neither runs nor is defined is no more.
    fn drop_if_gone(&mut self, uuid: Uuid) {
        let gone = |domain: &Domain| domain.live.is_none() && domain.definition.is_none();
        if !self.domains.get(&uuid).is_some_and(gone) {
            return;
        }
        if let Some(domain) = self.domains.remove(&uuid) {
            self.names.remove(&domain.name);
        }
    }
}

/// Pausing, and what guests do.
impl Hypervisor {
    /// Pauses a domain.
    pub(crate) fn suspend(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        if domain.state == DomainState::PMSUSPENDED {
            return Err(not_valid_now("domain is pmsuspended"));
        }
        if domain.state != DomainState::PAUSED {
            domain.set_paused(DomainPausedReason::USER);
            let detail = DomainEventSuspendedDetailType::PAUSED;
            self.step(uuid, detail);
        }
        Ok(())
    }

    /// Has a paused domain go on.
    pub(crate) fn resume(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        match domain.state {
            DomainState::PMSUSPENDED => return Err(not_valid_now("domain is pmsuspended")),
            DomainState::RUNNING => return Err(not_valid_now("domain is already running")),
            _ => {}
        }
        domain.set_running(DomainRunningReason::UNPAUSED);
        let detail = DomainEventResumedDetailType::UNPAUSED;
        self.step(uuid, detail);
        Ok(())
    }

    /// The guest shuts down, as itself wishes or as somebody asked.
    pub(crate) fn guest_shuts_down(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        if !domain.is_test() {
            (domain.state, domain.reason) =
                (DomainState::SHUTDOWN, DomainShutdownReason::UNKNOWN.0);
            let detail = DomainEventShutdownDetailType::GUEST;
            self.step(uuid, detail);
        }
        self.stop(uuid, Stop::ShutDown)
    }

    /// The guest reboots; what was changed in the definition has no effect on it.
    pub(crate) fn guest_reboots(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        let action = domain.current().child_text("on_reboot").unwrap_or_default();
        if matches!(action.as_str(), "destroy" | "preserve") {
            return self.guest_shuts_down(uuid);
        }
        self.guest_resets(uuid)
    }

    /// The guest starts anew without having ended.
    pub(crate) fn guest_resets(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        if domain.state == DomainState::CRASHED {
            domain.set_paused(DomainPausedReason::CRASHED);
        }
        if !domain.is_test() {
            self.emit_now(uuid, DomainEventKind::Reboot);
        }
        Ok(())
    }

    /// The guest's kernel panics. What is done about it stands in the domain's description.
    pub(crate) fn guest_panics(&mut self, uuid: Uuid) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        domain.state = DomainState::CRASHED;
        domain.reason = virtwire_protocol::constants::DomainCrashedReason::PANICKED.0;
        let action = domain.current().child_text("on_crash").unwrap_or_default();
        let detail = DomainEventCrashedDetailType::PANICKED;
        self.step(uuid, detail);
        match action.as_str() {
            "restart" | "rename-restart" | "coredump-restart" => {
                if let Some(domain) = self.domains.get_mut(&uuid) {
                    domain.set_running(DomainRunningReason::CRASHED);
                }
                self.emit_now(uuid, DomainEventKind::Reboot);
                Ok(())
            }
            "preserve" => Ok(()),
            _ => self.stop(uuid, Stop::Crashed),
        }
    }

    /// The hypervisor pauses a domain since a disk cannot be read or written. The disk is named by
    /// its image and its alias.
    pub(crate) fn pause_on_io_error(
        &mut self,
        uuid: Uuid,
        src_path: &str,
        dev_alias: &str,
        reason: &str,
    ) -> Result<()> {
        let Some(domain) = self.domains.get_mut(&uuid) else {
            return Ok(());
        };
        domain.live()?;
        let was_running = domain.state == DomainState::RUNNING;
        let (src_path, dev_alias) = (src_path.to_owned(), dev_alias.to_owned());
        let action = DomainEventIoErrorAction::PAUSE;
        if was_running {
            domain.set_paused(DomainPausedReason::IOERROR);
        }
        let event = DomainEventKind::IoError {
            src_path: src_path.clone(),
            dev_alias: dev_alias.clone(),
            action,
        };
        self.emit_now(uuid, event);
        let event = DomainEventKind::IoErrorReason {
            src_path,
            dev_alias,
            action,
            reason: reason.to_owned(),
        };
        self.emit_now(uuid, event);
        if was_running {
            let detail = DomainEventSuspendedDetailType::IOERROR;
            self.step(uuid, detail);
        }
        Ok(())
    }

    fn step(&mut self, uuid: Uuid, step: impl Into<Lifecycle>) {
        self.emit_now(uuid, step.into());
    }
}
