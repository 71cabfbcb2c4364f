//! A domain: what is defined, what runs, and how the one becomes the other.

pub(crate) mod described;
pub(crate) mod hardware;
mod life;
pub(crate) mod normal;
pub(crate) mod settings;

use tokio::time::Instant;
use virtwire_protocol::constants::{
    DomainModificationImpact, DomainPausedReason, DomainRunningReason, DomainShutoffReason,
    DomainState,
};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_xdr::Str;

pub(crate) use self::described::{Described, free_uuid};
pub(crate) use self::life::{MAX_DOMAINS, Start, Stop};
use super::Uuid;
use super::backup::CompletedJob;
use super::checkpoint::Checkpoint;
use super::client::ClientId;
use super::disk::Disks;
use super::lock::Turns;
use super::moment::Moments;
use super::snapshot::Snapshot;
use crate::refusal::{Result, not_valid_now};
use crate::xml::Element;

/// A domain.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) state: DomainState,
    /// Of the type that belongs to the state.
    pub(crate) reason: i32,
    /// The definition that outlives a run; none when the domain is transient.
    pub(crate) definition: Option<Element>,
    /// What runs.
    pub(crate) live: Option<Live>,
    pub(crate) autostart: bool,
    /// What was saved to be gone on with at the next start.
    pub(crate) saved: Option<Saved>,
    /// What was kept of it.
    pub(crate) snapshots: Moments<Snapshot>,
    /// Since when changes to its disks are kept track of.
    pub(crate) checkpoints: Moments<Checkpoint>,
    /// How its last long job ended, until somebody has asked.
    pub(crate) completed_job: Option<CompletedJob>,
    /// Whose turn it is to work on it; see [`Call::turn`](crate::Call::turn).
    pub(crate) turns: Turns,
}

/// A running domain.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its number, a new one with every start.
    pub(crate) id: i32,
    /// What it runs with.
    pub(crate) config: Element,
    /// Its disks as they are now.
    pub(crate) disks: Disks,
    /// When it started.
    pub(crate) since: Instant,
    /// The connection whose end is the domain's as well.
    pub(crate) autodestroy: Option<ClientId>,
    /// How many of the guest's filesystems are frozen.
    pub(crate) frozen_filesystems: i32,
}

/// What a domain goes on with.
#[derive(Debug)]
pub(crate) struct Saved {
    config: Element,
    running: bool,
}

/// What a change of a domain is to affect, as a call's flags say it: what runs, what is defined, or
/// both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Impact {
    pub(crate) live: bool,
    pub(crate) config: bool,
}

impl Live {
    /// The live XML.
    pub(crate) fn xml(&self) -> Element {
        let mut xml = self.config.clone();
        xml.unset("id");
        xml.attributes.insert(
            xml.attributes.len().min(1),
            (String::from("id"), self.id.to_string()),
        );
        self.disks.describe(&mut xml);
        xml
    }
}

impl Domain {
    /// A domain that nothing defines; it is there only while it runs.
    pub(crate) fn new(name: String, uuid: Uuid) -> Self {
        Self {
            name,
            uuid,
            state: DomainState::SHUTOFF,
            reason: DomainShutoffReason::UNKNOWN.0,
            definition: None,
            live: None,
            autostart: false,
            saved: None,
            snapshots: Moments::default(),
            checkpoints: Moments::default(),
            completed_job: None,
            turns: Turns::default(),
        }
    }

    /// Its number while it runs, −1 otherwise.
    pub(crate) fn id(&self) -> i32 {
        self.live.as_ref().map_or(-1, |live| live.id)
    }

    /// What a running domain runs with.
    pub(crate) fn live(&self) -> Result<&Live> {
        self.live.as_ref().ok_or_else(not_running)
    }

    /// What a running domain runs with, to be changed.
    pub(crate) fn live_mut(&mut self) -> Result<&mut Live> {
        self.live.as_mut().ok_or_else(not_running)
    }

    /// What it is now: what runs, or what is defined.
    pub(crate) fn current(&self) -> &Element {
        static NOTHING: Element = Element {
            name: String::new(),
            attributes: Vec::new(),
            children: Vec::new(),
        };
        let running = self.live.as_ref().map(|live| &live.config);
        running.or(self.definition.as_ref()).unwrap_or(&NOTHING)
    }

    /// What its next start will be from.
    pub(crate) fn next(&self) -> &Element {
        self.definition.as_ref().unwrap_or_else(|| self.current())
    }

    /// What flags of a call mean for it; an error when it has no such side.
    pub(crate) fn impact(&self, flags: u32) -> Result<Impact> {
        let asked = DomainModificationImpact::from_bits_retain(flags);
        let (live, config) = (
            asked.contains(DomainModificationImpact::LIVE),
            asked.contains(DomainModificationImpact::CONFIG),
        );
        let impact = match (live, config) {
            (false, false) => Impact {
                live: self.live.is_some(),
                config: self.live.is_none(),
            },
            (live, config) => Impact { live, config },
        };
        if impact.live && self.live.is_none() {
            return Err(not_running());
        }
        if impact.config && self.definition.is_none() {
            return Err(not_valid_now(
                "transient domains do not have any persistent config",
            ));
        }
        Ok(impact)
    }

    /// The one side that the flags of a question name.
    pub(crate) fn side(&self, flags: u32) -> Result<&Element> {
        let impact = self.impact(flags)?;
        match (&self.live, &self.definition) {
            (Some(live), _) if impact.live => Ok(&live.config),
            (_, Some(definition)) => Ok(definition),
            _ => Err(not_running()),
        }
    }

    /// Both sides that a change is to affect.
    pub(crate) fn sides(&mut self, impact: Impact) -> impl Iterator<Item = &mut Element> {
        let live = self.live.as_mut().map(|live| &mut live.config);
        let config = self.definition.as_mut();
        live.filter(|_| impact.live)
            .into_iter()
            .chain(config.filter(|_| impact.config))
    }

    /// Whether it behaves as those of libvirt's test driver, which have no guest that would do
    /// anything of its own accord.
    pub(crate) fn is_test(&self) -> bool {
        self.current().attribute("type") == Some("test")
    }

    /// How many snapshots of it are known.
    pub(crate) fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }

    /// How many checkpoints of it are known.
    pub(crate) fn checkpoint_count(&self) -> usize {
        self.checkpoints.len()
    }

    /// How long it has been running, in nanoseconds.
    pub(crate) fn running_for(&self) -> u64 {
        let since = self.live.as_ref().map(|live| live.since.elapsed());
        since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// As it is named on the wire.
    pub(crate) fn reference(&self) -> NonnullDomain<'static> {
        NonnullDomain {
            name: Str::from(self.name.clone()),
            uuid: self.uuid,
            id: self.id(),
        }
    }

    fn set_running(&mut self, reason: DomainRunningReason) {
        (self.state, self.reason) = (DomainState::RUNNING, reason.0);
    }

    fn set_paused(&mut self, reason: DomainPausedReason) {
        (self.state, self.reason) = (DomainState::PAUSED, reason.0);
    }
}

fn not_running() -> virtwire_protocol::RemoteError {
    not_valid_now("domain is not running")
}
