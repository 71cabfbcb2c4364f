//! A subscriber, and what it has to get.

use std::collections::BTreeSet;

use virtwire::event::{EventClass, EventId};
use virtwire::fuzzing::{Beginning, Found, Key, Subscriber, Wanted};
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
    /// The number of the first event that is for it.
    pub(super) since: u64,
    /// How many events there was no room for before that.
    pub(super) lost: u64,
    /// Whether the connection was lost, which it has to be told yet.
    pub(super) gap: bool,
    /// Whether the registry remembers that it was dismissed.
    pub(super) retired: bool,
    /// What it had when it was dismissed.
    pub(super) dismissed: BTreeSet<Key>,
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
            since: 0,
            lost: 0,
            gap: false,
            retired: false,
            dismissed: BTreeSet::new(),
            beginning: None,
            begun: false,
            served: true,
        }
    }

    pub(super) fn begin(&mut self) {
        let refused = &self.refused;
        self.beginning
            .get_or_insert_with(|| Beginning::Ready(refused.clone()));
    }

    /// Whether an event is not about another object than the only one.
    pub(super) fn wants(&self, packet: &EventPacket) -> bool {
        let Some(number) = self.wanted.only else {
            return true;
        };
        let only = (EventClass::Domain, vec![number; 16]);
        packet::object(packet).is_none_or(|object| object == only)
    }

    pub(super) fn check(&mut self) {
        assert_eq!(self.handle.waiting(), self.stream.waiting());
        assert!(self.handle.waiting() <= self.wanted.room);
        assert_eq!(self.handle.refused(), self.refused);
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
