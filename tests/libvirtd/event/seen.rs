//! Our events in the witness's words.

use serde_json::{Map, Value, json};
use virtwire::Domain;
use virtwire::event::{
    DomainEventKind, Event, GraphicsAddress, NetworkEventKind, NodeDeviceEventKind,
    SecretEventKind, StoragePoolEventKind,
};
use virtwire::remote::{TypedParam, TypedParamValue};

/// The event as the witness prints it.
pub(super) fn value(event: &Event) -> Value {
    let (class, subject, (event, fields)) = match event {
        Event::Domain(it) => ("domain", domain(&it.domain), of_domain(&it.kind)),
        Event::Network(it) => {
            let subject = named(it.network.name(), &it.network.uuid().to_string());
            ("network", subject, of_network(&it.kind))
        }
        Event::StoragePool(it) => {
            let subject = named(it.pool.name(), &it.pool.uuid().to_string());
            ("storage-pool", subject, of_pool(&it.kind))
        }
        Event::NodeDevice(it) => {
            let subject = json!({ "name": it.device.name() });
            ("node-device", subject, of_device(&it.kind))
        }
        Event::Secret(it) => {
            let subject = json!({
                "uuid": it.secret.uuid().to_string(),
                "usage_type": it.secret.usage_type().0,
                "usage_id": it.secret.usage_id(),
            });
            ("secret", subject, of_secret(&it.kind))
        }
        Event::QemuMonitor(it) => {
            let event = &it.event;
            let fields = json!({
                "name": event.name, "seconds": event.seconds, "micros": event.micros,
                "details": event.details,
            });
            ("qemu-monitor", domain(&it.domain), ("event", fields))
        }
        Event::ConnectionClosed(it) => {
            let fields = json!({ "reason": it.reason.0 });
            ("connection", json!({}), ("closed", fields))
        }
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    };
    json!({ "class": class, "event": event, "subject": subject, "fields": fields })
}

fn domain(domain: &Domain) -> Value {
    let mut subject = named(domain.name(), &domain.uuid().to_string());
    subject["id"] = json!(domain.id().map_or(-1, i64::from));
    subject
}

