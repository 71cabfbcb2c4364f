//! Events as another codec writes them, which knows nothing of ours: header, numbers and all.

use serde::Serialize;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, ConnectDomainEventChannelLifecycleReason as ChannelReason,
    ConnectDomainEventChannelLifecycleState as ChannelState, DomainBlockJobType,
    DomainEventId as Id, DomainEventStartedDetailType as Started, NetworkEventId,
    NetworkEventLifecycleType, NetworkMetadataType, NodeDeviceEventId, SecretEventId,
    SecretUsageType,
};
use virtwire::event::{
    DomainEventKind, Event, EventId, EventStream, Lifecycle, MonitorFilter, NetworkEventKind,
    SecretEventKind,
};
use virtwire_tests::paused_deadline;

use super::Daemon;

#[derive(Serialize)]
struct Domain(
    String,
    #[serde(with = "serde_xdr::opaque_data::fixed_length")] [u8; 16],
    i32,
);

#[derive(Serialize)]
struct Network(
    String,
    #[serde(with = "serde_xdr::opaque_data::fixed_length")] [u8; 16],
);

#[derive(Serialize)]
struct Secret(
    #[serde(with = "serde_xdr::opaque_data::fixed_length")] [u8; 16],
    i32,
    String,
);

/// Numbers of libvirt's protocol, as its description has them.
const REMOTE: u32 = 0x2000_8086;
const QEMU: u32 = 0x2000_8087;

fn guest() -> Domain {
    Domain("guest".into(), *b"0123456789abcdef", 3)
}

