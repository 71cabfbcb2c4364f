//! What virsh prints of an event of a domain.

use virtwire::constants::{DomainEventIoErrorAction, DomainMemoryFailureFlags};
use virtwire::event::{
    DomainEventKind as Kind, EventId, GraphicsAddress, GraphicsIdentity, Lifecycle,
};
use virtwire::remote::{TypedParam, TypedParamValue};

use super::{escape_or_null, kind_name};
use crate::commands::block_job::kind_text;
use crate::commands::event::words;
use crate::escape::escape;

/// The line of an event; some kinds take several.
pub(super) fn text(domain: &str, kind: &Kind) -> String {
    let name = kind_name(EventId::Domain(kind.id()));
    let domain = escape(domain);
    format!("event '{name}' for domain '{domain}'{}", rest(kind))
}

/// What follows the name of the domain.
fn rest(kind: &Kind) -> String {
    match kind {
        Kind::Lifecycle(step) => lifecycle(*step),
        Kind::RtcChange { offset } => format!(": {offset}"),
        Kind::Watchdog { action } => format!(": {}", words::WATCHDOG.of(action.0)),
        Kind::Graphics {
            phase,
            local,
            remote,
            auth_scheme,
            subject,
        } => {
            let phase = words::GRAPHICS_PHASE.of(phase.0);
            let (local, remote) = (address(local), address(remote));
            let (scheme, names) = (escape(auth_scheme), identities(subject));
            format!(": {phase} local[{local}] remote[{remote}] {scheme}{names}")
        }
        Kind::BalloonChange { actual } => format!(": {actual}KiB"),
        Kind::DeviceRemoved { dev_alias: alias }
        | Kind::DeviceAdded { dev_alias: alias }
        | Kind::DeviceRemovalFailed { dev_alias: alias } => format!(": {}", escape(alias)),
        Kind::Tunable { params } | Kind::JobCompleted { params } => parameters(params),
        Kind::AgentLifecycle { state, reason } => format!(": {}", channel(state.0, reason.0)),
        Kind::MigrationIteration { iteration } => format!(": iteration: '{iteration}'"),
        Kind::MetadataChange { kind, ns_uri } => {
            let kind = words::METADATA.of(kind.0);
            format!(": type {kind}, uri {}", escape_or_null(ns_uri))
        }
        Kind::MemoryFailure {
            recipient,
            action,
            flags,
        } => memory_failure(recipient.0, action.0, *flags),
        Kind::MemoryDeviceSizeChange { alias, size } => {
            format!(":\nalias: {}\nsize: {size}", escape(alias))
        }
        Kind::NicMacChange {
            alias,
            old_mac,
            new_mac,
        } => {
            let (alias, old, new) = (escape(alias), escape(old_mac), escape(new_mac));
            format!(":\nalias: {alias}\noldMAC: {old}\nnewMAC: {new}")
        }
        Kind::VcpuRemoved { vcpu } => format!(": {vcpu}"),
        Kind::ChannelLifecycle {
            channel_name,
            state,
            reason,
        } => {
            let name = escape(channel_name);
            format!(": channel: '{name}' {}", channel(state.0, reason.0))
        }
        _ => of_disk(kind),
    }
}

