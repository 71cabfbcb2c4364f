//! What a registration on the daemon is for, and the calls that make and end it.

use std::sync::Arc;

use virtwire_protocol::Procedure;
use virtwire_protocol::constants::{
    ConnectDomainQemuMonitorEventRegisterFlags as MonitorFlags, DomainEventId, NetworkEventId,
    NodeDeviceEventId, SecretEventId, SecretUsageType, StoragePoolEventId,
};
use virtwire_protocol::event::{EventClass, EventId, Style, Subject};
use virtwire_protocol::frame::EncodeFrameError;
use virtwire_protocol::session::{CallFailure, CallRequest, ReplyError};
use virtwire_protocol::{qemu, remote};
use virtwire_xdr::{Reader, Str};

use crate::Uuid;

/// What a registration on the daemon is for. The daemon refuses a second one for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RegistrationKey {
    pub(super) event: EventId,
    /// `None` for the events of every object.
    pub(super) object: Option<ObjectKey>,
    /// For QEMU's own events.
    pub(super) filter: Option<MonitorFilter>,
    pub(super) style: Style,
}

/// What tells objects apart. A domain may have the UUID of a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ObjectKey {
    Domain(Uuid),
    Network(Uuid),
    StoragePool(Uuid),
    NodeDevice(Arc<str>),
    Secret(Uuid),
}

/// Which of QEMU's own events are wanted, by their names.
///
/// See [`Builder::qemu_monitor`](super::Builder::qemu_monitor).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonitorFilter {
    name: Option<String>,
    flags: u32,
}

impl MonitorFilter {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of this name, such as `RTC_CHANGE`.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            flags: 0,
        }
    }

    /// Those whose name contains a match of this regular expression (of Perl's kind, as GLib has
    /// them; the daemon refuses one that it cannot read).
    #[must_use]
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self {
            name: Some(pattern.into()),
            flags: MonitorFlags::REGEX.bits(),
        }
    }

    /// Upper and lower case are the same.
    #[must_use]
    pub fn ignore_case(self) -> Self {
        Self {
            flags: self.flags | MonitorFlags::NOCASE.bits(),
            ..self
        }
    }
}

impl RegistrationKey {
    pub(super) fn new(event: EventId, object: Option<ObjectKey>) -> Self {
        let style = match event.class() {
            EventClass::Connection => Style::Legacy,
            _ => Style::Callback,
        };
        Self {
            event,
            object,
            filter: None,
            style,
        }
    }

    /// For all domains at once, told without callback IDs.
    pub(super) fn legacy(event: EventId) -> Self {
        Self {
            style: Style::Legacy,
            ..Self::new(event, None)
        }
    }

    /// Held from the first subscription of a class until the connection closes, for an event that
    /// never comes.
    ///
    /// A daemon whose last registration with a driver is given up while an event is being queued
    /// keeps that event in a queue without a timer, and then delivers nothing to anybody until
    /// all registrations are given up again (libvirt's `object_event.c`: the timer is looked at
    /// without the lock). With this one there is no last registration to give up.
    pub(super) fn anchor(class: EventClass, style: Style) -> Option<Self> {
        if style == Style::Legacy {
            // Without objects to choose, an event that hardly ever comes.
            let event = EventId::Domain(DomainEventId::CONTROL_ERROR);
            return (class == EventClass::Domain).then(|| Self::legacy(event));
        }
        let nil = Uuid::from_bytes([0; 16]);
        let (event, nobody): (EventId, _) = match class {
            // QEMU's own events go through the same queue.
            EventClass::Domain | EventClass::QemuMonitor => {
                (DomainEventId::LIFECYCLE.into(), ObjectKey::Domain(nil))
            }
            EventClass::Network => (NetworkEventId::LIFECYCLE.into(), ObjectKey::Network(nil)),
            EventClass::StoragePool => (
                StoragePoolEventId::LIFECYCLE.into(),
                ObjectKey::StoragePool(nil),
            ),
            EventClass::NodeDevice => (
                NodeDeviceEventId::LIFECYCLE.into(),
                // No device's name has a slash.
                ObjectKey::NodeDevice(Arc::from("/")),
            ),
            EventClass::Secret => (SecretEventId::LIFECYCLE.into(), ObjectKey::Secret(nil)),
            EventClass::Connection => return None,
        };
        Some(Self::new(event, Some(nobody)))
    }

