//! States and reasons: virsh's words for people, the constants' names for programs.

use virtwire::DomainStatus;
use virtwire::constants::DomainState;

/// virsh's word for a state.
pub(crate) fn state_text(state: DomainState) -> &'static str {
    match state {
        DomainState::RUNNING => "running",
        DomainState::BLOCKED => "idle",
        DomainState::PAUSED => "paused",
        DomainState::SHUTDOWN => "in shutdown",
        DomainState::SHUTOFF => "shut off",
        DomainState::CRASHED => "crashed",
        DomainState::PMSUSPENDED => "pmsuspended",
        _ => "no state",
    }
}

/// The name of a state for programs; a number where this version knows no name.
pub(crate) fn state_name(state: DomainState) -> String {
    state
        .name()
        .map_or_else(|| state.0.to_string(), str::to_lowercase)
}

/// virsh's words for a reason.
pub(crate) fn reason_text(status: &DomainStatus) -> &'static str {
    const RUNNING: &[&str] = &[
        "unknown",
        "booted",
        "migrated",
        "restored",
        "from snapshot",
        "unpaused",
        "migration canceled",
        "save canceled",
        "event wakeup",
        "crashed",
        "post-copy",
        "post-copy failed",
    ];
    const PAUSED: &[&str] = &[
        "unknown",
        "user",
        "migrating",
        "saving",
        "dumping",
        "I/O error",
        "watchdog",
        "from snapshot",
        "shutting down",
        "creating snapshot",
        "crashed",
        "starting up",
        "post-copy",
        "post-copy failed",
        "api error",
    ];
    const SHUTDOWN: &[&str] = &["unknown", "user"];
    const SHUTOFF: &[&str] = &[
        "unknown",
        "shutdown",
        "destroyed",
        "crashed",
        "migrated",
        "saved",
        "failed",
        "from snapshot",
        "daemon",
    ];
    const CRASHED: &[&str] = &["unknown", "panicked"];
    let words = match status.state {
        DomainState::RUNNING => RUNNING,
        DomainState::PAUSED => PAUSED,
        DomainState::SHUTDOWN => SHUTDOWN,
        DomainState::SHUTOFF => SHUTOFF,
        DomainState::CRASHED => CRASHED,
        _ => &[],
    };
    let index = usize::try_from(status.reason).ok();
    index
        .and_then(|index| words.get(index))
        .copied()
        .unwrap_or("unknown")
}

/// The name of a reason for programs; a number where this version knows no name.
pub(crate) fn reason_name(status: &DomainStatus) -> String {
    status
        .reason_name()
        .map_or_else(|| status.reason.to_string(), str::to_lowercase)
}
