//! Events on their way to those who asked for them.

mod domain;
mod packet;

use bytes::{Bytes, BytesMut};
use tracing::warn;
use virtwire_protocol::Event;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_protocol::session::Route;
use virtwire_xdr::{Encode, Str, Writer};

pub use self::domain::DomainEvent;
use super::client::Notice;
use super::{Domain, Hypervisor, Uuid};

/// What kind of object an event is about. Each has kinds of events and registration numbers of its
/// own, so that those of two classes may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EventClass {
    /// Domains.
    Domain,
    /// Virtual networks.
    Network,
    /// Storage pools.
    StoragePool,
}

/// A client's wish for events of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    /// What it is about.
    pub(crate) class: EventClass,
    /// What the client gives it up by.
    pub(crate) id: i32,
    /// Whether the client asked in the legacy style: its events do not name the registration.
    pub(crate) legacy: bool,
    /// The kind, within the class.
    pub(crate) event: i32,
    /// The only object that is of interest.
    pub(crate) object: Option<Uuid>,
}

impl Registration {
    /// What an event for it says of the registration: nothing in the legacy style.
    pub(crate) fn callback(&self) -> Option<i32> {
        (!self.legacy).then_some(self.id)
    }

    fn wants(&self, class: EventClass, event: i32, object: Uuid) -> bool {
        self.class == class
            && self.event == event
            && self.object.is_none_or(|wanted| wanted == object)
    }
}

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) header: Header,
    pub(crate) payload: Bytes,
}

impl Packet {
    /// The packet of an event; none when a value exceeds its bound.
    pub(crate) fn new<E: Event>(message: &E::Msg<'_>) -> Option<Self> {
        let mut buffer = BytesMut::new();
        if let Err(error) = message.encode(&mut Writer::new(&mut buffer)) {
            warn!(event = E::NAME, %error, "an event cannot be sent");
            return None;
        }
        // The serial that libvirt puts into every event.
        let route = Route::new(E::PROGRAM, E::NUMBER, Serial::new(1));
        Some(Self {
            header: route.header(MessageType::Message, Status::Ok),
            payload: buffer.freeze(),
        })
    }
}

impl Hypervisor {
    /// Tells everybody who asked what happened to a domain. The domain's number is what it was
    /// when it happened.
    pub(crate) fn emit(&mut self, uuid: Uuid, name: &str, id: i32, event: &DomainEvent) {
        let dom = NonnullDomain {
            name: Str::from(name),
            uuid,
            id,
        };
        self.broadcast(EventClass::Domain, event.id().0, uuid, |callback| {
            event.packet(dom.clone(), callback)
        });
    }

    /// Tells everybody who asked what happened to a domain, as it is now.
    pub(crate) fn emit_now(&mut self, uuid: Uuid, event: &DomainEvent) {
        let Some(domain) = self.domains.get(&uuid) else {
            return;
        };
        let (name, id) = (domain.name.clone(), Domain::id(domain));
        self.emit(uuid, &name, id, event);
    }

    /// Sends an event to everybody who asked for it: to each registration a packet of its own,
    /// made by `packet` for the registration's number; `None` stands for the legacy style.
    pub(crate) fn broadcast(
        &mut self,
        class: EventClass,
        event: i32,
        object: Uuid,
        packet: impl Fn(Option<i32>) -> Option<Packet>,
    ) {
        for client in self.clients.values_mut() {
            let wanting = client
                .registrations
                .iter()
                .filter(|one| one.wants(class, event, object));
            let packets: Vec<Packet> = wanting.filter_map(|one| packet(one.callback())).collect();
            for packet in packets {
                client.notify(Notice::Event(packet));
            }
        }
    }
}