    /// Whether this is an [`anchor`](Self::anchor).
    pub(super) fn is_anchor(&self) -> bool {
        Self::anchor(self.event.class(), self.style).as_ref() == Some(self)
    }

    /// The call that registers. The daemon goes by UUIDs alone, so names are left empty.
    pub(super) fn register(&self) -> Result<CallRequest, EncodeFrameError> {
        let event_id = self.event.number();
        if self.is_legacy() {
            type Register = remote::ConnectDomainEventRegisterAny;
            let args = remote::ConnectDomainEventRegisterAnyArgs { event_id };
            return CallRequest::new::<Register>(&args);
        }
        match self.event.class() {
            EventClass::Domain => {
                let dom = self.domain();
                type Register = remote::ConnectDomainEventCallbackRegisterAny;
                let args = remote::ConnectDomainEventCallbackRegisterAnyArgs { event_id, dom };
                CallRequest::new::<Register>(&args)
            }
            EventClass::Network => {
                let net = self.network();
                type Register = remote::ConnectNetworkEventRegisterAny;
                let args = remote::ConnectNetworkEventRegisterAnyArgs { event_id, net };
                CallRequest::new::<Register>(&args)
            }
            EventClass::StoragePool => {
                let pool = self.storage_pool();
                type Register = remote::ConnectStoragePoolEventRegisterAny;
                let args = remote::ConnectStoragePoolEventRegisterAnyArgs { event_id, pool };
                CallRequest::new::<Register>(&args)
            }
            EventClass::NodeDevice => {
                let dev = self.node_device();
                type Register = remote::ConnectNodeDeviceEventRegisterAny;
                let args = remote::ConnectNodeDeviceEventRegisterAnyArgs { event_id, dev };
                CallRequest::new::<Register>(&args)
            }
            EventClass::Secret => {
                let secret = self.secret();
                type Register = remote::ConnectSecretEventRegisterAny;
                let args = remote::ConnectSecretEventRegisterAnyArgs { event_id, secret };
                CallRequest::new::<Register>(&args)
            }
            EventClass::QemuMonitor => {
                let filter = self.filter.clone().unwrap_or_default();
                let args = qemu::ConnectDomainMonitorEventRegisterArgs {
                    dom: self.domain(),
                    event: filter.name.as_deref().map(Str::from),
                    flags: filter.flags,
                };
                CallRequest::new::<qemu::ConnectDomainMonitorEventRegister>(&args)
            }
            EventClass::Connection => CallRequest::new::<remote::ConnectRegisterCloseCallback>(&()),
        }
    }

