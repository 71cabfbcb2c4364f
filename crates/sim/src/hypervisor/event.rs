//! Events on their way to those who asked for them.

use bytes::{Bytes, BytesMut};
use tracing::warn;
use virtwire_protocol::Event;
use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::remote::{self, NonnullDomain};
use virtwire_protocol::session::Route;
use virtwire_xdr::{Encode, Str, Writer};

use super::client::Notice;
use super::{Hypervisor, Uuid};

/// A client's wish for events of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    /// What the client gives it up by; none in the legacy style.
    pub(crate) callback: Option<i32>,
    /// The kind.
    pub(crate) event: i32,
    /// The only domain that is of interest.
    pub(crate) domain: Option<Uuid>,
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

/// Something that happened to a domain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) enum DomainEvent {
    /// It started, stopped, …
    Lifecycle {
        /// `virDomainEventType`.
        event: i32,
        /// The detail, of a type of its own for each event.
        detail: i32,
    },
}

impl DomainEvent {
    /// The kind, as clients register for it.
    fn id(&self) -> DomainEventId {
        match self {
            Self::Lifecycle { .. } => DomainEventId::LIFECYCLE,
        }
    }

    /// The packet for a registration; the legacy style has none for newer events.
    fn packet(&self, dom: &NonnullDomain<'_>, callback: Option<i32>) -> Option<Packet> {
        let dom = dom.clone();
        match *self {
            Self::Lifecycle { event, detail } => {
                let msg = remote::DomainEventLifecycleMsg { dom, event, detail };
                match callback {
                    None => Packet::new::<remote::DomainEventLifecycle>(&msg),
                    Some(callback_id) => Packet::new::<remote::DomainEventCallbackLifecycle>(
                        &remote::DomainEventCallbackLifecycleMsg { callback_id, msg },
                    ),
                }
            }
        }
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
        let kind = event.id().0;
        for client in self.clients.values_mut() {
            let packets: Vec<Packet> = client
                .registrations_for(kind, uuid)
                .filter_map(|registration| event.packet(&dom, registration.callback))
                .collect();
            for packet in packets {
                client.notify(Notice::Event(packet));
            }
        }
    }
}
