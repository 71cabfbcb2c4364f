//! Every kind of event, from its bytes to what a user sees.

use std::collections::BTreeSet;

use virtwire::constants::{
    ConnectCloseReason, ConnectDomainEventAgentLifecycleReason as AgentReason,
    ConnectDomainEventAgentLifecycleState as AgentState,
    ConnectDomainEventBlockJobStatus as JobStatus,
    ConnectDomainEventChannelLifecycleReason as ChannelReason,
    ConnectDomainEventChannelLifecycleState as ChannelState,
    ConnectDomainEventDiskChangeReason as DiskReason, DomainBlockJobType as JobType,
    DomainEventGraphicsAddressType as Family, DomainEventGraphicsPhase as Phase,
    DomainEventIoErrorAction as IoAction, DomainEventTrayChangeReason as TrayReason,
    DomainEventWatchdogAction as WatchdogAction, DomainMemoryFailureActionType as MemoryAction,
    DomainMemoryFailureFlags as MemoryFlags, DomainMemoryFailureRecipientType as Recipient,
    DomainMetadataType, NetworkEventLifecycleType, NetworkMetadataType,
    NodeDeviceEventLifecycleType, SecretEventLifecycleType, SecretUsageType,
    StoragePoolEventLifecycleType,
};
use virtwire::event::{
    DomainEventKind as Kind, Event, EventId, GraphicsAddress, GraphicsIdentity, Lifecycle,
    MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
};
use virtwire::remote::{TypedParam, TypedParamValue};
use virtwire_protocol::event::{EventKind, Message, Subject};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{domain, network, node_device, secret, storage_pool};

use super::Daemon;

/// One of every kind.
pub(super) fn samples() -> Vec<Message<'static>> {
    let domains = old_kinds().into_iter().chain(newer_kinds());
    let domains = domains.map(|kind| Message::new(Some(0), domain(), kind));
    domains.chain(other_kinds()).collect()
}

fn address(node: &str) -> GraphicsAddress {
    GraphicsAddress {
        family: Family::IPV6,
        node: node.to_owned(),
        service: "5900".to_owned(),
    }
}

fn identity(name: &str) -> GraphicsIdentity {
    GraphicsIdentity {
        kind: "x509dname".to_owned(),
        name: name.to_owned(),
    }
}

/// Those that there are in both styles.
fn old_kinds() -> [Kind; 16] {
    [
        Kind::Lifecycle(Lifecycle::Stopped(
            virtwire::constants::DomainEventStoppedDetailType::CRASHED,
        )),
        Kind::Reboot,
        Kind::RtcChange { offset: -3600 },
        Kind::Watchdog {
            action: WatchdogAction::RESET,
        },
        Kind::IoError {
            src_path: "/guest.img".into(),
            dev_alias: "virtio-disk0".into(),
            action: IoAction::PAUSE,
        },
        Kind::Graphics {
            phase: Phase::INITIALIZE,
            local: address("::1"),
            remote: address("fe80::1"),
            auth_scheme: "vnc".into(),
            subject: (0..20).map(|n| identity(&format!("CN={n}"))).collect(),
        },
        Kind::IoErrorReason {
            src_path: "/guest.img".into(),
            dev_alias: "virtio-disk0".into(),
            action: IoAction::REPORT,
            reason: "enospc".into(),
        },
        Kind::ControlError,
        Kind::BlockJob {
            path: "/guest.img".into(),
            kind: JobType::COMMIT,
            status: JobStatus::FAILED,
        },
        Kind::DiskChange {
            old_src_path: None,
            new_src_path: Some("/new.iso".into()),
            dev_alias: "ide0-1-0".into(),
            reason: DiskReason::DROP_MISSING_ON_START,
        },
        Kind::TrayChange {
            dev_alias: "ide0-1-0".into(),
            reason: TrayReason::CLOSE,
        },
        Kind::PmWakeup,
        Kind::PmSuspend,
        Kind::BalloonChange { actual: u64::MAX },
        Kind::PmSuspendDisk,
        Kind::DeviceRemoved {
            dev_alias: "net0".into(),
        },
    ]
}

