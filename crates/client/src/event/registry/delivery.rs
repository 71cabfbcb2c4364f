//! From an event to those it is for.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::iter::repeat_n;

use bytes::Bytes;
use virtwire_protocol::event::{self, EventClass, EventRoute, Style};
use virtwire_protocol::session::EventPacket;
use virtwire_xdr::Reader;

use super::{Phase, Registration, Registry, Subscriber};
use crate::event::queue::{self, CoalesceKey, Key};
use crate::event::registration::{ObjectKey, RegistrationKey, is_known};

/// How many events are kept that came before the answer that says whose they are.
pub(super) const MAX_HELD: usize = 1024;

/// How many bytes of them are kept.
pub(super) const MAX_HELD_BYTES: usize = 1 << 20;

/// The longest event that is kept. The real ones are a few hundred bytes, and a hostile daemon
/// must not be able to fill the queues with packets of 32 MiB.
pub(super) const MAX_EVENT_LEN: usize = 64 << 10;

/// Events that came while a registration was under way and may be for it: the daemon may queue an
/// event before the answer that gives its callback ID.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) events: VecDeque<EventPacket>,
    pub(super) bytes: usize,
    /// How many there was no room for.
    pub(super) lost: u64,
}

impl Registry {
    /// Hands an event to its subscribers. Nobody is ever waited for.
    pub(crate) fn deliver(&mut self, mut event: EventPacket) {
        let route = event::route(event.program, event.procedure);
        if event.payload.len() <= MAX_EVENT_LEN {
            // An event that waits must not keep the buffer alive that it was received into.
            event.payload = Bytes::copy_from_slice(&event.payload);
        }
        if route.is_none() {
            let curious = self.subscribers.iter().filter(|(_, one)| one.unknown);
            let overflowed =
                curious.filter_map(|(id, one)| one.give(event.clone(), None).err().map(|_| *id));
            self.end_overflowed(overflowed.collect());
        }
        self.deliver_to_members(event, route);
    }

    pub(super) fn deliver_to_members(&mut self, event: EventPacket, route: Option<EventRoute>) {
        let members = match route {
            Some(route) => self.members_of(route, &event),
            None => self.members_of_unknown(&event).map(Cow::Owned),
        };
        let Some(members) = members else {
            return self.hold(event, route);
        };
        // The last of them gets the event itself.
        let events = repeat_n(event, members.len());
        let overflowed = members.iter().zip(events).filter_map(|(id, event)| {
            let subscriber = self.subscribers.get(id)?;
            subscriber.give(event, route).is_err().then_some(*id)
        });
        self.end_overflowed(overflowed.collect());
    }

    /// Their queues are full, and that was to be their end. It is for them to find that out.
    fn end_overflowed(&mut self, ids: Vec<u64>) {
        for id in ids {
            if let Some(subscriber) = self.subscribers.get_mut(&id) {
                subscriber.become_ready();
            }
            self.unsubscribe(id, None);
        }
    }

    /// Whose event it is: one that is what its registration is for.
    fn members_of(&self, route: EventRoute, event: &EventPacket) -> Option<Cow<'_, [u64]>> {
        let legacy = RegistrationKey {
            style: route.style,
            ..RegistrationKey::new(route.id, None)
        };
        let key = match route.style {
            Style::Callback => {
                let route = (route.id.class(), callback_of(event)?);
                self.by_callback.get(&route)?
            }
            Style::Legacy => &legacy,
        };
        let registration = self.registrations.get(key)?;
        let registered = matches!(registration.phase, Phase::Registered { .. });
        (registered && key.event == route.id).then(|| self.listeners(key, registration))
    }

    /// The members of a registration, but for those who only hold it.
    fn listeners<'a>(
        &self,
        key: &RegistrationKey,
        registration: &'a Registration,
    ) -> Cow<'a, [u64]> {
        let members = &registration.members;
        if !key.is_anchor() {
            return Cow::Borrowed(members);
        }
        let subscribers = members
            .iter()
            .filter_map(|id| Some((id, self.subscribers.get(id)?)));
        let listeners = subscribers.filter(|(_, one)| !one.unasked.contains(key));
        Cow::Owned(listeners.map(|(id, _)| *id).collect())
    }

    /// Whose event it may be, if somebody has asked for events that this version does not know:
    /// those of any class with its callback ID, but for those who get whatever is unknown.
    fn members_of_unknown(&self, event: &EventPacket) -> Option<Vec<u64>> {
        let callback = callback_of(event)?;
        let classes = [
            EventClass::Domain,
            EventClass::Network,
            EventClass::StoragePool,
            EventClass::NodeDevice,
            EventClass::Secret,
        ];
        let keys = classes.map(|class| self.by_callback.get(&(class, callback)));
        let keys = keys.into_iter().flatten();
        let unknown = keys.filter(|key| !is_known(key.event));
        let registrations: Vec<_> = unknown
            .filter_map(|key| self.registrations.get(key))
            .collect();
        if registrations.is_empty() {
            return None;
        }
        let members = registrations.iter().flat_map(|one| &one.members);
        let incurious = |id: &&u64| self.subscribers.get(id).is_some_and(|one| !one.unknown);
        let members: BTreeSet<_> = members.filter(incurious).copied().collect();
        Some(members.into_iter().collect())
    }

    /// Keeps an event if it may be for a registration that is under way.
    fn hold(&mut self, event: EventPacket, route: Option<EventRoute>) {
        let mut registering = self.registrations.iter().filter(|(key, registration)| {
            let theirs = match route {
                Some(route) => key.event.class() == route.id.class(),
                None => !is_known(key.event),
            };
            theirs && registration.phase == Phase::Registering
        });
        if registering.next().is_none() {
            return;
        }
        let bytes = self.held.bytes + event.payload.len();
        if self.held.events.len() >= MAX_HELD || bytes > MAX_HELD_BYTES {
            self.held.lost += 1;
            return;
        }
        self.held.bytes = bytes;
        self.held.events.push_back(event);
    }
}

impl Subscriber {
    fn give(&self, event: EventPacket, route: Option<EventRoute>) -> Result<(), queue::Overflowed> {
        if event.payload.len() > MAX_EVENT_LEN {
            self.queue.lag(1);
            return Ok(());
        }
        let coalesce = self.queue.coalesce_key();
        let object = if coalesce.is_some() || self.only.is_some() {
            let subject = event::subject(event.program, event.procedure, &event.payload);
            subject.as_ref().and_then(ObjectKey::of)
        } else {
            None
        };
        if self.only.is_some() && object.is_some() && object != self.only {
            return Ok(());
        }
        let key = coalesce.zip(object).map(|(by, object)| Key {
            object,
            event: route
                .filter(|_| by == CoalesceKey::ObjectAndEvent)
                .map(|route| route.id),
        });
        self.queue.push(event, key)
    }
}

/// The callback ID that an event starts with.
fn callback_of(event: &EventPacket) -> Option<i32> {
    Reader::new(&event.payload).i32().ok()
}
