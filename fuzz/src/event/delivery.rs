//! Who has to get which event.

use virtwire::fuzzing::{Found, Key, MAX_HELD, MAX_HELD_BYTES};
use virtwire_protocol::event::{Style, route};
use virtwire_protocol::session::EventPacket;

use super::model::{Held, Model};
use super::packet;

impl Model {
    pub(super) fn deliver(&mut self, packet: EventPacket) {
        // No connection, no events.
        if self.away {
            return;
        }
        let recipients = self.recipients(&packet);
        // Unknown ones, which the curious get, may be for somebody else, too.
        let mut hold = self.is_awaited(&packet);
        for id in recipients {
            if self.is_waiting(id) {
                hold = true;
            } else {
                self.expect(id, &packet);
            }
        }
        if hold {
            self.held.push(packet.clone());
        }
        self.registry.deliver(packet);
    }

    /// Everything is registered for somebody, who gets what came meanwhile.
    pub(super) fn catch_up(&mut self, id: u64) {
        let subscribed = self.subscribed.get_mut(&id).expect("it is served");
        if std::mem::take(&mut subscribed.gap) {
            subscribed.stream.gap();
        }
        let (since, lost) = (subscribed.since, subscribed.lost);
        let held = self
            .held
            .events
            .iter()
            .filter(|(number, _)| *number >= since);
        let held: Vec<_> = held.map(|(_, packet)| packet.clone()).collect();
        for packet in held {
            if self.recipients(&packet).contains(&id) {
                self.expect(id, &packet);
            }
        }
        let Some(subscribed) = self.subscribed.get_mut(&id).filter(|one| one.served) else {
            return;
        };
        if self.held.lost > lost {
            subscribed.stream.lose(self.held.lost - lost);
        }
        subscribed.begin();
    }

    /// Whoever waits for nothing more needs nothing of what is held.
    pub(super) fn forget_held(&mut self) {
        let mut events = std::mem::take(&mut self.held.events);
        events.retain(|(number, packet)| {
            let waits = |id: &u64| self.is_waiting(*id) && self.subscribed[id].since <= *number;
            self.is_awaited(packet) || self.recipients(packet).iter().any(waits)
        });
        self.held.events = events;
    }

    fn is_waiting(&self, id: u64) -> bool {
        self.subscribed
            .get(&id)
            .is_some_and(|one| !one.open.is_empty())
    }

    fn expect(&mut self, id: u64, packet: &EventPacket) {
        let Some(subscribed) = self.subscribed.get_mut(&id).filter(|one| one.served) else {
            return;
        };
        if subscribed.wants(packet) && subscribed.stream.event(packet) {
            subscribed.begin();
            self.dismiss(id, Found::Overflowed);
        }
    }

    /// Who has to get an event.
    fn recipients(&self, packet: &EventPacket) -> Vec<u64> {
        let keys = self.keys_of(packet);
        let known = packet::kind(packet).is_some();
        let recipients = self.served().filter(|(_, one)| {
            let listens = |key: &Key| one.keys.contains(key) && !one.wanted.anchors.contains(key);
            keys.iter().any(listens) || (!known && one.wanted.unknown)
        });
        recipients.map(|(id, _)| id).collect()
    }

    fn keys_of(&self, packet: &EventPacket) -> Vec<Key> {
        let granted = self.granted.iter();
        let keys = granted.filter(|(key, callback)| {
            let theirs = key.has_callback() && packet::callback(packet) == Some(**callback);
            match route(packet.program, packet.procedure) {
                Some(route) if route.style == Style::Legacy => {
                    key.event == route.id && !key.has_callback()
                }
                Some(route) => key.event == route.id && theirs,
                None => !packet::is_known(key.event) && theirs,
            }
        });
        keys.map(|(key, _)| *key).collect()
    }

    /// Whether it may be for a registration under way, since it is for none that there is.
    fn is_awaited(&self, packet: &EventPacket) -> bool {
        let kind = packet::kind(packet);
        let like = |key: Key| match kind {
            Some(kind) => key.event.class() == kind.class(),
            None => !packet::is_known(key.event),
        };
        self.keys_of(packet).is_empty() && self.is_registering(like)
    }
}

impl Held {
    fn push(&mut self, packet: EventPacket) {
        let bytes = self.bytes() + packet.payload.len();
        if self.events.len() == MAX_HELD || bytes > MAX_HELD_BYTES {
            self.lost += 1;
        } else {
            self.events.push((self.count, packet));
            self.count += 1;
        }
    }
}
