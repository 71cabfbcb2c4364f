//! What the fuzz target of the event registry needs: the registry without a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::session::{CallFailure, CallRequest, EventPacket};
use virtwire_protocol::{RemoteError, remote};

use super::{RegistrationKey, Registry, RegistryCall, Subscribe};
use crate::Uuid;

/// The registry, told by hand what the driver would tell it.
#[derive(Debug, Default)]
pub struct EventRegistry(Registry);

/// What a registration is for: an event, and a domain by a number instead of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "fuzz targets build them")]
pub struct Key {
    /// The number of the event.
    pub event: i32,
    /// The domain; `None` for all of them.
    pub domain: Option<u8>,
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

/// What a subscriber holds.
#[derive(Debug)]
pub struct Subscriber {
    queue: mpsc::Receiver<EventPacket>,
    lagged: Arc<AtomicBool>,
    ready: oneshot::Receiver<Result<(), CallFailure>>,
}

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
    /// Events that wait for the answer to a registration.
    pub held: usize,
}

impl EventRegistry {
    /// Adds a subscriber with room for `room` events, at least 1.
    pub fn subscribe(&mut self, id: u64, keys: &[Key], room: usize) -> Subscriber {
        let (sender, queue) = mpsc::channel(room.max(1));
        let (ready, registered) = oneshot::channel();
        let lagged = Arc::<AtomicBool>::default();
        let request = CallRequest::new::<remote::ConnectDomainEventCallbackRegisterAny>;
        let registrations = keys.iter().filter_map(|key| {
            let request = request(&remote::ConnectDomainEventCallbackRegisterAnyArgs::default());
            Some((key.inner(), request.ok()?))
        });
        self.0.subscribe(Subscribe {
            id,
            registrations: registrations.collect(),
            queue: sender,
            lagged: Arc::clone(&lagged),
            ready,
        });
        Subscriber {
            queue,
            lagged,
            ready: registered,
        }
    }

    /// Removes a subscriber.
    pub fn unsubscribe(&mut self, id: u64) {
        self.0.unsubscribe(id);
    }

    /// What to ask of the daemon next.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.0.next_call().map(|call| match call {
            RegistryCall::Register(key, _) => Wish::Register(Key::outer(key)),
            RegistryCall::Deregister(key, _) => Wish::Deregister(Key::outer(key)),
        })
    }

    /// The daemon answers a registration: with a callback ID, or not at all well.
    pub fn registered(&mut self, key: Key, callback: Option<i32>) {
        let refused = RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, "no");
        let answer = callback.ok_or_else(|| CallFailure::Remote(Box::new(refused)));
        self.0.registered(key.inner(), answer);
    }

    /// The daemon answers the end of a registration.
    pub fn deregistered(&mut self, key: Key) {
        self.0.deregistered(key.inner());
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
            held: self.0.held.len(),
        }
    }
}

impl Key {
    /// The registration that is never given up.
    #[must_use]
    pub fn anchor() -> Self {
        Self::outer(RegistrationKey::ANCHOR)
    }

    fn inner(self) -> RegistrationKey {
        RegistrationKey {
            event: self.event,
            domain: self.domain.map(|number| Uuid::from([number; 16])),
        }
    }

    fn outer(key: RegistrationKey) -> Self {
        Self {
            event: key.event,
            domain: key.domain.map(|uuid| <[u8; 16]>::from(uuid)[0]),
        }
    }
}

impl Subscriber {
    /// The next event that waits.
    pub fn next_event(&mut self) -> Option<EventPacket> {
        self.queue.try_recv().ok()
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether events were dropped since this was last asked.
    #[must_use]
    pub fn take_lagged(&self) -> bool {
        self.lagged.swap(false, Ordering::Relaxed)
    }

    /// Whether the daemon agreed; `None` while that is open, and after it was said.
    pub fn take_ready(&mut self) -> Option<bool> {
        self.ready.try_recv().ok().map(|answer| answer.is_ok())
    }
}
