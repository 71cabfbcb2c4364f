//! virsh's words for the numbers in events.

use virtwire::constants::DomainEventType;

/// Words for numbers from 0, and the one for every other number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    known: &'static [&'static str],
    other: &'static str,
}

impl Words {
    pub(super) fn of(self, number: i32) -> &'static str {
        let index = usize::try_from(number).ok();
        let known = index.and_then(|index| self.known.get(index));
        known.copied().unwrap_or(self.other)
    }
}

const fn or_unknown(known: &'static [&'static str]) -> Words {
    let other = "unknown";
    Words { known, other }
}

const fn or_unsupported(known: &'static [&'static str]) -> Words {
    let other = "unsupported value";
    Words { known, other }
}

pub(super) const LIFECYCLE: Words = or_unknown(&[
    "Defined",
    "Undefined",
    "Started",
    "Suspended",
    "Resumed",
    "Stopped",
    "Shutdown",
    "PMSuspended",
    "Crashed",
]);

const DEFINED: Words = or_unknown(&["Added", "Updated", "Renamed", "Snapshot"]);
const UNDEFINED: Words = or_unknown(&["Removed", "Renamed"]);
const STARTED: Words = or_unknown(&[
    "Booted",
    "Migrated",
    "Restored",
    "Snapshot",
    "Event wakeup",
    "Recreated",
]);
const SUSPENDED: Words = or_unknown(&[
    "Paused",
    "Migrated",
    "I/O Error",
    "Watchdog",
    "Restored",
    "Snapshot",
    "API error",
    "Post-copy",
    "Post-copy Error",
    "Guest shutdown",
]);
const RESUMED: Words = or_unknown(&[
    "Unpaused",
    "Migrated",
    "Snapshot",
    "Post-copy",
    "Post-copy Error",
]);
const STOPPED: Words = or_unknown(&[
    "Shutdown",
    "Destroyed",
    "Crashed",
    "Migrated",
    "Saved",
    "Failed",
    "Snapshot",
    "Recreated",
]);
const SHUTDOWN: Words = or_unknown(&[
    "Finished",
    "Finished after guest request",
    "Finished after host request",
]);
const PM_SUSPENDED: Words = or_unknown(&["Memory", "Disk"]);
const CRASHED: Words = or_unknown(&["Panicked", "Crashloaded"]);

/// The words for the details of a step in a domain's life.
pub(super) fn details(event: DomainEventType) -> Words {
    match event {
        DomainEventType::DEFINED => DEFINED,
        DomainEventType::UNDEFINED => UNDEFINED,
        DomainEventType::STARTED => STARTED,
        DomainEventType::SUSPENDED => SUSPENDED,
        DomainEventType::RESUMED => RESUMED,
        DomainEventType::STOPPED => STOPPED,
        DomainEventType::SHUTDOWN => SHUTDOWN,
        DomainEventType::PMSUSPENDED => PM_SUSPENDED,
        DomainEventType::CRASHED => CRASHED,
        _ => or_unknown(&[]),
    }
}

pub(super) const WATCHDOG: Words = or_unknown(&[
    "none",
    "pause",
    "reset",
    "poweroff",
    "shutdown",
    "debug",
    "inject-nmi",
]);
pub(super) const IO_ERROR: Words = or_unknown(&["none", "pause", "report"]);
pub(super) const GRAPHICS_PHASE: Words = or_unknown(&["connect", "initialize", "disconnect"]);
pub(super) const GRAPHICS_FAMILY: Words = or_unknown(&["IPv4", "IPv6", "unix"]);
pub(super) const BLOCK_JOB_STATUS: Words =
    or_unknown(&["completed", "failed", "canceled", "ready"]);
pub(super) const DISK_CHANGE: Words = or_unknown(&["changed", "dropped"]);
pub(super) const TRAY_CHANGE: Words = or_unknown(&["opened", "closed"]);
/// Of the agent, and of any channel.
pub(super) const CHANNEL_STATE: Words = or_unsupported(&["unknown", "connected", "disconnected"]);
pub(super) const CHANNEL_REASON: Words =
    or_unsupported(&["unknown", "domain started", "channel event"]);
/// Of a domain, and of a network.
pub(super) const METADATA: Words = or_unsupported(&["description", "title", "element"]);
pub(super) const FAILURE_RECIPIENT: Words = or_unsupported(&["hypervisor", "guest"]);
pub(super) const FAILURE_ACTION: Words = or_unsupported(&["ignore", "inject", "fatal", "reset"]);

pub(super) const NETWORK: Words = or_unknown(&["Defined", "Undefined", "Started", "Stopped"]);
pub(super) const STORAGE_POOL: Words = or_unknown(&[
    "Defined",
    "Undefined",
    "Started",
    "Stopped",
    "Created",
    "Deleted",
]);
pub(super) const NODE_DEVICE: Words = or_unknown(&["Created", "Deleted", "Defined", "Undefined"]);
pub(super) const SECRET: Words = or_unknown(&["Defined", "Undefined"]);
