//! What the fuzz target of the event registry needs: the registry without a connection.

use std::convert::Infallible;

use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::event::{EventClass, EventId, Style};
use virtwire_protocol::session::{CallFailure, EventPacket, ReplyError};
use virtwire_xdr::Reader;

use super::{Registry, RegistryCall, Subscribe, delivery, held};
use crate::Uuid;
use crate::event::queue::{self, End, Item, Overflow, Receiver};
use crate::event::registration::{ObjectKey, RegistrationKey};

/// How many events are held for registrations under way.
pub const MAX_HELD: usize = held::MAX_HELD;

/// How many bytes of them are held.
pub const MAX_HELD_BYTES: usize = held::MAX_HELD_BYTES;

/// The longest event that is delivered.
pub const MAX_EVENT_LEN: usize = delivery::MAX_EVENT_LEN;

/// The registry, told by hand what the driver would tell it.
#[derive(Debug, Default)]
pub struct EventRegistry(Registry);

/// What a registration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "fuzz targets build them")]
pub struct Key {
    /// The event.
    pub event: EventId,
    /// The object, by a number instead of a UUID or a name; `None` for all of them.
    pub object: Option<u8>,
    /// Whether it is an event of a domain without a callback ID.
    pub legacy: bool,
}

/// What a subscriber wants.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "fuzz targets build them")]
pub struct Wanted {
    /// What it asks for.
    pub keys: Vec<Key>,
    /// What it holds and does not ask for.
    pub anchors: Vec<Key>,
    /// How many events may wait for it, at least one.
    pub room: usize,
    /// What becomes of those that there is no room for.
    pub overflow: Overflow,
    /// The only domain whose events it wants.
    pub only: Option<u8>,
    /// Whether it does without what is refused.
    pub tolerant: bool,
    /// Whether it wants whatever is unknown.
    pub unknown: bool,
}

/// What the registry wants of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "fuzz targets match on it")]
pub enum Wish {
    /// A registration.
    Register(Key),
    /// The end of one.
    Deregister(Key),
}

/// What the daemon answers to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "fuzz targets build them")]
pub enum Answer {
    /// The callback ID, or zero where there is none.
    Granted(i32),
    /// No.
    Refused,
    /// Something that cannot be understood.
    Nonsense,
}

/// How a subscription began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "fuzz targets match on it")]
pub enum Beginning {
    /// It is there, without these events.
    Ready(Vec<EventId>),
    /// It is not.
    Failed,
}

/// What a subscriber finds in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "fuzz targets match on it")]
pub enum Found {
    /// An event.
    Event(EventPacket),
    /// So many are missing here.
    Lagged(u64),
    /// The connection was lost here.
    Gap,
    /// The connection is closed, or the subscriber has left.
    Closed,
    /// There were too many events.
    Overflowed,
    /// The daemon does not have them any more.
    Refused,
    /// The daemon's answer made no sense.
    Failed,
}

/// What a subscriber holds.
#[derive(Debug)]
pub struct Subscriber {
    queue: Receiver,
    ready: oneshot::Receiver<super::Beginning>,
}

/// What somebody holds who waits for the end of a subscription.
#[derive(Debug)]
pub struct Left(mpsc::Receiver<Infallible>);

/// How many entries the registry's tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "fuzz targets compare them")]
pub struct Counts {
    /// Registrations in any phase.
    pub registrations: usize,
    /// Callback IDs.
    pub callbacks: usize,
    /// Subscribers.
    pub subscribers: usize,
    /// Those that are not served any more and have not left yet.
    pub retired: usize,
    /// Events that wait for the answer to a registration.
    pub held: usize,
    /// Their bytes.
    pub held_bytes: usize,
}

impl EventRegistry {
    /// Adds a subscriber.
    pub fn subscribe(&mut self, id: u64, wanted: &Wanted) -> Subscriber {
        let (sender, queue) = queue::queue(wanted.room, wanted.overflow);
        let (ready, registered) = oneshot::channel();
        let keys = wanted.keys.iter().chain(&wanted.anchors);
        let registrations = keys.filter_map(|key| {
            let key = key.inner();
            let request = key.register().ok()?;
            Some((key, request))
        });
        self.0.subscribe(Subscribe {
            id,
            registrations: registrations.collect(),
            asked: wanted.keys.len(),
            queue: sender,
            only: wanted.only.map(|number| ObjectKey::Domain(uuid(number))),
            tolerant: wanted.tolerant,
            unknown: wanted.unknown,
            ready,
        });
        Subscriber {
            queue,
            ready: registered,
        }
    }

    /// Removes a subscriber.
    pub fn unsubscribe(&mut self, id: u64) -> Left {
        let (leaving, left) = mpsc::channel(1);
        self.0.unsubscribe(id, Some(&leaving));
        Left(left)
    }