    /// The name of the procedure that registers.
    pub(super) fn procedure(&self) -> &'static str {
        if self.is_legacy() {
            return remote::ConnectDomainEventRegisterAny::NAME;
        }
        match self.event.class() {
            EventClass::Domain => remote::ConnectDomainEventCallbackRegisterAny::NAME,
            EventClass::Network => remote::ConnectNetworkEventRegisterAny::NAME,
            EventClass::StoragePool => remote::ConnectStoragePoolEventRegisterAny::NAME,
            EventClass::NodeDevice => remote::ConnectNodeDeviceEventRegisterAny::NAME,
            EventClass::Secret => remote::ConnectSecretEventRegisterAny::NAME,
            EventClass::QemuMonitor => qemu::ConnectDomainMonitorEventRegister::NAME,
            EventClass::Connection => remote::ConnectRegisterCloseCallback::NAME,
        }
    }

    /// The call that gives the registration up.
    pub(super) fn deregister(&self, callback_id: i32) -> Result<CallRequest, EncodeFrameError> {
        if self.is_legacy() {
            type Deregister = remote::ConnectDomainEventDeregisterAny;
            let event_id = self.event.number();
            let args = remote::ConnectDomainEventDeregisterAnyArgs { event_id };
            return CallRequest::new::<Deregister>(&args);
        }
        match self.event.class() {
            EventClass::Domain => {
                type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
                let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::Network => {
                type Deregister = remote::ConnectNetworkEventDeregisterAny;
                let args = remote::ConnectNetworkEventDeregisterAnyArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::StoragePool => {
                type Deregister = remote::ConnectStoragePoolEventDeregisterAny;
                let args = remote::ConnectStoragePoolEventDeregisterAnyArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::NodeDevice => {
                type Deregister = remote::ConnectNodeDeviceEventDeregisterAny;
                let args = remote::ConnectNodeDeviceEventDeregisterAnyArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::Secret => {
                type Deregister = remote::ConnectSecretEventDeregisterAny;
                let args = remote::ConnectSecretEventDeregisterAnyArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::QemuMonitor => {
                type Deregister = qemu::ConnectDomainMonitorEventDeregister;
                let args = qemu::ConnectDomainMonitorEventDeregisterArgs { callback_id };
                CallRequest::new::<Deregister>(&args)
            }
            EventClass::Connection => {
                CallRequest::new::<remote::ConnectUnregisterCloseCallback>(&())
            }
        }
    }

    /// The callback ID in the answer to the registration; 0 where there is none.
    pub(crate) fn callback_id(&self, reply: &[u8]) -> Result<i32, CallFailure> {
        match self.style {
            Style::Legacy => Ok(0),
            Style::Callback => Reader::new(reply)
                .i32()
                .map_err(|error| CallFailure::BadReply(ReplyError::UndecodableError(error))),
        }
    }

    /// Whether it is for events of domains without callback IDs.
    fn is_legacy(&self) -> bool {
        self.style == Style::Legacy && self.event.class() == EventClass::Domain
    }

    fn uuid(&self) -> Option<[u8; 16]> {
        match self.object.as_ref()? {
            ObjectKey::Domain(uuid)
            | ObjectKey::Network(uuid)
            | ObjectKey::StoragePool(uuid)
            | ObjectKey::Secret(uuid) => Some(*uuid.as_bytes()),
            ObjectKey::NodeDevice(_) => None,
        }
    }

    fn domain(&self) -> Option<remote::NonnullDomain<'static>> {
        self.uuid().map(|uuid| remote::NonnullDomain {
            name: Str::default(),
            uuid,
            id: -1,
        })
    }

    fn network(&self) -> Option<remote::NonnullNetwork<'static>> {
        self.uuid().map(|uuid| remote::NonnullNetwork {
            name: Str::default(),
            uuid,
        })
    }

    fn storage_pool(&self) -> Option<remote::NonnullStoragePool<'static>> {
        self.uuid().map(|uuid| remote::NonnullStoragePool {
            name: Str::default(),
            uuid,
        })
    }

    fn node_device(&self) -> Option<remote::NonnullNodeDevice<'_>> {
        match &self.object {
            Some(ObjectKey::NodeDevice(name)) => Some(remote::NonnullNodeDevice {
                name: Str::from(&**name),
            }),
            _ => None,
        }
    }

    fn secret(&self) -> Option<remote::NonnullSecret<'static>> {
        self.uuid().map(|uuid| remote::NonnullSecret {
            uuid,
            usage_type: SecretUsageType::NONE.0,
            usage_id: Str::default(),
        })
    }
}

/// Whether this version can decode such events.
pub(super) fn is_known(event: EventId) -> bool {
    event.name().is_some()
        || matches!(
            event.class(),
            EventClass::QemuMonitor | EventClass::Connection
        )
}

/// Whether daemons without callback IDs can tell such events.
pub(super) fn has_legacy_style(event: EventId) -> bool {
    (0..=DomainEventId::DEVICE_REMOVED.0).contains(&event.number())
}

impl ObjectKey {
    /// Whether events of this class are about such objects.
    pub(super) fn suits(&self, class: EventClass) -> bool {
        match self {
            Self::Domain(_) => matches!(class, EventClass::Domain | EventClass::QemuMonitor),
            Self::Network(_) => class == EventClass::Network,
            Self::StoragePool(_) => class == EventClass::StoragePool,
            Self::NodeDevice(_) => class == EventClass::NodeDevice,
            Self::Secret(_) => class == EventClass::Secret,
        }
    }

    /// What an event is about.
    pub(super) fn of(subject: &Subject<'_>) -> Option<Self> {
        Some(match subject {
            Subject::Domain(domain) => Self::Domain(domain.uuid.into()),
            Subject::Network(network) => Self::Network(network.uuid.into()),
            Subject::StoragePool(pool) => Self::StoragePool(pool.uuid.into()),
            Subject::NodeDevice(device) => {
                Self::NodeDevice(Arc::from(device.name.to_string_lossy()))
            }
            Subject::Secret(secret) => Self::Secret(secret.uuid.into()),
            Subject::Connection => return None,
        })
    }
}

#[cfg(test)]
mod tests;
