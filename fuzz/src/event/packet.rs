//! Events, as a daemon sends them.

use bytes::{BufMut, Bytes, BytesMut};
use virtwire::constants::{
    ConnectCloseReason, DomainEventId, DomainEventType, NetworkEventId, NetworkEventLifecycleType,
    NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use virtwire::event::{EventClass, EventId, Lifecycle, MonitorEvent, SecretEventKind};
use virtwire::fuzzing::{Key, name};
use virtwire_protocol::event::{
    DomainEventKind, EventKind, Message, NetworkEventKind, NodeDeviceEventKind,
    StoragePoolEventKind, Subject, route, subject,
};
use virtwire_protocol::remote::{
    NonnullDomain, NonnullNetwork, NonnullNodeDevice, NonnullSecret, NonnullStoragePool,
};
use virtwire_protocol::session::EventPacket;
use virtwire_protocol::{Program, qemu, remote};
use virtwire_xdr::Str;

use super::Length;

/// What can be subscribed to. Of two classes there is an event that nobody knows.
pub(super) const KINDS: [EventId; 10] = [
    EventId::Domain(DomainEventId::LIFECYCLE),
    EventId::Domain(DomainEventId::REBOOT),
    EventId::Domain(DomainEventId(1000)),
    EventId::Network(NetworkEventId::LIFECYCLE),
    EventId::Network(NetworkEventId(1000)),
    EventId::StoragePool(StoragePoolEventId::REFRESH),
    EventId::NodeDevice(NodeDeviceEventId::LIFECYCLE),
    EventId::Secret(SecretEventId::VALUE_CHANGED),
    EventId::QemuMonitor,
    EventId::ConnectionClosed,
];

/// The number of an event that nobody knows.
const UNKNOWN: i32 = 30_000;

/// What an event is about: its class and what tells it from others.
pub(super) type Object = (EventClass, Vec<u8>);

pub(super) fn is_known(event: EventId) -> bool {
    event.name().is_some() || matches!(event, EventId::QemuMonitor | EventId::ConnectionClosed)
}

/// An event for a registration about an object of this number, with a number of its own behind
/// it; `None` where the daemon has no words for it.
pub(super) fn event(
    key: Key,
    callback: i32,
    object: u8,
    length: Length,
    number: u32,
) -> Option<EventPacket> {
    let (subject, kind) = what_happened(key.event, object);
    let callback = key.has_callback().then_some(callback);
    let mut packet = Message::new(callback, subject, kind).encode().ok()?;
    if !is_known(key.event) {
        callback?;
        packet.procedure = UNKNOWN;
    }
    let mut payload = BytesMut::from(packet.payload.as_ref());
    // A newer daemon may say more than we know.
    if length != Length::Usual {
        payload.resize(length.padding() - 4, 0);
    }
    payload.put_u32(number);
    packet.payload = payload.freeze();
    Some(packet)
}

fn what_happened(event: EventId, object: u8) -> (Subject<'static>, EventKind) {
    let uuid = [object; 16];
    let label = || Str::from(name(object));
    let domain = NonnullDomain {
        name: label(),
        uuid,
        id: 1,
    };
    let lifecycle = DomainEventKind::from(Lifecycle::new(DomainEventType::STARTED, 0));
    let started = NetworkEventLifecycleType::STARTED;
    match event {
        EventId::Domain(DomainEventId::REBOOT) => (domain.into(), DomainEventKind::Reboot.into()),
        EventId::Network(_) => {
            let net = NonnullNetwork {
                name: label(),
                uuid,
            };
            let kind = NetworkEventKind::Lifecycle {
                event: started,
                detail: 0,
            };
            (net.into(), kind.into())
        }
        EventId::StoragePool(_) => {
            let pool = NonnullStoragePool {
                name: label(),
                uuid,
            };
            (pool.into(), StoragePoolEventKind::Refresh.into())
        }
        EventId::NodeDevice(_) => {
            let device = NonnullNodeDevice { name: label() };
            let kind = NodeDeviceEventKind::Lifecycle {
                event: virtwire::constants::NodeDeviceEventLifecycleType::CREATED,
                detail: 0,
            };
            (device.into(), kind.into())
        }
        EventId::Secret(_) => {
            let secret = NonnullSecret {
                uuid,
                usage_type: 0,
                usage_id: label(),
            };
            (secret.into(), SecretEventKind::ValueChanged.into())
        }
        EventId::QemuMonitor => {
            let event = MonitorEvent {
                name: "STOP".to_owned(),
                seconds: 1,
                micros: 2,
                details: None,
            };
            (domain.into(), event.into())
        }
        EventId::ConnectionClosed => {
            let kind = EventKind::ConnectionClosed(ConnectCloseReason::EOF);
            (Subject::Connection, kind)
        }
        _ => (domain.into(), lifecycle.into()),
    }
}

/// Some bytes, which may be an event.
pub(super) fn garbage(of_qemu: bool, procedure: i16, payload: &[u8]) -> Option<EventPacket> {
    let subject = Subject::Connection;
    let kind = EventKind::ConnectionClosed(ConnectCloseReason::EOF);
    let mut packet = Message::new(None, subject, kind).encode().ok()?;
    packet.program = program(of_qemu);
    packet.procedure = procedure.into();
    packet.payload = Bytes::copy_from_slice(payload);
    Some(packet)
}

fn program(of_qemu: bool) -> Program {
    if of_qemu {
        qemu::PROGRAM
    } else {
        remote::PROGRAM
    }
}

/// The kind of an event, if it is known.
pub(super) fn kind(packet: &EventPacket) -> Option<EventId> {
    route(packet.program, packet.procedure).map(|route| route.id)
}

/// What an event is about, if that can be told.
pub(super) fn object(packet: &EventPacket) -> Option<Object> {
    let subject = subject(packet.program, packet.procedure, &packet.payload)?;
    Some(match subject {
        Subject::Domain(domain) => (EventClass::Domain, domain.uuid.to_vec()),
        Subject::Network(network) => (EventClass::Network, network.uuid.to_vec()),
        Subject::StoragePool(pool) => (EventClass::StoragePool, pool.uuid.to_vec()),
        Subject::NodeDevice(device) => {
            let name = device.name.to_string_lossy().into_owned();
            (EventClass::NodeDevice, name.into_bytes())
        }
        Subject::Secret(secret) => (EventClass::Secret, secret.uuid.to_vec()),
        Subject::Connection => return None,
    })
}

/// The callback ID that an event begins with.
pub(super) fn callback(packet: &EventPacket) -> Option<i32> {
    packet
        .payload
        .first_chunk()
        .map(|bytes| i32::from_be_bytes(*bytes))
}
