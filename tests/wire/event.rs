//! What libvirtd 9.0.0 said of each kind of event, as the tests of events on real daemons recorded
//! it, where libvirt's own library understood the same.

use bytes::BufMut as _;
use virtwire_protocol::constants::*;
use virtwire_protocol::event::{
    DomainEventKind as Domain, EventId, EventKind, GraphicsAddress, Lifecycle, Message,
    MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
    Subject,
};
use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::remote::{TypedParam, TypedParamValue};

/// A line for each: its name and the packet.
const RECORDED: &str = include_str!("event-9.0.0.tsv");

/// The directory of the daemon that was recorded.
const IMAGES: &str = "/tmp/vw-000000/images";

fn recorded() -> impl Iterator<Item = (&'static str, Frame)> {
    RECORDED.lines().map(|line| {
        let (name, packet) = line.split_once('\t').unwrap();
        let digits = packet.as_bytes().chunks(2);
        let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        let packet: Vec<u8> = digits.map(byte).collect();
        let mut decoder = FrameDecoder::new();
        decoder.buffer_mut().put_slice(&packet);
        (name, decoder.next_frame().unwrap().unwrap())
    })
}

fn decode(frame: &Frame) -> Message<'_> {
    let header = &frame.header;
    let message = Message::decode(header.program, header.procedure, &frame.payload);
    message.unwrap().unwrap()
}

/// What is in the packets, in their order.
fn expected() -> Vec<EventKind> {
    let domains = [of_disks(), of_devices(), of_lives()].concat();
    let mut kinds: Vec<_> = domains.into_iter().map(EventKind::Domain).collect();
    kinds.extend(of_others());
    kinds
}

fn of_disks() -> Vec<Domain> {
    let overlay = || format!("{IMAGES}/guest.qcow2");
    let full = || format!("{IMAGES}/full/guest");
    let disk = || "virtio-disk0".to_owned();
    vec![
        Domain::BlockJob {
            path: overlay(),
            kind: DomainBlockJobType::PULL,
            status: ConnectDomainEventBlockJobStatus::COMPLETED,
        },
        Domain::BlockJob2 {
            dst: "vda".to_owned(),
            kind: DomainBlockJobType::PULL,
            status: ConnectDomainEventBlockJobStatus::COMPLETED,
        },
        Domain::BlockThreshold {
            dev: "vda".to_owned(),
            path: Some(overlay()),
            threshold: 500_000,
            excess: 351_968,
        },
        Domain::DiskChange {
            old_src_path: Some(format!("{IMAGES}/missing.iso")),
            new_src_path: None,
            dev_alias: "ide0-1-0".to_owned(),
            reason: ConnectDomainEventDiskChangeReason::CHANGE_MISSING_ON_START,
        },
        Domain::IoError {
            src_path: full(),
            dev_alias: disk(),
            action: DomainEventIoErrorAction::PAUSE,
        },
        Domain::IoErrorReason {
            src_path: full(),
            dev_alias: disk(),
            action: DomainEventIoErrorAction::PAUSE,
            reason: "enospc".to_owned(),
        },
        Domain::JobCompleted {
            params: vec![
                param("operation", TypedParamValue::Int(9)),
                param("time_elapsed", TypedParamValue::Ullong(91)),
                param("disk_total", TypedParamValue::Ullong(4 << 20)),
                param("disk_processed", TypedParamValue::Ullong(4 << 20)),
                param("disk_remaining", TypedParamValue::Ullong(0)),
                param("success", TypedParamValue::Boolean(1)),
            ],
        },
        Domain::TrayChange {
            dev_alias: "ide0-1-0".to_owned(),
            reason: DomainEventTrayChangeReason::OPEN,
        },
        Domain::Tunable {
            params: vec![
                param("blkdeviotune.disk", TypedParamValue::String("vda".into())),
                param(
                    "blkdeviotune.total_bytes_sec",
                    TypedParamValue::Ullong(1_000_000),
                ),
                param("blkdeviotune.total_iops_sec", TypedParamValue::Ullong(77)),
            ],
        },
    ]
}

fn of_devices() -> Vec<Domain> {
    let address = |service: &str| GraphicsAddress {
        family: DomainEventGraphicsAddressType::IPV4,
        node: "127.0.0.1".to_owned(),
        service: service.to_owned(),
    };
    let dev_alias = || "input2".to_owned();
    vec![
        Domain::AgentLifecycle {
            state: ConnectDomainEventAgentLifecycleState::DISCONNECTED,
            reason: ConnectDomainEventAgentLifecycleReason::DOMAIN_STARTED,
        },
        Domain::BalloonChange { actual: 16 << 10 },
        Domain::DeviceAdded {
            dev_alias: dev_alias(),
        },
        Domain::DeviceRemovalFailed {
            dev_alias: "dimm0".to_owned(),
        },
        Domain::DeviceRemoved {
            dev_alias: dev_alias(),
        },
        Domain::Graphics {
            phase: DomainEventGraphicsPhase::CONNECT,
            local: address("5900"),
            remote: address("52290"),
            auth_scheme: "none".to_owned(),
            subject: Vec::new(),
        },
        Domain::MemoryFailure {
            recipient: DomainMemoryFailureRecipientType::GUEST,
            action: DomainMemoryFailureActionType::RESET,
            flags: DomainMemoryFailureFlags::empty(),
        },
        Domain::MemoryDeviceSizeChange {
            alias: "virtiomem0".to_owned(),
            size: 2048,
        },
        Domain::Watchdog {
            action: DomainEventWatchdogAction::PAUSE,
        },
    ]
}

