//! From an event to those it is for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::iter::repeat_n;

use bytes::Bytes;
use virtwire_protocol::event::{self, EventClass, EventRoute, Style};
use virtwire_protocol::session::EventPacket;
use virtwire_xdr::Reader;

use super::{Phase, Registration, Registry, Subscriber};
use crate::event::queue::{self, CoalesceKey, Key};
use crate::event::registration::{ObjectKey, RegistrationKey, is_known};

/// The longest event that is kept. The real ones are a few hundred bytes, and a hostile daemon
/// must not be able to fill the queues with packets of 32 MiB.
pub(super) const MAX_EVENT_LEN: usize = 64 << 10;

impl Registry {
    /// Hands an event to its subscribers. Nobody is ever waited for.
    pub(crate) fn deliver(&mut self, mut event: EventPacket) {
        if event.payload.len() <= MAX_EVENT_LEN {
            // An event that waits must not keep the buffer alive that it was received into.
            event.payload = Bytes::copy_from_slice(&event.payload);
        }
        let (recipients, is_awaited) = self.recipients(&event);
        let mut held = is_awaited.then(|| event.clone());
        let mut overflowed = Vec::new();
        // The last of them gets the event itself.
        let events = repeat_n(event, recipients.len());
        for (id, event) in recipients.iter().zip(events) {
            let Some(subscriber) = self.subscribers.get(id) else {
                continue;
            };
            if subscriber.waiting > 0 {
                held = Some(event);
            } else if subscriber.give(event).is_err() {
                overflowed.push(*id);
            }
        }
        if let Some(event) = held {
            self.held.push(event);
        }
        for id in overflowed {
            self.retire(id);
        }
    }

    /// Whose an event is, and whether it may be for a registration under way instead.
    pub(super) fn recipients(&self, event: &EventPacket) -> (Cow<'_, [u64]>, bool) {
        if let Some(route) = route_of(event) {
            return match self.members_of(route, event) {
                Some(members) => (members, false),
                None => (Cow::default(), self.is_awaited(Some(route))),
            };
        }
        let members = self.members_of_unknown(event);
        let is_awaited = members.is_none() && self.is_awaited(None);
        let curious = self.subscribers.iter().filter(|(_, one)| one.unknown);
        let mut recipients = members.unwrap_or_default();
        recipients.extend(curious.map(|(id, _)| *id));
        (Cow::Owned(recipients.into_iter().collect()), is_awaited)
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
    /// those of any class with its callback ID.
    fn members_of_unknown(&self, event: &EventPacket) -> Option<BTreeSet<u64>> {
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
        let members = registrations.iter().flat_map(|one| &one.members).copied();
        (!registrations.is_empty()).then(|| members.collect())
    }

    /// Whether an event may be for a registration under way that somebody wants.
    fn is_awaited(&self, route: Option<EventRoute>) -> bool {
        self.registrations.iter().any(|(key, registration)| {
            let theirs = match route {
                Some(route) => key.event.class() == route.id.class(),
                None => !is_known(key.event),
            };
            let under_way = registration.phase == Phase::Registering;
            theirs && under_way && !registration.members.is_empty()
        })
    }
}

impl Subscriber {
    pub(super) fn give(&self, event: EventPacket) -> Result<(), queue::Overflowed> {
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
        if event.payload.len() > MAX_EVENT_LEN {
            self.queue.lag(1);
            return Ok(());
        }
        let key = coalesce.zip(object).map(|(by, object)| Key {
            object,
            event: match by {
                CoalesceKey::Object => None,
                CoalesceKey::ObjectAndEvent => route_of(&event).map(|route| route.id),
            },
        });
        self.queue.push(event, key)
    }
}

fn route_of(event: &EventPacket) -> Option<EventRoute> {
    event::route(event.program, event.procedure)
}

/// The callback ID that an event starts with.
fn callback_of(event: &EventPacket) -> Option<i32> {
    Reader::new(&event.payload).i32().ok()
}
