//! Events of domains for programs.

use serde_json::{Value, json};
use virtwire::constants::DomainMemoryFailureFlags;
use virtwire::event::{DomainEventKind as Kind, GraphicsAddress, GraphicsIdentity};
use virtwire::remote::{TypedParam, TypedParamValue};

use super::named;
use crate::commands::call::{boolean, float, string};

/// What an event tells besides its kind and its domain.
pub(super) fn fields(kind: &Kind) -> Value {
    match kind {
        Kind::Lifecycle(step) => json!({
            "change": named(step.event().name(), step.event().0),
            "detail": named(step.detail_name(), step.detail()),
        }),
        Kind::RtcChange { offset } => json!({ "offset": offset }),
        Kind::Watchdog { action } => json!({ "action": named(action.name(), action.0) }),
        Kind::Graphics {
            phase,
            local,
            remote,
            auth_scheme,
            subject,
        } => json!({
            "phase": named(phase.name(), phase.0),
            "local": address(local),
            "remote": address(remote),
            "auth_scheme": auth_scheme,
            "subject": subject.iter().map(identity).collect::<Vec<_>>(),
        }),
        Kind::BalloonChange { actual } => json!({ "actual_kib": actual }),
        Kind::DeviceRemoved { dev_alias: alias }
        | Kind::DeviceAdded { dev_alias: alias }
        | Kind::DeviceRemovalFailed { dev_alias: alias } => json!({ "alias": alias }),
        Kind::Tunable { params } | Kind::JobCompleted { params } => {
            json!({ "params": params.iter().map(parameter).collect::<Vec<_>>() })
        }
        Kind::MigrationIteration { iteration } => json!({ "iteration": iteration }),
        Kind::AgentLifecycle { state, reason } => json!({
            "state": named(state.name(), state.0),
            "reason": named(reason.name(), reason.0),
        }),
        Kind::MetadataChange { kind, ns_uri } => json!({
            "type": named(kind.name(), kind.0),
            "uri": ns_uri,
        }),
        Kind::MemoryFailure {
            recipient,
            action,
            flags,
        } => json!({
            "recipient": named(recipient.name(), recipient.0),
            "action": named(action.name(), action.0),
            "flags": flag_names(*flags),
        }),
        Kind::MemoryDeviceSizeChange { alias, size } => json!({
            "alias": alias,
            "size_kib": size,
        }),
        Kind::NicMacChange {
            alias,
            old_mac,
            new_mac,
        } => json!({
            "alias": alias,
            "old_mac": old_mac,
            "new_mac": new_mac,
        }),
        Kind::VcpuRemoved { vcpu } => json!({ "vcpu": vcpu }),
        Kind::ChannelLifecycle {
            channel_name,
            state,
            reason,
        } => json!({
            "channel": channel_name,
            "state": named(state.name(), state.0),
            "reason": named(reason.name(), reason.0),
        }),
        _ => of_disk(kind),
    }
}

/// The same for what happens to disks.
fn of_disk(kind: &Kind) -> Value {
    match kind {
        Kind::IoError {
            src_path,
            dev_alias,
            action,
        } => json!({
            "path": src_path,
            "alias": dev_alias,
            "action": named(action.name(), action.0),
        }),
        Kind::IoErrorReason {
            src_path,
            dev_alias,
            action,
            reason,
        } => json!({
            "path": src_path,
            "alias": dev_alias,
            "action": named(action.name(), action.0),
            "reason": reason,
        }),
        Kind::BlockJob {
            path: disk,
            kind,
            status,
        }
        | Kind::BlockJob2 {
            dst: disk,
            kind,
            status,
        } => json!({
            "disk": disk,
            "type": named(kind.name(), kind.0),
            "status": named(status.name(), status.0),
        }),
        Kind::DiskChange {
            old_src_path,
            new_src_path,
            dev_alias,
            reason,
        } => json!({
            "alias": dev_alias,
            "old_path": old_src_path,
            "new_path": new_src_path,
            "reason": named(reason.name(), reason.0),
        }),
        Kind::TrayChange { dev_alias, reason } => json!({
            "alias": dev_alias,
            "reason": named(reason.name(), reason.0),
        }),
        Kind::BlockThreshold {
            dev,
            path,
            threshold,
            excess,
        } => json!({
            "disk": dev,
            "path": path,
            "threshold": threshold,
            "excess": excess,
        }),
        // There is no more to say of the others.
        _ => json!({}),
    }
}

fn address(address: &GraphicsAddress) -> Value {
    json!({
        "family": named(address.family.name(), address.family.0),
        "node": address.node,
        "service": address.service,
    })
}

fn identity(identity: &GraphicsIdentity) -> Value {
    json!({ "type": identity.kind, "name": identity.name })
}

/// As `call` shows typed parameters.
fn parameter(param: &TypedParam<'_>) -> Value {
    let value = match &param.value {
        TypedParamValue::Int(value) => json!({ "type": "int", "value": value }),
        TypedParamValue::Uint(value) => json!({ "type": "uint", "value": value }),
        TypedParamValue::Llong(value) => json!({ "type": "llong", "value": value }),
        TypedParamValue::Ullong(value) => json!({ "type": "ullong", "value": value }),
        TypedParamValue::Double(value) => json!({ "type": "double", "value": float(*value) }),
        TypedParamValue::Boolean(value) => {
            json!({ "type": "boolean", "value": boolean((*value).into()) })
        }
        TypedParamValue::String(value) => {
            json!({ "type": "string", "value": string(value.as_bytes()) })
        }
        _ => Value::Null,
    };
    json!({ "field": string(param.field.as_bytes()), "value": value })
}

/// The names of the flags that are set, and what is left of the number.
fn flag_names(flags: DomainMemoryFailureFlags) -> Vec<Value> {
    let named = |(name, _): (&str, _)| name.to_lowercase().into();
    let known: DomainMemoryFailureFlags = flags.iter_names().map(|(_, flag)| flag).collect();
    let rest = flags.difference(known).bits();
    let rest = (rest != 0).then(|| rest.into());
    flags.iter_names().map(named).chain(rest).collect()
}
