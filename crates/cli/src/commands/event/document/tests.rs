//! The fields of every kind of event.

use virtwire::constants::{
    ConnectDomainEventAgentLifecycleReason, ConnectDomainEventAgentLifecycleState,
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason,
    ConnectDomainEventChannelLifecycleState, ConnectDomainEventDiskChangeReason,
    DomainBlockJobType, DomainEventGraphicsAddressType, DomainEventGraphicsPhase,
    DomainEventIoErrorAction, DomainEventStartedDetailType, DomainEventTrayChangeReason,
    DomainEventType, DomainEventWatchdogAction, DomainMemoryFailureActionType,
    DomainMemoryFailureFlags, DomainMemoryFailureRecipientType, DomainMetadataType,
    NetworkEventLifecycleType, NetworkMetadataType, NodeDeviceEventLifecycleType,
    SecretEventLifecycleType, StoragePoolEventLifecycleType,
};
use virtwire::event::{DomainEventKind as Kind, GraphicsAddress, GraphicsIdentity, Lifecycle};
use virtwire::remote::TypedParam;

use super::*;

fn text(text: &str) -> String {
    text.to_owned()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "each is made for the one call"
)]
#[track_caller]
fn fields(kind: Kind, expected: Value) {
    assert_eq!(domain::fields(&kind), expected, "{kind:?}");
}

#[test]
fn steps_of_a_life_have_libvirts_names() {
    fields(
        Kind::Lifecycle(Lifecycle::Started(
            DomainEventStartedDetailType::FROM_SNAPSHOT,
        )),
        json!({ "change": "started", "detail": "from_snapshot" }),
    );
    fields(
        Kind::Lifecycle(Lifecycle::new(DomainEventType::STOPPED, 99)),
        json!({ "change": "stopped", "detail": 99 }),
    );
    fields(
        Kind::Lifecycle(Lifecycle::new(DomainEventType(99), 0)),
        json!({ "change": 99, "detail": 0 }),
    );
}

#[test]
fn kinds_without_more_have_no_fields() {
    for kind in [
        Kind::Reboot,
        Kind::ControlError,
        Kind::PmWakeup,
        Kind::PmSuspend,
        Kind::PmSuspendDisk,
    ] {
        fields(kind, json!({}));
    }
}

#[test]
fn guests_and_their_hardware() {
    fields(Kind::RtcChange { offset: -1 }, json!({ "offset": -1 }));
    fields(
        Kind::Watchdog {
            action: DomainEventWatchdogAction::INJECTNMI,
        },
        json!({ "action": "injectnmi" }),
    );
    fields(
        Kind::BalloonChange { actual: u64::MAX },
        json!({ "actual_kib": u64::MAX }),
    );
    let alias = || text("net0");
    for kind in [
        Kind::DeviceAdded { dev_alias: alias() },
        Kind::DeviceRemoved { dev_alias: alias() },
        Kind::DeviceRemovalFailed { dev_alias: alias() },
    ] {
        fields(kind, json!({ "alias": "net0" }));
    }
    fields(
        Kind::MemoryDeviceSizeChange {
            alias: alias(),
            size: 7,
        },
        json!({ "alias": "net0", "size_kib": 7 }),
    );
    fields(
        Kind::NicMacChange {
            alias: alias(),
            old_mac: text("a"),
            new_mac: text("b"),
        },
        json!({ "alias": "net0", "old_mac": "a", "new_mac": "b" }),
    );
    fields(Kind::VcpuRemoved { vcpu: 3 }, json!({ "vcpu": 3 }));
    fields(
        Kind::MigrationIteration { iteration: 2 },
        json!({ "iteration": 2 }),
    );
    fields(
        Kind::AgentLifecycle {
            state: ConnectDomainEventAgentLifecycleState::CONNECTED,
            reason: ConnectDomainEventAgentLifecycleReason::CHANNEL,
        },
        json!({ "state": "connected", "reason": "channel" }),
    );
    fields(
        Kind::ChannelLifecycle {
            channel_name: text("org.x"),
            state: ConnectDomainEventChannelLifecycleState(0),
            reason: ConnectDomainEventChannelLifecycleReason::DOMAIN_STARTED,
        },
        json!({ "channel": "org.x", "state": 0, "reason": "domain_started" }),
    );
}

#[test]
fn disks_and_their_jobs() {
    let (src_path, dev_alias) = (text("/x.img"), text("virtio-disk0"));
    fields(
        Kind::IoError {
            src_path: src_path.clone(),
            dev_alias: dev_alias.clone(),
            action: DomainEventIoErrorAction::PAUSE,
        },
        json!({ "path": "/x.img", "alias": "virtio-disk0", "action": "pause" }),
    );
    fields(
        Kind::IoErrorReason {
            src_path,
            dev_alias,
            action: DomainEventIoErrorAction(9),
            reason: text("enospc"),
        },
        json!({ "path": "/x.img", "alias": "virtio-disk0", "action": 9, "reason": "enospc" }),
    );
    let kind = DomainBlockJobType::ACTIVE_COMMIT;
    let status = ConnectDomainEventBlockJobStatus::READY;
    let job = json!({ "disk": "vda", "type": "active_commit", "status": "ready" });
    fields(
        Kind::BlockJob {
            path: text("vda"),
            kind,
            status,
        },
        job.clone(),
    );
    fields(
        Kind::BlockJob2 {
            dst: text("vda"),
            kind,
            status,
        },
        job,
    );
    fields(
        Kind::DiskChange {
            old_src_path: Some(text("/a")),
            new_src_path: None,
            dev_alias: text("ide0"),
            reason: ConnectDomainEventDiskChangeReason::DROP_MISSING_ON_START,
        },
        json!({
            "alias": "ide0",
            "old_path": "/a",
            "new_path": null,
            "reason": "drop_missing_on_start",
        }),
    );
    fields(
        Kind::TrayChange {
            dev_alias: text("ide0"),
            reason: DomainEventTrayChangeReason::CLOSE,
        },
        json!({ "alias": "ide0", "reason": "close" }),
    );
    fields(
        Kind::BlockThreshold {
            dev: text("vda"),
            path: None,
            threshold: 1,
            excess: 2,
        },
        json!({ "disk": "vda", "path": null, "threshold": 1, "excess": 2 }),
    );
}