fn params() -> Vec<TypedParam<'static>> {
    let param = |field: &'static str, value| TypedParam {
        field: field.into(),
        value,
    };
    vec![
        param("time_elapsed", TypedParamValue::Ullong(u64::MAX)),
        param("success", TypedParamValue::Boolean(1)),
        param(
            "errmsg",
            TypedParamValue::String("operation aborted".into()),
        ),
        param("ratio", TypedParamValue::Double(0.5)),
    ]
}

/// Those that there are with callback IDs only.
fn newer_kinds() -> [Kind; 14] {
    [
        Kind::BlockJob2 {
            dst: "vda".into(),
            kind: JobType::COPY,
            status: JobStatus::READY,
        },
        Kind::Tunable { params: params() },
        Kind::AgentLifecycle {
            state: AgentState::CONNECTED,
            reason: AgentReason::CHANNEL,
        },
        Kind::DeviceAdded {
            dev_alias: "net1".into(),
        },
        Kind::MigrationIteration { iteration: 3 },
        Kind::JobCompleted { params: params() },
        Kind::DeviceRemovalFailed {
            dev_alias: "net1".into(),
        },
        Kind::MetadataChange {
            kind: DomainMetadataType::ELEMENT,
            ns_uri: Some("http://example.org/".into()),
        },
        Kind::BlockThreshold {
            dev: "vda[1]".into(),
            path: None,
            threshold: 1 << 40,
            excess: 4096,
        },
        Kind::MemoryFailure {
            recipient: Recipient::GUEST,
            action: MemoryAction::INJECT,
            flags: MemoryFlags::RECURSIVE | MemoryFlags::from_bits_retain(1 << 30),
        },
        Kind::MemoryDeviceSizeChange {
            alias: "virtiomem0".into(),
            size: 1 << 33,
        },
        Kind::NicMacChange {
            alias: "net0".into(),
            old_mac: "52:54:00:00:00:01".into(),
            new_mac: "52:54:00:00:00:02".into(),
        },
        Kind::VcpuRemoved { vcpu: 7 },
        Kind::ChannelLifecycle {
            channel_name: "org.qemu.guest_agent.0".into(),
            state: ChannelState::DISCONNECTED,
            reason: ChannelReason::CHANNEL,
        },
    ]
}

