//! Events on their way to those who asked for them.

mod registration;

use bytes::Bytes;
use tracing::warn;
use virtwire_protocol::Program;
use virtwire_protocol::event::{DomainEventKind, EventClass, EventKind, Message, Subject};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_protocol::session::Route;
use virtwire_xdr::Str;

pub(crate) use self::registration::{MonitorFilter, Object, Registration};
use super::client::{Driver, Notice};
use super::{Domain, Hypervisor, Uuid};

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) header: Header,
    pub(crate) payload: Bytes,
}

impl Packet {
    pub(crate) fn new(program: Program, procedure: i32, payload: Bytes) -> Self {
        // The serial that libvirt puts into every event.
        let route = Route::new(program, procedure, Serial::new(1));
        Self {
            header: route.header(MessageType::Message, Status::Ok),
            payload,
        }
    }

    /// The packet of an event; none when a value exceeds its bound, or the kind is too new for the
    /// style.
    fn of(message: &Message<'_>) -> Option<Self> {
        match message.encode() {
            Ok(packet) => Some(Self::new(packet.program, packet.procedure, packet.payload)),
            Err(error) => {
                warn!(%error, "an event cannot be sent");
                None
            }
        }
    }
}

impl Hypervisor {
    /// Tells everybody who asked what happened to a domain, as it is now.
    pub(crate) fn emit_now(&mut self, uuid: Uuid, event: impl Into<DomainEventKind>) {
        let Some(domain) = self.domains.get(&uuid) else {
            return;
        };
        let (name, id) = (domain.name.clone(), Domain::id(domain));
        self.emit(uuid, &name, id, event);
    }

    /// Tells everybody who asked what happened to a domain. The domain's number is what it was
    /// when it happened.
    pub(crate) fn emit(
        &mut self,
        uuid: Uuid,
        name: &str,
        id: i32,
        event: impl Into<DomainEventKind>,
    ) {
        let name = Str::from(name);
        let event = event.into();
        self.tell(NonnullDomain { name, uuid, id }.into(), event.into());
    }

    /// Tells everybody who asked what happened: for each registration a packet of its own.
    pub(crate) fn tell(&mut self, subject: Subject<'_>, kind: EventKind) {
        let mut message = Message::new(None, subject, kind);
        for client in self.clients.values_mut() {
            for callback_id in client.callbacks(&message) {
                message.callback_id = callback_id;
                if let Some(packet) = Packet::of(&message) {
                    client.notify(Notice::Event(packet));
                }
            }
        }
    }

    /// Sends a packet to everybody who has opened a connection, whether they asked or not.
    pub(crate) fn tell_all(&mut self, packet: &Packet) {
        for client in self.clients.values_mut() {
            if client.opened.is_some() {
                client.notify(Notice::Event(packet.clone()));
            }
        }
    }

    /// A number for an event registration. Each of libvirt's drivers counts from 0, and those of a
    /// hypervisor count for more than one class.
    pub(crate) fn next_callback_id(&mut self, driver: Driver, class: EventClass) -> i32 {
        let counter = match (driver, class) {
            (Driver::Test, _) | (_, EventClass::QemuMonitor) => EventClass::Domain,
            _ => class,
        };
        let next = self.next_callbacks.entry((driver, counter)).or_default();
        let id = *next;
        *next = next.wrapping_add(1) & i32::MAX;
        id
    }
}
