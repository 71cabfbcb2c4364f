//! Who has to get which event.

use virtwire::fuzzing::{Found, Key, MAX_HELD, MAX_HELD_BYTES};
use virtwire_protocol::event::{Style, route};
use virtwire_protocol::session::EventPacket;

use super::model::Model;
use super::packet;

impl Model {
    pub(super) fn deliver(&mut self, packet: EventPacket) {
        // No connection, no events.
        if self.away {
            return;
        }
        if packet::kind(&packet).is_none() {
            let curious = self.served().filter(|(_, one)| one.wanted.unknown);
            let curious: Vec<_> = curious.map(|(id, _)| id).collect();
            self.expect_by(&curious, &packet);
        }
        self.expect_by_members(packet.clone());
        self.registry.deliver(packet);
    }

    pub(super) fn expect_by_members(&mut self, packet: EventPacket) {
        match self.listeners(&packet) {
            Some(ids) => self.expect_by(&ids, &packet),
            None => self.hold(packet),
        }
    }

    fn expect_by(&mut self, ids: &[u64], packet: &EventPacket) {
        for id in ids {
            let Some(subscribed) = self.subscribed.get_mut(id) else {
                continue;
            };
            if subscribed.wants(packet) && subscribed.stream.event(packet) {
                subscribed.begin();
                self.dismiss(*id, Found::Overflowed);
            }
        }
    }

    /// Who has to get an event, but for those who get whatever is unknown; `None` when nothing is
    /// registered that it may be for.
    fn listeners(&self, packet: &EventPacket) -> Option<Vec<u64>> {
        let keys = self.keys_of(packet);
        if keys.is_empty() {
            return None;
        }
        let known = packet::kind(packet).is_some();
        let listeners = self.served().filter(|(_, one)| {
            let listens = |key: &Key| one.keys.contains(key) && !one.wanted.anchors.contains(key);
            keys.iter().any(listens) && (known || !one.wanted.unknown)
        });
        Some(listeners.map(|(id, _)| id).collect())
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

    /// It may be for a registration under way.
    fn hold(&mut self, packet: EventPacket) {
        let kind = packet::kind(&packet);
        let like = |key: Key| match kind {
            Some(kind) => key.event.class() == kind.class(),
            None => !packet::is_known(key.event),
        };
        if !self.is_registering(like) {
            return;
        }
        let bytes = self.held.bytes() + packet.payload.len();
        if self.held.events.len() == MAX_HELD || bytes > MAX_HELD_BYTES {
            self.held.lost += 1;
        } else {
            self.held.events.push(packet);
        }
    }
}