/// The same for what happens to disks.
fn of_disk(kind: &Kind) -> String {
    match kind {
        Kind::IoError {
            src_path,
            dev_alias,
            action,
        } => io_error(src_path, dev_alias, *action),
        Kind::IoErrorReason {
            src_path,
            dev_alias,
            action,
            reason,
        } => {
            let error = io_error(src_path, dev_alias, *action);
            format!("{error} due to {}", escape(reason))
        }
        Kind::BlockJob {
            path: disk,
            kind,
            status,
        }
        | Kind::BlockJob2 {
            dst: disk,
            kind,
            status,
        } => {
            let status = words::BLOCK_JOB_STATUS.of(status.0);
            format!(": {} for {} {status}", kind_text(*kind), escape(disk))
        }
        Kind::DiskChange {
            old_src_path,
            new_src_path,
            dev_alias,
            reason,
        } => {
            let (old, new) = (escape_or_null(old_src_path), escape_or_null(new_src_path));
            let (alias, reason) = (escape(dev_alias), words::DISK_CHANGE.of(reason.0));
            format!(" disk {alias}: {old} -> {new}: {reason}")
        }
        Kind::TrayChange { dev_alias, reason } => {
            let reason = words::TRAY_CHANGE.of(reason.0);
            format!(" disk {}: {reason}", escape(dev_alias))
        }
        Kind::BlockThreshold {
            dev,
            path,
            threshold,
            excess,
        } => {
            let (dev, path) = (escape(dev), escape_or_null(path));
            format!(": dev: {dev}({path}) {threshold} {excess}")
        }
        // There is no more to say of the others.
        _ => String::new(),
    }
}

fn lifecycle(step: Lifecycle) -> String {
    let event = words::LIFECYCLE.of(step.event().0);
    let detail = words::details(step.event()).of(step.detail());
    format!(": {event} {detail}")
}

fn io_error(path: &str, alias: &str, action: DomainEventIoErrorAction) -> String {
    let action = words::IO_ERROR.of(action.0);
    format!(": {} ({}) {action}", escape(path), escape(alias))
}

fn address(address: &GraphicsAddress) -> String {
    let family = words::GRAPHICS_FAMILY.of(address.family.0);
    format!(
        "{family} {} {}",
        escape(&address.node),
        escape(&address.service)
    )
}

fn identities(subject: &[GraphicsIdentity]) -> String {
    let lines = subject.iter();
    lines
        .map(|identity| format!("\n\t{}={}", escape(&identity.kind), escape(&identity.name)))
        .collect()
}

fn parameters(params: &[TypedParam<'_>]) -> String {
    let mut text = ":".to_owned();
    for param in params {
        let name = param.field.to_string_lossy();
        let value = match &param.value {
            TypedParamValue::Int(value) | TypedParamValue::Boolean(value) => value.to_string(),
            TypedParamValue::Uint(value) => value.to_string(),
            TypedParamValue::Llong(value) => value.to_string(),
            TypedParamValue::Ullong(value) => value.to_string(),
            TypedParamValue::Double(value) => short(*value),
            TypedParamValue::String(value) => escape(&value.to_string_lossy()).into_owned(),
            // A type that the generator does not emit yet.
            _ => continue,
        };
        text.push_str(&format!("\n\t{}: {value}", escape(&name)));
    }
    text
}

/// A number with six significant digits, as C's `%g` prints it.
fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let scientific = format!("{value:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    match usize::try_from(5 - exponent) {
        Ok(decimals @ 0..=9) => without_zeros(&format!("{value:.decimals$}")).to_owned(),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            let exponent = exponent.unsigned_abs();
            format!("{}e{sign}{exponent:02}", without_zeros(digits))
        }
    }
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

/// Of the agent's channel, or of another.
fn channel(state: i32, reason: i32) -> String {
    let state = words::CHANNEL_STATE.of(state);
    let reason = words::CHANNEL_REASON.of(reason);
    format!("state: '{state}' reason: '{reason}'")
}

fn memory_failure(recipient: i32, action: i32, flags: DomainMemoryFailureFlags) -> String {
    let recipient = words::FAILURE_RECIPIENT.of(recipient);
    let action = words::FAILURE_ACTION.of(action);
    let required = u8::from(flags.contains(DomainMemoryFailureFlags::ACTION_REQUIRED));
    let recursive = u8::from(flags.contains(DomainMemoryFailureFlags::RECURSIVE));
    format!(
        ":\nrecipient: {recipient}\naction: {action}\n\
         flags:\n\taction required: {required}\n\trecursive: {recursive}"
    )
}
