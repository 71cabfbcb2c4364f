//! What an event's header says.

use virtwire_xdr::{Decode, Reader};

use super::{
    DomainEventKind, EventClass, EventId, NetworkEventKind, NodeDeviceEventKind, SecretEventKind,
    StoragePoolEventKind, Subject,
};
use crate::constants::DomainEventId;
use crate::{Event, Program, qemu, remote};

/// How an event was asked for, and so whether it says which registration it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a message has a callback ID or not"
)]
pub enum Style {
    /// It begins with the callback ID of its registration.
    Callback,
    /// It has no callback ID: a registration is all there can be for its kind.
    Legacy,
}

/// What an event's header says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventRoute {
    /// The kind.
    pub id: EventId,
    /// Whether it has a callback ID.
    pub style: Style,
}

impl EventRoute {
    pub(super) const fn new(id: EventId, style: Style) -> Self {
        Self { id, style }
    }

    /// The callback ID in the payload of such an event; `None` where there is none.
    #[must_use]
    pub fn callback_id(self, payload: &[u8]) -> Option<i32> {
        match self.style {
            Style::Callback => Reader::new(payload).i32().ok(),
            Style::Legacy => None,
        }
    }

    /// What comes before the object in the payload of such an event.
    fn skip(self, reader: &mut Reader<'_>) -> Option<()> {
        if self.style == Style::Legacy {
            return Some(());
        }
        reader.i32().ok()?;
        if let EventId::Domain(
            DomainEventId::PMWAKEUP | DomainEventId::PMSUSPEND | DomainEventId::PMSUSPEND_DISK,
        ) = self.id
        {
            // A reason, of which libvirt has none so far.
            reader.i32().ok()?;
        }
        Some(())
    }
}

/// The event with this number; `None` when there is none, or none that is known.
#[must_use]
pub fn route(program: Program, procedure: i32) -> Option<EventRoute> {
    match (program, procedure) {
        (remote::PROGRAM, <remote::ConnectEventConnectionClosed as Event>::NUMBER) => {
            Some(EventRoute::new(EventId::ConnectionClosed, Style::Legacy))
        }
        (remote::PROGRAM, _) => DomainEventKind::route(procedure)
            .or_else(|| NetworkEventKind::route(procedure))
            .or_else(|| StoragePoolEventKind::route(procedure))
            .or_else(|| NodeDeviceEventKind::route(procedure))
            .or_else(|| SecretEventKind::route(procedure)),
        (qemu::PROGRAM, <qemu::DomainMonitorEvent as Event>::NUMBER) => {
            Some(EventRoute::new(EventId::QemuMonitor, Style::Callback))
        }
        _ => None,
    }
}

/// Whom an event is about, without looking at the rest of it; `None` when it is not known or
/// malformed so far.
#[must_use]
pub fn subject(program: Program, procedure: i32, payload: &[u8]) -> Option<Subject<'_>> {
    let route = route(program, procedure)?;
    let mut reader = Reader::new(payload);
    route.skip(&mut reader)?;
    match route.id.class() {
        EventClass::Domain | EventClass::QemuMonitor => object(&mut reader, Subject::Domain),
        EventClass::Network => object(&mut reader, Subject::Network),
        EventClass::StoragePool => object(&mut reader, Subject::StoragePool),
        EventClass::NodeDevice => object(&mut reader, Subject::NodeDevice),
        EventClass::Secret => object(&mut reader, Subject::Secret),
        EventClass::Connection => Some(Subject::Connection),
    }
}

fn object<'a, T: Decode<'a>>(
    reader: &mut Reader<'a>,
    subject: impl FnOnce(T) -> Subject<'a>,
) -> Option<Subject<'a>> {
    T::decode(reader).ok().map(subject)
}
