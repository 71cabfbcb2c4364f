//! A subscriber, and what it has to get.

use std::collections::BTreeSet;

use virtwire::event::{EventClass, EventId};
use virtwire::fuzzing::{Beginning, Found, Key, MAX_EVENT_LEN, Subscriber, Wanted};
use virtwire_protocol::session::EventPacket;

use super::packet;
use super::stream::Stream;

/// A subscriber and what it has to get.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) handle: Subscriber,
    pub(super) wanted: Wanted,
    pub(super) stream: Stream,
    /// What it wants and was not refused.
    pub(super) keys: BTreeSet<Key>,
    /// Those that the daemon has not answered yet.
    pub(super) open: BTreeSet<Key>,
    pub(super) refused: Vec<EventId>,
    pub(super) beginning: Option<Beginning>,
    /// Whether the beginning was heard of.
    begun: bool,
    /// Whether the registry still serves it.
    pub(super) served: bool,
}

impl Subscribed {
    pub(super) fn new(handle: Subscriber, wanted: Wanted, granted: impl Fn(&Key) -> bool) -> Self {
        let keys: BTreeSet<_> = wanted.keys.iter().chain(&wanted.anchors).copied().collect();
        Self {
            handle,
            stream: Stream::new(wanted.room, wanted.overflow),
            open: keys.iter().copied().filter(|key| !granted(key)).collect(),
            wanted,
            keys,
            refused: Vec::new(),
            beginning: None,
            begun: false,
            served: true,
        }
    }

    pub(super) fn begin(&mut self) {
        let refused = &self.refused;
        let ready = || Beginning::Ready(refused.clone());
        self.beginning.get_or_insert_with(ready);
    }

    /// Whether an event is not about another object than the only one.
    pub(super) fn wants(&self, packet: &EventPacket) -> bool {
        let Some(number) = self.wanted.only else {
            return true;
        };
        let too_long = packet.payload.len() > MAX_EVENT_LEN;
        let only = (EventClass::Domain, vec![number; 16]);
        too_long || packet::object(packet).is_none_or(|object| object == only)
    }

    pub(super) fn check(&mut self) {
        assert_eq!(self.handle.waiting(), self.stream.waiting());
        assert!(self.handle.waiting() <= self.wanted.room);
        if let Some(beginning) = self.handle.take_beginning() {
            assert_eq!(Some(&beginning), self.beginning.as_ref());
            assert!(!std::mem::replace(&mut self.begun, true));
        }
        assert_eq!(self.begun, self.beginning.is_some(), "of {:?}", self.open);
    }
}

impl Stream {
    /// Reads to the end, which is returned.
    pub(super) fn drain(&mut self, handle: &mut Subscriber) -> Option<Found> {
        loop {
            let found = handle.next_found();
            assert_eq!(found, self.next_found());
            match found {
                Some(Found::Event(_) | Found::Lagged(_) | Found::Gap) => {}
                end => return end,
            }
        }
    }
}
