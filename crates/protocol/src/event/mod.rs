//! What the daemon tells without being asked, with a type for every kind of it.
//!
//! The protocol has one message for each kind of event, and for the older kinds of a domain's
//! events two: one for each [`Style`] of asking for them. Here they are one [`Message`].
//!
//! ```
//! use virtwire_protocol::constants::{DomainEventId, DomainEventStartedDetailType};
//! use virtwire_protocol::event::{DomainEventKind, EventId, Lifecycle, Message, Subject, route};
//! use virtwire_protocol::remote::NonnullDomain;
//!
//! let kind = DomainEventKind::from(Lifecycle::Started(DomainEventStartedDetailType::BOOTED));
//! let dom = NonnullDomain { name: "guest".into(), uuid: [7; 16], id: 1 };
//! let message = Message::new(Some(3), dom, kind);
//! let packet = message.encode()?;
//!
//! // What it is, its header says alone; what has happened to whom is in the payload.
//! let (program, procedure) = (packet.program, packet.procedure);
//! let route = route(program, procedure).ok_or("unknown")?;
//! assert_eq!(route.id, EventId::Domain(DomainEventId::LIFECYCLE));
//! assert_eq!(Message::decode(program, procedure, &packet.payload)?, Some(message));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Values are open: what a newer daemon says keeps its number. Text is for people to read: bytes
//! in it that are not UTF-8 are replaced.

mod domain;
mod id;
mod kind;
mod lifecycle;
mod message;
mod route;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub use domain::{DomainEventKind, GraphicsAddress, GraphicsIdentity};
pub use id::{EventClass, EventId};
pub use kind::{
    EventKind, MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind,
    StoragePoolEventKind,
};
pub use lifecycle::Lifecycle;
pub use message::{EncodeMessageError, Message, Subject};
pub use route::{EventRoute, Style, route, subject};