    /// What to ask of the daemon next.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.0.next_call().map(|call| match call {
            RegistryCall::Register(key, _) => Wish::Register(Key::outer(&key)),
            RegistryCall::Deregister(key, _) => Wish::Deregister(Key::outer(&key)),
        })
    }

    /// The daemon answers a registration.
    pub fn registered(&mut self, key: Key, answer: Answer) {
        let refused = RemoteError::new(ErrorCode::NO_SUPPORT, ErrorDomain::RPC, "no");
        let answer = match answer {
            Answer::Granted(callback) => Ok(callback),
            Answer::Refused => Err(CallFailure::Remote(Box::new(refused))),
            Answer::Nonsense => Reader::new(&[])
                .i32()
                .map_err(|error| CallFailure::BadReply(ReplyError::UndecodableError(error))),
        };
        self.0.registered(key.inner(), answer);
    }

    /// The daemon answers the end of a registration.
    pub fn deregistered(&mut self, key: Key) {
        self.0.deregistered(key.inner());
    }

    /// The connection is lost.
    pub fn lost(&mut self) {
        self.0.lost();
    }

    /// The connection is open again.
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// An event comes.
    pub fn deliver(&mut self, event: EventPacket) {
        self.0.deliver(event);
    }

    /// The sizes of the tables.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            registrations: self.0.registrations.len(),
            callbacks: self.0.by_callback.len(),
            subscribers: self.0.subscribers.len(),
            retired: self.0.retired.len(),
            held: self.0.held.len(),
            held_bytes: self.0.held.bytes(),
        }
    }
}

impl Key {
    /// The registration of this class that is never given up.
    #[must_use]
    pub fn anchor(self) -> Option<Self> {
        let inner = self.inner();
        let anchor = RegistrationKey::anchor(inner.event.class(), inner.style);
        anchor.as_ref().map(Self::outer)
    }

    /// Whether its events have callback IDs.
    #[must_use]
    pub fn has_callback(self) -> bool {
        self.inner().style == Style::Callback
    }

    fn inner(self) -> RegistrationKey {
        if self.legacy {
            return RegistrationKey::legacy(self.event);
        }
        let object = self.object.and_then(|number| match self.event.class() {
            EventClass::Domain | EventClass::QemuMonitor => Some(ObjectKey::Domain(uuid(number))),
            EventClass::Network => Some(ObjectKey::Network(uuid(number))),
            EventClass::StoragePool => Some(ObjectKey::StoragePool(uuid(number))),
            EventClass::NodeDevice => Some(ObjectKey::NodeDevice(name(number).into())),
            EventClass::Secret => Some(ObjectKey::Secret(uuid(number))),
            EventClass::Connection => None,
        });
        RegistrationKey::new(self.event, object)
    }

    fn outer(key: &RegistrationKey) -> Self {
        let object = key.object.as_ref().and_then(|object| match object {
            ObjectKey::Domain(uuid)
            | ObjectKey::Network(uuid)
            | ObjectKey::StoragePool(uuid)
            | ObjectKey::Secret(uuid) => uuid.as_bytes().first().copied(),
            ObjectKey::NodeDevice(name) => Some(name.parse().unwrap_or(0)),
        });
        let class = key.event.class();
        Self {
            event: key.event,
            object,
            legacy: key.style == Style::Legacy && class == EventClass::Domain,
        }
    }
}

fn uuid(number: u8) -> Uuid {
    Uuid::from([number; 16])
}

/// The name of a device; that of number 0 is nobody's.
#[must_use]
pub fn name(number: u8) -> String {
    match number {
        0 => "/".to_owned(),
        number => number.to_string(),
    }
}

impl Subscriber {
    /// What is there to be read; the end again and again.
    pub fn next_found(&mut self) -> Option<Found> {
        self.queue.try_pop().map(|item| match item {
            Ok(Item::Event(event)) => Found::Event(event),
            Ok(Item::Lagged(missed)) => Found::Lagged(missed),
            Ok(Item::Gap) => Found::Gap,
            Err(End::Closed) => Found::Closed,
            Err(End::Overflowed) => Found::Overflowed,
            Err(End::Refused(_)) => Found::Refused,
            Err(End::Failed(_)) => Found::Failed,
        })
    }

    /// The events that it does without.
    #[must_use]
    pub fn refused(&self) -> Vec<EventId> {
        let refused = self.queue.refused();
        refused.into_iter().map(|(event, _)| event).collect()
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How the subscription began; `None` while that is open, and after it was said.
    pub fn take_beginning(&mut self) -> Option<Beginning> {
        self.ready.try_recv().ok().map(|ready| match ready {
            Ok(()) => Beginning::Ready(self.refused()),
            Err(_) => Beginning::Failed,
        })
    }
}

impl Left {
    /// Whether the daemon has confirmed it.
    pub fn is_confirmed(&mut self) -> bool {
        matches!(
            self.0.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        )
    }
}