fn of_lives() -> Vec<Domain> {
    vec![
        Domain::ControlError,
        Domain::Lifecycle(Lifecycle::Stopped(DomainEventStoppedDetailType::SAVED)),
        Domain::MetadataChange {
            kind: DomainMetadataType::ELEMENT,
            ns_uri: Some("http://x.y/z".to_owned()),
        },
        Domain::MigrationIteration { iteration: 1 },
        Domain::PmSuspend,
        Domain::PmSuspendDisk,
        Domain::PmWakeup,
        Domain::Reboot,
        Domain::RtcChange { offset: -481 },
    ]
}

fn of_others() -> Vec<EventKind> {
    let details = r#"{"guest":false,"reason":"host-qmp-system-reset"}"#;
    vec![
        EventKind::QemuMonitor(MonitorEvent {
            name: "RESET".to_owned(),
            seconds: 1_795_425_492,
            micros: 21_413,
            details: Some(details.to_owned()),
        }),
        EventKind::Network(NetworkEventKind::Lifecycle {
            event: NetworkEventLifecycleType::DEFINED,
            detail: 0,
        }),
        EventKind::NodeDevice(NodeDeviceEventKind::Lifecycle {
            event: NodeDeviceEventLifecycleType::DELETED,
            detail: 0,
        }),
        EventKind::NodeDevice(NodeDeviceEventKind::Update),
        EventKind::Secret(SecretEventKind::Lifecycle {
            event: SecretEventLifecycleType::DEFINED,
            detail: 0,
        }),
        EventKind::Secret(SecretEventKind::ValueChanged),
        EventKind::StoragePool(StoragePoolEventKind::Lifecycle {
            event: StoragePoolEventLifecycleType::DEFINED,
            detail: 0,
        }),
        EventKind::StoragePool(StoragePoolEventKind::Refresh),
        EventKind::ConnectionClosed(ConnectCloseReason::ERROR),
    ]
}

fn param(field: &str, value: TypedParamValue<'static>) -> TypedParam<'static> {
    TypedParam {
        field: field.to_owned().into(),
        value,
    }
}

#[test]
fn recorded_events_are_understood() {
    let frames: Vec<_> = recorded().collect();
    let expected = expected();
    assert_eq!(frames.len(), expected.len());
    for ((name, frame), kind) in frames.iter().zip(expected) {
        assert_eq!(decode(frame).kind, kind, "{name}");
    }
}

#[test]
fn recorded_events_name_whom_they_are_about() {
    for (name, frame) in recorded() {
        match decode(&frame).subject {
            Subject::Domain(domain) => {
                let known = ["guest", "busy", "sleeper", "hibernator"];
                assert!(
                    known.iter().any(|it| domain.name == **it),
                    "{name}: {domain:?}"
                );
                let is_off = name == "DOMAIN_EVENT_CALLBACK_LIFECYCLE";
                assert_eq!(domain.id, if is_off { -1 } else { 1 }, "{name}");
            }
            Subject::Network(network) => assert_eq!(network.name, "one"),
            Subject::StoragePool(pool) => assert_eq!(pool.name, "one"),
            Subject::NodeDevice(device) => assert_eq!(device.name, "net_lo_00_00_00_00_00_00"),
            Subject::Secret(secret) => {
                assert_eq!(secret.usage_type, SecretUsageType::CEPH.0);
                assert_eq!(secret.usage_id, "client.x secret");
            }
            other => assert_eq!(name, "CONNECT_EVENT_CONNECTION_CLOSED", "{other:?}"),
        }
    }
}

#[test]
fn recorded_events_are_said_as_they_were() {
    for (name, frame) in recorded() {
        let said = decode(&frame).encode().unwrap();
        assert_eq!(said.program, frame.header.program, "{name}");
        assert_eq!(said.procedure, frame.header.procedure, "{name}");
        assert_eq!(said.payload, frame.payload, "{name}");
    }
}

#[test]
fn every_kind_of_that_release_was_recorded() {
    let recorded: Vec<_> = recorded()
        .map(|(_, frame)| decode(&frame).kind.id())
        .collect();
    let newer: [EventId; 4] = [
        DomainEventId::NIC_MAC_CHANGE.into(),
        DomainEventId::VCPU_REMOVED.into(),
        DomainEventId::CHANNEL_LIFECYCLE.into(),
        NetworkEventId::METADATA_CHANGE.into(),
    ];
    for id in EventId::known() {
        assert_eq!(recorded.contains(&id), !newer.contains(&id), "{id}");
    }
}