/// A packet: its length, program, version 1, number, type 2 for a message, serial, status 0.
fn packet(program: u32, number: i32, body: &impl Serialize) -> Vec<u8> {
    let body = serde_xdr::to_bytes(body).unwrap();
    let length = 28 + u32::try_from(body.len()).unwrap();
    let mut packet = Vec::new();
    for word in [length, program, 1, number.cast_unsigned(), 2, 1, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(body);
    packet
}

/// What comes of a packet in a stream of these events, of which the first has the ID 0.
async fn heard(ids: &[EventId], packet: &[u8]) -> Event {
    let (connection, mut daemon) = Daemon::connected().await;
    let mut builder = connection.events();
    for id in ids {
        builder = match id {
            EventId::QemuMonitor => builder.qemu_monitor(MonitorFilter::all()),
            id => builder.event(*id),
        };
    }
    let mut events: EventStream<Event> = daemon.during(builder.subscribe()).await.unwrap();
    daemon.peer.send_raw(packet).await.unwrap();
    events.recv().await.unwrap()
}

async fn heard_of_guest(id: Id, packet: &[u8]) -> DomainEventKind {
    let Event::Domain(event) = heard(&[id.into()], packet).await else {
        panic!()
    };
    assert_eq!((event.domain.name(), event.domain.id()), ("guest", Some(3)));
    assert_eq!(event.domain.uuid().as_bytes(), b"0123456789abcdef");
    event.kind
}

#[tokio::test(start_paused = true)]
async fn events_of_domains() {
    paused_deadline(async {
        let started = packet(REMOTE, 318, &(0_i32, (guest(), 2_i32, 1_i32)));
        let step = Lifecycle::Started(Started::MIGRATED);
        assert_eq!(heard_of_guest(Id::LIFECYCLE, &started).await, step.into());

        // The one whose reason comes before the domain.
        let suspended = packet(REMOTE, 330, &(0_i32, 0_i32, (guest(),)));
        assert_eq!(
            heard_of_guest(Id::PMSUSPEND, &suspended).await,
            DomainEventKind::PmSuspend
        );

        let job = packet(REMOTE, 339, &(0_i32, guest(), "vda", 1_i32, 3_i32));
        let kind = DomainEventKind::BlockJob2 {
            dst: "vda".into(),
            kind: DomainBlockJobType::PULL,
            status: ConnectDomainEventBlockJobStatus::READY,
        };
        assert_eq!(heard_of_guest(Id::BLOCK_JOB_2, &job).await, kind);

        let threshold = (
            0_i32,
            guest(),
            "vda",
            Some("/guest.img"),
            1_u64 << 40,
            17_u64,
        );
        let threshold = packet(REMOTE, 385, &threshold);
        let kind = DomainEventKind::BlockThreshold {
            dev: "vda".into(),
            path: Some("/guest.img".into()),
            threshold: 1 << 40,
            excess: 17,
        };
        assert_eq!(heard_of_guest(Id::BLOCK_THRESHOLD, &threshold).await, kind);
    })
    .await;
}

/// Those that libvirt 9.0.0, which the recorded events are of, does not have.
#[tokio::test(start_paused = true)]
async fn events_of_newer_daemons() {
    paused_deadline(async {
        let (old_mac, new_mac) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
        let changed = packet(REMOTE, 453, &(0_i32, guest(), "net0", old_mac, new_mac));
        let kind = DomainEventKind::NicMacChange {
            alias: "net0".into(),
            old_mac: old_mac.into(),
            new_mac: new_mac.into(),
        };
        assert_eq!(heard_of_guest(Id::NIC_MAC_CHANGE, &changed).await, kind);

        let removed = packet(REMOTE, 454, &(0_i32, guest(), 7_u32));
        let kind = DomainEventKind::VcpuRemoved { vcpu: 7 };
        assert_eq!(heard_of_guest(Id::VCPU_REMOVED, &removed).await, kind);

        let channel = "org.qemu.guest_agent.0";
        let lost = packet(REMOTE, 455, &(0_i32, guest(), channel, 2_i32, 2_i32));
        let kind = DomainEventKind::ChannelLifecycle {
            channel_name: channel.into(),
            state: ChannelState::DISCONNECTED,
            reason: ChannelReason::CHANNEL,
        };
        assert_eq!(heard_of_guest(Id::CHANNEL_LIFECYCLE, &lost).await, kind);

        for uri in [None, Some("urn:x")] {
            let network = Network("net".into(), [8; 16]);
            let event = packet(REMOTE, 446, &(0_i32, network, 2_i32, uri));
            let ids = [NetworkEventId::METADATA_CHANGE.into()];
            let Event::Network(event) = heard(&ids, &event).await else {
                panic!()
            };
            let kind = NetworkEventKind::MetadataChange {
                kind: NetworkMetadataType::ELEMENT,
                ns_uri: uri.map(str::to_owned),
            };
            assert_eq!(event.kind, kind);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_other_things() {
    paused_deadline(async {
        let network = Network("net".into(), [8; 16]);
        let event = packet(REMOTE, 315, &(0_i32, network, 2_i32, 0_i32));
        let Event::Network(event) = heard(&[NetworkEventId::LIFECYCLE.into()], &event).await else {
            panic!()
        };
        let (started, detail) = (NetworkEventLifecycleType::STARTED, 0);
        assert_eq!(event.network.name(), "net");
        assert_eq!(
            event.kind,
            NetworkEventKind::Lifecycle {
                event: started,
                detail
            }
        );

        let event = packet(REMOTE, 377, &(0_i32, ("pci_0",)));
        let Event::NodeDevice(event) = heard(&[NodeDeviceEventId::UPDATE.into()], &event).await
        else {
            panic!()
        };
        assert_eq!(event.device.name(), "pci_0");

        let event = packet(REMOTE, 383, &(0_i32, Secret([9; 16], 2, "ceph".into())));
        let Event::Secret(event) = heard(&[SecretEventId::VALUE_CHANGED.into()], &event).await
        else {
            panic!()
        };
        assert_eq!(event.secret.usage_type(), SecretUsageType::CEPH);
        assert_eq!(event.secret.usage_id(), "ceph");
        assert_eq!(event.kind, SecretEventKind::ValueChanged);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_other_programs_and_without_callback_ids() {
    paused_deadline(async {
        let details = Some(r#"{"a":1}"#);
        let event = packet(QEMU, 6, &(0_i32, guest(), "STOP", 12_i64, 34_u32, details));
        let Event::QemuMonitor(event) = heard(&[EventId::QemuMonitor], &event).await else {
            panic!()
        };
        assert_eq!(event.domain.name(), "guest");
        assert_eq!(
            (event.event.name.as_str(), event.event.seconds),
            ("STOP", 12)
        );
        assert_eq!(
            (event.event.micros, event.event.details.as_deref()),
            (34, details)
        );

        let event = packet(REMOTE, 362, &(1_i32,));
        let Event::ConnectionClosed(event) = heard(&[EventId::ConnectionClosed], &event).await
        else {
            panic!()
        };
        assert_eq!(event.reason, virtwire::constants::ConnectCloseReason::EOF);
    })
    .await;
}
