//! Events as users see them: about whom, and what happened.

use std::fmt;

use bytes::Bytes;
use virtwire_protocol::Program;
use virtwire_protocol::constants::ConnectCloseReason;
use virtwire_protocol::event::{
    DomainEventKind, EventClass, EventId, EventKind, Lifecycle, Message, MonitorEvent,
    NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind, Subject,
};
use virtwire_protocol::session::EventPacket;
use virtwire_xdr::DecodeError;

use crate::{Connection, Domain, Network, NodeDevice, Secret, StoragePool};

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// To a domain.
    Domain(DomainEvent),
    /// To a virtual network.
    Network(NetworkEvent),
    /// To a storage pool.
    StoragePool(StoragePoolEvent),
    /// To a device of the host.
    NodeDevice(NodeDeviceEvent),
    /// To a secret.
    Secret(SecretEvent),
    /// Something that QEMU told libvirt about a domain.
    QemuMonitor(QemuMonitorEvent),
    /// The daemon lost its own connection to the hypervisor.
    ConnectionClosed(ConnectionClosedEvent),
    /// Something of a newer daemon that this version has no words for.
    Unknown(UnknownEvent),
}

/// Something that happened to a domain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DomainEvent {
    /// The domain, with the name and the ID that it had when it happened.
    pub domain: Domain,
    /// What happened.
    pub kind: DomainEventKind,
}

/// Something in a domain's life: it was defined, started, suspended, stopped, ….
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LifecycleEvent {
    /// The domain, with the name and the ID that it had when it happened.
    pub domain: Domain,
    /// What happened, and how.
    pub lifecycle: Lifecycle,
}

/// Something that happened to a virtual network.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NetworkEvent {
    /// The network.
    pub network: Network,
    /// What happened.
    pub kind: NetworkEventKind,
}

/// Something that happened to a storage pool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoragePoolEvent {
    /// The pool.
    pub pool: StoragePool,
    /// What happened.
    pub kind: StoragePoolEventKind,
}

/// Something that happened to a device of the host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeDeviceEvent {
    /// The device.
    pub device: NodeDevice,
    /// What happened.
    pub kind: NodeDeviceEventKind,
}

/// Something that happened to a secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SecretEvent {
    /// The secret.
    pub secret: Secret,
    /// What happened.
    pub kind: SecretEventKind,
}

/// Something that QEMU told libvirt, as it told it. Libvirt makes no promises about these.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QemuMonitorEvent {
    /// The domain.
    pub domain: Domain,
    /// QEMU's event: its name, its time and its data.
    pub event: MonitorEvent,
}

/// The daemon lost its own connection to the hypervisor: calls to the daemon are of no use any
/// more, though the connection to it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionClosedEvent {
    /// How it was lost.
    pub reason: ConnectCloseReason,
}

/// An event that this version does not know, as it was received.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownEvent {
    /// The program that it belongs to.
    pub program: Program,
    /// Its number within the program.
    pub procedure: i32,
    /// What it carries, in XDR; at most 64 KiB.
    pub bytes: Bytes,
}

impl fmt::Debug for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnknownEvent")
            .field("program", &self.program)
            .field("procedure", &self.procedure)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl UnknownEvent {
    pub(super) fn of(packet: EventPacket) -> Self {
        Self {
            program: packet.program,
            procedure: packet.procedure,
            bytes: packet.payload,
        }
    }
}