/// Those about other things.
fn other_kinds() -> [Message<'static>; 10] {
    let id = Some(0);
    let monitor = MonitorEvent {
        name: "RTC_CHANGE".into(),
        seconds: i64::MAX,
        micros: 999_999,
        details: Some(r#"{"offset":78}"#.into()),
    };
    let network_metadata = NetworkEventKind::MetadataChange {
        kind: NetworkMetadataType::DESCRIPTION,
        ns_uri: None,
    };
    let (event, detail) = (NetworkEventLifecycleType::STOPPED, 0);
    let network_step = NetworkEventKind::Lifecycle { event, detail };
    let (event, detail) = (StoragePoolEventLifecycleType::CREATED, -1);
    let pool_step = StoragePoolEventKind::Lifecycle { event, detail };
    let (event, detail) = (NodeDeviceEventLifecycleType::DELETED, 7);
    let device_step = NodeDeviceEventKind::Lifecycle { event, detail };
    let (event, detail) = (SecretEventLifecycleType::UNDEFINED, 0);
    let secret_step = SecretEventKind::Lifecycle { event, detail };
    let closed = EventKind::ConnectionClosed(ConnectCloseReason::KEEPALIVE);
    [
        Message::new(id, network(), network_step),
        Message::new(id, network(), network_metadata),
        Message::new(id, storage_pool(), pool_step),
        Message::new(id, storage_pool(), StoragePoolEventKind::Refresh),
        Message::new(id, node_device(), device_step),
        Message::new(id, node_device(), NodeDeviceEventKind::Update),
        Message::new(id, secret(), secret_step),
        Message::new(id, secret(), SecretEventKind::ValueChanged),
        Message::new(id, domain(), monitor),
        Message::new(None, Subject::Connection, closed),
    ]
}

/// What happened, and a check that it happened to the one that events are about here.
fn checked(event: Event) -> EventKind {
    let uuid = |bytes: [u8; 16]| virtwire::Uuid::from(bytes);
    match event {
        Event::Domain(event) => {
            assert_eq!((event.domain.name(), event.domain.id()), ("guest", Some(1)));
            assert_eq!(event.domain.uuid(), uuid(domain().uuid));
            EventKind::Domain(event.kind)
        }
        Event::Network(event) => {
            assert_eq!(event.network.name(), "net");
            assert_eq!(event.network.uuid(), uuid(network().uuid));
            EventKind::Network(event.kind)
        }
        Event::StoragePool(event) => {
            assert_eq!(event.pool.name(), "pool");
            assert_eq!(event.pool.uuid(), uuid(storage_pool().uuid));
            EventKind::StoragePool(event.kind)
        }
        Event::NodeDevice(event) => {
            assert_eq!(event.device.name(), "pci_0000_00_1f_2");
            EventKind::NodeDevice(event.kind)
        }
        Event::Secret(event) => {
            assert_eq!(event.secret.uuid(), uuid(secret().uuid));
            assert_eq!(event.secret.usage_type(), SecretUsageType::VOLUME);
            assert_eq!(event.secret.usage_id(), "/guest.img");
            EventKind::Secret(event.kind)
        }
        Event::QemuMonitor(event) => {
            assert_eq!(event.domain.uuid(), uuid(domain().uuid));
            EventKind::QemuMonitor(event.event)
        }
        Event::ConnectionClosed(event) => EventKind::ConnectionClosed(event.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_that_is_known_goes_from_its_bytes_to_a_stream() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = daemon.during(connection.all_events()).await.unwrap();
        let mut seen = BTreeSet::new();
        for sample in samples() {
            let id = sample.kind.id();
            let callback_id = sample.callback_id.map(|_| daemon.callback(&id.to_string()));
            daemon
                .tell(&Message {
                    callback_id,
                    ..sample.clone()
                })
                .await;
            let event = events.recv().await.unwrap();
            assert_eq!(event.id(), Some(id));
            assert_eq!(checked(event), sample.kind);
            seen.insert(id);
        }
        assert_eq!(seen, EventId::known().collect());
        daemon.rest().await;
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn old_kinds_come_without_callback_ids_as_well() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon.be_legacy();
        let ids = old_kinds().map(|kind| kind.id());
        let mut events = daemon.during(connection.domain_events(ids)).await.unwrap();
        for kind in old_kinds() {
            daemon
                .tell(&Message::new(None, domain(), kind.clone()))
                .await;
            assert_eq!(events.recv().await.unwrap().kind, kind);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_kind_comes_to_the_stream_that_asked_for_it_alone() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        for sample in samples() {
            let id = sample.kind.id();
            let mut builder = connection.events().event(id);
            if id == EventId::QemuMonitor {
                builder = builder.qemu_monitor(virtwire::event::MonitorFilter::all());
            }
            let mut events = daemon.during(builder.subscribe()).await.unwrap();
            let callback_id = sample.callback_id.map(|_| daemon.callback(&id.to_string()));
            for other in samples() {
                let callback_id = other.callback_id.and(callback_id);
                if other.callback_id.is_some() == callback_id.is_some() {
                    daemon
                        .tell(&Message {
                            callback_id,
                            ..other
                        })
                        .await;
                }
            }
            assert_eq!(checked(events.recv().await.unwrap()), sample.kind);
            daemon.rest().await;
            assert!(events.try_recv().is_none(), "{id}");
        }
    })
    .await;
}
