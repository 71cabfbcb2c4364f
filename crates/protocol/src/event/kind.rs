//! What can happen to anything but a domain, and to anything at all.

use super::{DomainEventKind, EventId};
use crate::constants::{
    ConnectCloseReason, NetworkEventLifecycleType, NetworkMetadataType,
    NodeDeviceEventLifecycleType, SecretEventLifecycleType, StoragePoolEventLifecycleType,
};

/// Something that happened to a virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkEventKind {
    /// It was defined, started, …
    Lifecycle {
        /// What happened.
        event: NetworkEventLifecycleType,
        /// How; libvirt has no values for it so far, and says 0.
        detail: i32,
    },
    /// The title, the description or other metadata changed.
    MetadataChange {
        /// Which of them.
        kind: NetworkMetadataType,
        /// The namespace of other metadata.
        ns_uri: Option<String>,
    },
}

/// Something that happened to a storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoragePoolEventKind {
    /// It was defined, built, started, …
    Lifecycle {
        /// What happened.
        event: StoragePoolEventLifecycleType,
        /// How; libvirt has no values for it so far, and says 0.
        detail: i32,
    },
    /// The daemon has looked what volumes there are.
    Refresh,
}

/// Something that happened to a device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeDeviceEventKind {
    /// It came, went, was defined, …
    Lifecycle {
        /// What happened.
        event: NodeDeviceEventLifecycleType,
        /// How; libvirt has no values for it so far, and says 0.
        detail: i32,
    },
    /// What is known of it changed.
    Update,
}

/// Something that happened to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretEventKind {
    /// It was defined or undefined.
    Lifecycle {
        /// What happened.
        event: SecretEventLifecycleType,
        /// How; libvirt has no values for it so far, and says 0.
        detail: i32,
    },
    /// It has another value.
    ValueChanged,
}

/// Something that the QEMU of a domain said on its monitor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the protocol has these fields")]
pub struct MonitorEvent {
    /// What, by QEMU's own name, such as `RESUME`.
    pub name: String,
    /// When: seconds since 1970, by the clock of the host.
    pub seconds: i64,
    /// And so many microseconds.
    pub micros: u32,
    /// The rest, as JSON.
    pub details: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// To a domain.
    Domain(DomainEventKind),
    /// To a virtual network.
    Network(NetworkEventKind),
    /// To a storage pool.
    StoragePool(StoragePoolEventKind),
    /// To a device of the host.
    NodeDevice(NodeDeviceEventKind),
    /// To a secret.
    Secret(SecretEventKind),
    /// On the monitor of a domain.
    QemuMonitor(MonitorEvent),
    /// To the daemon's own connection: why it is gone.
    ConnectionClosed(ConnectCloseReason),
}

impl EventKind {
    /// The kind, as one registers for it.
    #[must_use]
    pub const fn id(&self) -> EventId {
        match self {
            Self::Domain(kind) => EventId::Domain(kind.id()),
            Self::Network(kind) => EventId::Network(kind.id()),
            Self::StoragePool(kind) => EventId::StoragePool(kind.id()),
            Self::NodeDevice(kind) => EventId::NodeDevice(kind.id()),
            Self::Secret(kind) => EventId::Secret(kind.id()),
            Self::QemuMonitor(_) => EventId::QemuMonitor,
            Self::ConnectionClosed(_) => EventId::ConnectionClosed,
        }
    }
}

macro_rules! from {
    ($($class:ident($kind:ident)),*) => {$(
        impl From<$kind> for EventKind {
            fn from(kind: $kind) -> Self {
                Self::$class(kind)
            }
        }
    )*};
}

from!(
    Domain(DomainEventKind),
    Network(NetworkEventKind),
    StoragePool(StoragePoolEventKind),
    NodeDevice(NodeDeviceEventKind),
    Secret(SecretEventKind),
    QemuMonitor(MonitorEvent)
);