impl Event {
    /// The event ID, as it was subscribed to; `None` for an unknown event.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        Some(match self {
            Self::Domain(event) => EventId::Domain(event.kind.id()),
            Self::Network(event) => EventId::Network(event.kind.id()),
            Self::StoragePool(event) => EventId::StoragePool(event.kind.id()),
            Self::NodeDevice(event) => EventId::NodeDevice(event.kind.id()),
            Self::Secret(event) => EventId::Secret(event.kind.id()),
            Self::QemuMonitor(_) => EventId::QemuMonitor,
            Self::ConnectionClosed(_) => EventId::ConnectionClosed,
            Self::Unknown(_) => return None,
        })
    }

    /// Decodes what was received; [`Event::Unknown`] when nobody knows how.
    pub(super) fn decode(
        connection: &Connection,
        packet: &EventPacket,
    ) -> Result<Self, DecodeError> {
        let message = Message::decode(packet.program, packet.procedure, &packet.payload)?;
        let event = message.and_then(|message| Self::new(connection, message));
        Ok(event.unwrap_or_else(|| Self::Unknown(UnknownEvent::of(packet.clone()))))
    }

    fn new(connection: &Connection, message: Message<'_>) -> Option<Self> {
        Some(match (message.subject, message.kind) {
            (Subject::Domain(domain), EventKind::Domain(kind)) => {
                let domain = Domain::from_wire(connection, &domain);
                Self::Domain(DomainEvent { domain, kind })
            }
            (Subject::Network(network), EventKind::Network(kind)) => {
                let network = Network::from_wire(connection, &network);
                Self::Network(NetworkEvent { network, kind })
            }
            (Subject::StoragePool(pool), EventKind::StoragePool(kind)) => {
                let pool = StoragePool::from_wire(connection, &pool);
                Self::StoragePool(StoragePoolEvent { pool, kind })
            }
            (Subject::NodeDevice(device), EventKind::NodeDevice(kind)) => {
                let device = NodeDevice::from_wire(connection, &device);
                Self::NodeDevice(NodeDeviceEvent { device, kind })
            }
            (Subject::Secret(secret), EventKind::Secret(kind)) => {
                let secret = Secret::from_wire(connection, &secret);
                Self::Secret(SecretEvent { secret, kind })
            }
            (Subject::Domain(domain), EventKind::QemuMonitor(event)) => {
                let domain = Domain::from_wire(connection, &domain);
                Self::QemuMonitor(QemuMonitorEvent { domain, event })
            }
            (_, EventKind::ConnectionClosed(reason)) => {
                Self::ConnectionClosed(ConnectionClosedEvent { reason })
            }
            _ => return None,
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What the items of an [`EventStream`](super::EventStream) can be: [`Event`], or the struct of
/// one of its variants, or [`LifecycleEvent`].
pub trait FromEvent: sealed::Sealed + Sized {
    /// Whether events of this ID are such items.
    #[doc(hidden)]
    fn accepts(id: EventId) -> bool;

    /// The item; `None` when the event is no such item.
    #[doc(hidden)]
    fn from_event(event: Event) -> Option<Self>;
}

impl sealed::Sealed for Event {}

impl FromEvent for Event {
    fn accepts(_: EventId) -> bool {
        true
    }

    fn from_event(event: Event) -> Option<Self> {
        Some(event)
    }
}

/// Binds the struct of a variant to its class.
macro_rules! from_event {
    ($($variant:ident($type:ty) = $class:ident;)*) => {$(
        impl sealed::Sealed for $type {}

        impl FromEvent for $type {
            fn accepts(id: EventId) -> bool {
                id.class() == EventClass::$class
            }

            fn from_event(event: Event) -> Option<Self> {
                match event {
                    Event::$variant(event) => Some(event),
                    _ => None,
                }
            }
        }

        impl From<$type> for Event {
            fn from(event: $type) -> Self {
                Self::$variant(event)
            }
        }
    )*};
}

from_event! {
    Domain(DomainEvent) = Domain;
    Network(NetworkEvent) = Network;
    StoragePool(StoragePoolEvent) = StoragePool;
    NodeDevice(NodeDeviceEvent) = NodeDevice;
    Secret(SecretEvent) = Secret;
    QemuMonitor(QemuMonitorEvent) = QemuMonitor;
    ConnectionClosed(ConnectionClosedEvent) = Connection;
}

impl sealed::Sealed for LifecycleEvent {}

impl FromEvent for LifecycleEvent {
    fn accepts(id: EventId) -> bool {
        id == EventId::Domain(virtwire_protocol::constants::DomainEventId::LIFECYCLE)
    }

    fn from_event(event: Event) -> Option<Self> {
        match event {
            Event::Domain(DomainEvent {
                domain,
                kind: DomainEventKind::Lifecycle(lifecycle),
            }) => Some(Self { domain, lifecycle }),
            _ => None,
        }
    }
}
