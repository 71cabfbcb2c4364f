//! An event, and its form on the wire.

use bytes::BytesMut;
use virtwire_xdr::{Decode, DecodeError, Encode, EncodeError, IntoOwned, Reader, Writer};

use super::value::Value;
use super::{
    DomainEventKind, EventClass, EventId, EventKind, MonitorEvent, NetworkEventKind,
    NodeDeviceEventKind, SecretEventKind, StoragePoolEventKind, route,
};
use crate::constants::ConnectCloseReason;
use crate::remote::{
    NonnullDomain, NonnullNetwork, NonnullNodeDevice, NonnullSecret, NonnullStoragePool,
};
use crate::session::EventPacket;
use crate::{Event, Program, qemu, remote};

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one for each class of events")]
pub enum Subject<'a> {
    /// A domain; its number is what it was when it happened.
    Domain(NonnullDomain<'a>),
    /// A virtual network.
    Network(NonnullNetwork<'a>),
    /// A storage pool.
    StoragePool(NonnullStoragePool<'a>),
    /// A device of the host.
    NodeDevice(NonnullNodeDevice<'a>),
    /// A secret.
    Secret(NonnullSecret<'a>),
    /// The daemon's own connection.
    Connection,
}

/// An event: what happened to whom, and which registration it is told for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the protocol has no more")]
pub struct Message<'a> {
    /// The number of the registration; none in the legacy style.
    pub callback_id: Option<i32>,
    /// Whom it is about.
    pub subject: Subject<'a>,
    /// What happened.
    pub kind: EventKind,
}

/// An event that the protocol has no message for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeMessageError {
    /// It has no form without a callback ID.
    #[error("{0} has no form without a callback id")]
    NeedsCallback(EventId),
    /// It has no form with a callback ID.
    #[error("{0} has no form with a callback id")]
    TakesNoCallback(EventId),
    /// It happens to other things.
    #[error("{0} is about another kind of object")]
    Subject(EventId),
    /// A value exceeds its bound.
    #[error(transparent)]
    Value(#[from] EncodeError),
}

impl<'a> Message<'a> {
    /// What happened to whom, for the registration of this number, or for one in the legacy style.
    pub fn new(
        callback_id: Option<i32>,
        subject: impl Into<Subject<'a>>,
        kind: impl Into<EventKind>,
    ) -> Self {
        Self {
            callback_id,
            subject: subject.into(),
            kind: kind.into(),
        }
    }

    /// The event with this header and payload; `None` when its number is not known. Bytes after it
    /// are tolerated: a newer daemon may say more.
    ///
    /// # Errors
    ///
    /// When the payload is no such event.
    pub fn decode(
        program: Program,
        procedure: i32,
        payload: &'a [u8],
    ) -> Result<Option<Self>, DecodeError> {
        let Some(route) = route(program, procedure) else {
            return Ok(None);
        };
        match route.id.class() {
            EventClass::Domain => DomainEventKind::decode(procedure, payload),
            EventClass::Network => NetworkEventKind::decode(procedure, payload),
            EventClass::StoragePool => StoragePoolEventKind::decode(procedure, payload),
            EventClass::NodeDevice => NodeDeviceEventKind::decode(procedure, payload),
            EventClass::Secret => SecretEventKind::decode(procedure, payload),
            EventClass::QemuMonitor => MonitorEvent::decode(payload).map(Some),
            EventClass::Connection => connection_closed(payload).map(Some),
        }
    }

    /// The form that it has on the wire.
    ///
    /// # Errors
    ///
    /// When there is none: see [`EncodeMessageError`].
    pub fn encode(&self) -> Result<EventPacket, EncodeMessageError> {
        let callback = self.callback_id;
        match (&self.kind, self.subject.clone()) {
            (EventKind::Domain(kind), Subject::Domain(dom)) => kind.encode(dom, callback),
            (EventKind::Network(kind), Subject::Network(net)) => kind.encode(net, callback),
            (EventKind::StoragePool(kind), Subject::StoragePool(pool)) => {
                kind.encode(pool, callback)
            }
            (EventKind::NodeDevice(kind), Subject::NodeDevice(dev)) => kind.encode(dev, callback),
            (EventKind::Secret(kind), Subject::Secret(secret)) => kind.encode(secret, callback),
            (EventKind::QemuMonitor(event), Subject::Domain(dom)) => event.encode(dom, callback),
            (EventKind::ConnectionClosed(reason), Subject::Connection) => {
                let reason = reason.0;
                if callback.is_some() {
                    return Err(EncodeMessageError::TakesNoCallback(self.kind.id()));
                }
                let message = remote::ConnectEventConnectionClosedMsg { reason };
                packet::<remote::ConnectEventConnectionClosed>(&message)
            }
            (kind, _) => Err(EncodeMessageError::Subject(kind.id())),
        }
    }
}

impl MonitorEvent {
    fn decode(payload: &[u8]) -> Result<Message<'_>, DecodeError> {
        let message = read::<qemu::DomainMonitorEvent>(payload)?;
        let event = Self {
            name: Value::from_wire(message.event),
            seconds: message.seconds,
            micros: message.micros,
            details: Value::from_wire(message.details),
        };
        Ok(Message::new(Some(message.callback_id), message.dom, event))
    }

    fn encode(
        &self,
        dom: NonnullDomain<'_>,
        callback: Option<i32>,
    ) -> Result<EventPacket, EncodeMessageError> {
        let Some(callback_id) = callback else {
            return Err(EncodeMessageError::NeedsCallback(EventId::QemuMonitor));
        };
        packet::<qemu::DomainMonitorEvent>(&qemu::DomainMonitorEventMsg {
            callback_id,
            dom,
            event: self.name.to_wire(),
            seconds: self.seconds,
            micros: self.micros,
            details: self.details.to_wire(),
        })
    }
}

fn connection_closed(payload: &[u8]) -> Result<Message<'static>, DecodeError> {
    let message = read::<remote::ConnectEventConnectionClosed>(payload)?;
    let reason = ConnectCloseReason(message.reason);
    let kind = EventKind::ConnectionClosed(reason);
    Ok(Message::new(None, Subject::Connection, kind))
}

/// The message of an event, and perhaps more.
pub(super) fn read<E: Event>(payload: &[u8]) -> Result<E::Msg<'_>, DecodeError> {
    E::Msg::decode(&mut Reader::new(payload))
}

/// The packet of an event.
pub(super) fn packet<E: Event>(message: &E::Msg<'_>) -> Result<EventPacket, EncodeMessageError> {
    let mut buffer = BytesMut::new();
    message.encode(&mut Writer::new(&mut buffer))?;
    Ok(EventPacket {
        program: E::PROGRAM,
        procedure: E::NUMBER,
        payload: buffer.freeze(),
    })
}

macro_rules! from {
    ($($class:ident($object:ident)),*) => {$(
        impl<'a> From<$object<'a>> for Subject<'a> {
            fn from(object: $object<'a>) -> Self {
                Self::$class(object)
            }
        }
    )*

        impl IntoOwned for Subject<'_> {
            type Owned = Subject<'static>;

            fn into_owned(self) -> Self::Owned {
                match self {
                    $(Self::$class(object) => Subject::$class(object.into_owned()),)*
                    Self::Connection => Subject::Connection,
                }
            }
        }
    };
}

from!(
    Domain(NonnullDomain),
    Network(NonnullNetwork),
    StoragePool(NonnullStoragePool),
    NodeDevice(NonnullNodeDevice),
    Secret(NonnullSecret)
);