#[test]
fn viewers() {
    let address = |family, node| GraphicsAddress {
        family,
        node: text(node),
        service: text("5900"),
    };
    fields(
        Kind::Graphics {
            phase: DomainEventGraphicsPhase::CONNECT,
            local: address(DomainEventGraphicsAddressType::IPV4, "127.0.0.1"),
            remote: address(DomainEventGraphicsAddressType(7), "::1"),
            auth_scheme: text("sasl"),
            subject: vec![GraphicsIdentity {
                kind: text("x509dname"),
                name: text("CN=me"),
            }],
        },
        json!({
            "phase": "connect",
            "local": { "family": "ipv4", "node": "127.0.0.1", "service": "5900" },
            "remote": { "family": 7, "node": "::1", "service": "5900" },
            "auth_scheme": "sasl",
            "subject": [{ "type": "x509dname", "name": "CN=me" }],
        }),
    );
}

#[test]
fn parameters_look_as_in_calls() {
    let params = vec![
        TypedParam::new("ul", u64::MAX).unwrap(),
        TypedParam::new("b", true).unwrap(),
        TypedParam::new("d", f64::NAN).unwrap(),
        TypedParam::new("s", "text").unwrap(),
    ];
    let expected = json!({ "params": [
        { "field": "ul", "value": { "type": "ullong", "value": u64::MAX } },
        { "field": "b", "value": { "type": "boolean", "value": true } },
        { "field": "d", "value": { "type": "double", "value": "NaN" } },
        { "field": "s", "value": { "type": "string", "value": "text" } },
    ] });
    fields(
        Kind::Tunable {
            params: params.clone(),
        },
        expected.clone(),
    );
    fields(Kind::JobCompleted { params }, expected);
}

#[test]
fn metadata_and_failures_of_memory() {
    fields(
        Kind::MetadataChange {
            kind: DomainMetadataType::ELEMENT,
            ns_uri: Some(text("urn:x")),
        },
        json!({ "type": "element", "uri": "urn:x" }),
    );
    fields(
        Kind::MemoryFailure {
            recipient: DomainMemoryFailureRecipientType::GUEST,
            action: DomainMemoryFailureActionType::INJECT,
            flags: DomainMemoryFailureFlags::from_bits_retain(11),
        },
        json!({
            "recipient": "guest",
            "action": "inject",
            "flags": ["action_required", "recursive", 8],
        }),
    );
}

#[test]
fn other_objects() {
    let detail = 0;
    let event = NetworkEventLifecycleType::STARTED;
    assert_eq!(
        network(&NetworkEventKind::Lifecycle { event, detail }),
        json!({ "change": "started", "detail": 0 })
    );
    let kind = NetworkMetadataType::TITLE;
    assert_eq!(
        network(&NetworkEventKind::MetadataChange { kind, ns_uri: None }),
        json!({ "type": "title", "uri": null })
    );
    let event = StoragePoolEventLifecycleType(9);
    assert_eq!(
        storage_pool(&StoragePoolEventKind::Lifecycle { event, detail: 1 }),
        json!({ "change": 9, "detail": 1 })
    );
    assert_eq!(storage_pool(&StoragePoolEventKind::Refresh), json!({}));
    let event = NodeDeviceEventLifecycleType::CREATED;
    assert_eq!(
        node_device(&NodeDeviceEventKind::Lifecycle { event, detail }),
        json!({ "change": "created", "detail": 0 })
    );
    assert_eq!(node_device(&NodeDeviceEventKind::Update), json!({}));
    let event = SecretEventLifecycleType::UNDEFINED;
    assert_eq!(
        secret(&SecretEventKind::Lifecycle { event, detail }),
        json!({ "change": "undefined", "detail": 0 })
    );
    assert_eq!(secret(&SecretEventKind::ValueChanged), json!({}));
}

#[test]
fn monitor_events_keep_their_details() {
    let event = |details: Option<&str>| MonitorEvent {
        name: text("STOP"),
        seconds: 5,
        micros: 6,
        details: details.map(text),
    };
    let head = json!({ "name": "STOP", "seconds": 5, "micros": 6 });
    for (details, expected) in [
        (None, Value::Null),
        (Some("{\"a\":1}"), json!({ "a": 1 })),
        (Some("{no"), json!("{no")),
        (Some("7"), json!("7")),
    ] {
        let expected = merged(head.clone(), json!({ "details": expected }));
        assert_eq!(monitor(&event(details)), expected);
    }
}
