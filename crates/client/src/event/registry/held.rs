//! Events that cannot be handed out yet.

use std::collections::VecDeque;

use virtwire_protocol::session::EventPacket;

use super::Registry;

/// How many events are kept for subscriptions that are not confirmed yet.
pub(super) const MAX_HELD: usize = 1024;

/// How many bytes of them are kept.
pub(super) const MAX_HELD_BYTES: usize = 1 << 20;

/// Events for subscriptions whose registrations are not all answered: the daemon may queue an
/// event before the answer that gives its callback ID. They are handed out in the order in which
/// they came when the last answer is there.
#[derive(Debug, Default)]
pub(super) struct Held {
    events: VecDeque<HeldEvent>,
    bytes: usize,
    now: Moment,
}

/// A place in the order in which events came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    /// How many events were kept before it.
    kept: u64,
    /// How many there was no room for.
    lost: u64,
}

#[derive(Debug)]
struct HeldEvent {
    event: EventPacket,
    /// How many were kept before it.
    number: u64,
}

impl Held {
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    pub(super) fn push(&mut self, event: EventPacket) {
        let bytes = self.bytes + event.payload.len();
        if self.events.len() >= MAX_HELD || bytes > MAX_HELD_BYTES {
            self.now.lost += 1;
            return;
        }
        let number = self.now.kept;
        self.events.push_back(HeldEvent { event, number });
        self.bytes = bytes;
        self.now.kept += 1;
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn since(&self, moment: Moment) -> impl Iterator<Item = &EventPacket> {
        let events = self.events.iter().filter(move |one| one.is_since(moment));
        events.map(|one| &one.event)
    }

    fn lost_since(&self, moment: Moment) -> u64 {
        self.now.lost.saturating_sub(moment.lost)
    }

    fn retain(&mut self, is_needed: impl Fn(&HeldEvent) -> bool) {
        self.events.retain(is_needed);
        self.bytes = self.events.iter().map(|one| one.event.payload.len()).sum();
    }
}

impl HeldEvent {
    fn is_since(&self, moment: Moment) -> bool {
        self.number >= moment.kept
    }
}

impl Registry {
    /// Hands out what came for a subscription since it was asked for, or the connection was open
    /// again, now that all of it is registered. Behind that stands how many events there was no
    /// room for: any of them may have been for it.
    pub(super) fn catch_up(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.tell_gap();
        let ready = subscriber.ready.take();
        let overflowed = self.give_held(id).is_none();
        if let Some(ready) = ready {
            let _ = ready.send(Ok(()));
        }
        if overflowed {
            self.retire(id);
        }
    }

    /// `None` when that was too much for its queue.
    fn give_held(&self, id: u64) -> Option<()> {
        let subscriber = self.subscribers.get(&id)?;
        for event in self.held.since(subscriber.since) {
            let (recipients, _) = self.recipients(event);
            if recipients.contains(&id) {
                subscriber.give(event.clone()).ok()?;
            }
        }
        let lost = self.held.lost_since(subscriber.since);
        if lost > 0 {
            subscriber.queue.lag(lost);
        }
        Some(())
    }

    /// Forgets what nobody waits for any more.
    pub(super) fn forget_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        held.retain(|one| {
            let (recipients, is_awaited) = self.recipients(&one.event);
            let mut subscribers = recipients.iter().filter_map(|id| self.subscribers.get(id));
            is_awaited || subscribers.any(|other| other.waiting > 0 && one.is_since(other.since))
        });
        self.held = held;
    }
}
