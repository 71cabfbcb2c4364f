//! What one can ask to be told.

use std::fmt;

use super::{
    DomainEventKind, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind,
};
use crate::constants::{
    DomainEventId, NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};

/// What kind of thing events are about. Each has kinds of events and callback IDs of its own, so
/// that those of two classes may be the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each is registered for by a procedure of its own, so whoever registers must know all"
)]
pub enum EventClass {
    /// Domains.
    Domain,
    /// Virtual networks.
    Network,
    /// Storage pools.
    StoragePool,
    /// Devices of the host.
    NodeDevice,
    /// Secrets.
    Secret,
    /// What the monitors of QEMU's domains say.
    QemuMonitor,
    /// The daemon's own connection to the hypervisor; it has no callback IDs.
    Connection,
}

/// A kind of event, as one registers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventId {
    /// Of a domain.
    Domain(DomainEventId),
    /// Of a virtual network.
    Network(NetworkEventId),
    /// Of a storage pool.
    StoragePool(StoragePoolEventId),
    /// Of a device of the host.
    NodeDevice(NodeDeviceEventId),
    /// Of a secret.
    Secret(SecretEventId),
    /// Of a domain's QEMU monitor; which, is told by name.
    QemuMonitor,
    /// The daemon lost its own connection.
    ConnectionClosed,
}

impl EventId {
    /// What it is about.
    #[must_use]
    pub const fn class(self) -> EventClass {
        match self {
            Self::Domain(_) => EventClass::Domain,
            Self::Network(_) => EventClass::Network,
            Self::StoragePool(_) => EventClass::StoragePool,
            Self::NodeDevice(_) => EventClass::NodeDevice,
            Self::Secret(_) => EventClass::Secret,
            Self::QemuMonitor => EventClass::QemuMonitor,
            Self::ConnectionClosed => EventClass::Connection,
        }
    }

    /// The number within its class; 0 where a class has no numbers.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Domain(id) => id.0,
            Self::Network(id) => id.0,
            Self::StoragePool(id) => id.0,
            Self::NodeDevice(id) => id.0,
            Self::Secret(id) => id.0,
            Self::QemuMonitor | Self::ConnectionClosed => 0,
        }
    }

    /// The name within its class, such as `LIFECYCLE`, of a kind that is known and numbered.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Domain(id) => id.name(),
            Self::Network(id) => id.name(),
            Self::StoragePool(id) => id.name(),
            Self::NodeDevice(id) => id.name(),
            Self::Secret(id) => id.name(),
            Self::QemuMonitor | Self::ConnectionClosed => None,
        }
    }

    /// Every kind that can be decoded, class by class.
    pub fn known() -> impl Iterator<Item = Self> {
        let domains = DomainEventKind::IDS.iter().copied().map(Self::Domain);
        let networks = NetworkEventKind::IDS.iter().copied().map(Self::Network);
        let pools = StoragePoolEventKind::IDS.iter().copied();
        let devices = NodeDeviceEventKind::IDS.iter().copied();
        let secrets = SecretEventKind::IDS.iter().copied().map(Self::Secret);
        domains
            .chain(networks)
            .chain(pools.map(Self::StoragePool))
            .chain(devices.map(Self::NodeDevice))
            .chain(secrets)
            .chain([Self::QemuMonitor, Self::ConnectionClosed])
    }
}

impl fmt::Display for EventClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domain => "domain",
            Self::Network => "network",
            Self::StoragePool => "storage pool",
            Self::NodeDevice => "node device",
            Self::Secret => "secret",
            Self::QemuMonitor => "QEMU monitor",
            Self::Connection => "connection",
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class();
        match (class, self.name()) {
            (EventClass::QemuMonitor | EventClass::Connection, _) => write!(f, "{class} event"),
            (_, Some(name)) => write!(f, "{class} event {name}"),
            (_, None) => write!(f, "{class} event {}", self.number()),
        }
    }
}

macro_rules! from {
    ($($class:ident($id:ident)),*) => {$(
        impl From<$id> for EventId {
            fn from(id: $id) -> Self {
                Self::$class(id)
            }
        }
    )*};
}

from!(
    Domain(DomainEventId),
    Network(NetworkEventId),
    StoragePool(StoragePoolEventId),
    NodeDevice(NodeDeviceEventId),
    Secret(SecretEventId)
);