fn named(name: &str, uuid: &str) -> Value {
    json!({ "name": name, "uuid": uuid })
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind")]
fn of_domain(kind: &DomainEventKind) -> (&'static str, Value) {
    use DomainEventKind as Kind;
    match kind {
        Kind::Lifecycle(it) => (
            "lifecycle",
            json!({ "event": it.event().0, "detail": it.detail() }),
        ),
        Kind::Reboot => ("reboot", json!({})),
        Kind::RtcChange { offset } => ("rtc-change", json!({ "offset": offset })),
        Kind::Watchdog { action } => ("watchdog", json!({ "action": action.0 })),
        Kind::IoError {
            src_path,
            dev_alias,
            action,
        } => (
            "io-error",
            json!({ "source": src_path, "device": dev_alias, "action": action.0 }),
        ),
        Kind::Graphics {
            phase,
            local,
            remote,
            auth_scheme,
            subject,
        } => {
            let subject: Vec<_> = subject.iter().map(|it| (&it.kind, &it.name)).collect();
            let fields = json!({
                "phase": phase.0, "local": address(local), "remote": address(remote),
                "auth_scheme": auth_scheme, "subject": subject,
            });
            ("graphics", fields)
        }
        Kind::IoErrorReason {
            src_path,
            dev_alias,
            action,
            reason,
        } => (
            "io-error-reason",
            json!({
                "source": src_path, "device": dev_alias, "action": action.0, "reason": reason,
            }),
        ),
        Kind::ControlError => ("control-error", json!({})),
        Kind::BlockJob { path, kind, status } => (
            "block-job",
            json!({ "path": path, "type": kind.0, "status": status.0 }),
        ),
        Kind::DiskChange {
            old_src_path,
            new_src_path,
            dev_alias,
            reason,
        } => (
            "disk-change",
            json!({
                "old_source": old_src_path, "new_source": new_src_path, "device": dev_alias,
                "reason": reason.0,
            }),
        ),
        Kind::TrayChange { dev_alias, reason } => (
            "tray-change",
            json!({ "device": dev_alias, "reason": reason.0 }),
        ),
        // Libvirt has no reasons for these, and says 0.
        Kind::PmWakeup => ("pm-wakeup", json!({ "reason": 0 })),
        Kind::PmSuspend => ("pm-suspend", json!({ "reason": 0 })),
        Kind::PmSuspendDisk => ("pm-suspend-disk", json!({ "reason": 0 })),
        Kind::BalloonChange { actual } => ("balloon-change", json!({ "actual": actual })),
        Kind::DeviceRemoved { dev_alias } => ("device-removed", json!({ "device": dev_alias })),
        Kind::BlockJob2 { dst, kind, status } => (
            "block-job-2",
            json!({ "path": dst, "type": kind.0, "status": status.0 }),
        ),
        Kind::Tunable { params } => ("tunable", json!({ "params": dictionary(params) })),
        Kind::AgentLifecycle { state, reason } => (
            "agent-lifecycle",
            json!({ "state": state.0, "reason": reason.0 }),
        ),
        Kind::DeviceAdded { dev_alias } => ("device-added", json!({ "device": dev_alias })),
        Kind::MigrationIteration { iteration } => {
            ("migration-iteration", json!({ "iteration": iteration }))
        }
        Kind::JobCompleted { params } => ("job-completed", json!({ "params": dictionary(params) })),
        Kind::DeviceRemovalFailed { dev_alias } => {
            ("device-removal-failed", json!({ "device": dev_alias }))
        }
        Kind::MetadataChange { kind, ns_uri } => (
            "metadata-change",
            json!({ "type": kind.0, "ns_uri": ns_uri }),
        ),
        Kind::BlockThreshold {
            dev,
            path,
            threshold,
            excess,
        } => (
            "block-threshold",
            json!({ "device": dev, "path": path, "threshold": threshold, "excess": excess }),
        ),
        Kind::MemoryFailure {
            recipient,
            action,
            flags,
        } => (
            "memory-failure",
            json!({ "recipient": recipient.0, "action": action.0, "flags": flags.bits() }),
        ),
        Kind::MemoryDeviceSizeChange { alias, size } => (
            "memory-device-size-change",
            json!({ "device": alias, "size": size }),
        ),
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    }
}

fn of_network(kind: &NetworkEventKind) -> (&'static str, Value) {
    match kind {
        NetworkEventKind::Lifecycle { event, detail } => lifecycle(event.0, *detail),
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    }
}

fn of_pool(kind: &StoragePoolEventKind) -> (&'static str, Value) {
    match kind {
        StoragePoolEventKind::Lifecycle { event, detail } => lifecycle(event.0, *detail),
        StoragePoolEventKind::Refresh => ("refresh", json!({})),
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    }
}

fn of_device(kind: &NodeDeviceEventKind) -> (&'static str, Value) {
    match kind {
        NodeDeviceEventKind::Lifecycle { event, detail } => lifecycle(event.0, *detail),
        NodeDeviceEventKind::Update => ("update", json!({})),
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    }
}

fn of_secret(kind: &SecretEventKind) -> (&'static str, Value) {
    match kind {
        SecretEventKind::Lifecycle { event, detail } => lifecycle(event.0, *detail),
        SecretEventKind::ValueChanged => ("value-changed", json!({})),
        other => panic!("libvirt 9.0.0 has no such event: {other:?}"),
    }
}

fn lifecycle(event: i32, detail: i32) -> (&'static str, Value) {
    ("lifecycle", json!({ "event": event, "detail": detail }))
}

fn address(address: &GraphicsAddress) -> Value {
    json!({
        "family": address.family.0, "node": address.node, "service": address.service,
    })
}

/// As Python has typed parameters: their types are told by their values only.
fn dictionary(params: &[TypedParam<'_>]) -> Value {
    let entries = params.iter().map(|param| {
        let value = match &param.value {
            TypedParamValue::Int(it) => json!(it),
            TypedParamValue::Uint(it) => json!(it),
            TypedParamValue::Llong(it) => json!(it),
            TypedParamValue::Ullong(it) => json!(it),
            TypedParamValue::Double(it) => json!(it),
            TypedParamValue::Boolean(it) => json!(*it != 0),
            TypedParamValue::String(it) => json!(it.to_string_lossy()),
            other => panic!("no type of 9.0.0: {other:?}"),
        };
        (param.field.to_string_lossy().into_owned(), value)
    });
    let entries: Map<String, Value> = entries.collect();
    assert_eq!(entries.len(), params.len(), "a name is there twice");
    Value::Object(entries)
}
