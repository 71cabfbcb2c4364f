//! What a subscriber has to find in its queue: obviously right, and slow.

use virtwire::event::{CoalesceKey, EventId, Overflow};
use virtwire::fuzzing::{Found, MAX_EVENT_LEN};
use virtwire_protocol::session::EventPacket;

use super::packet::{self, Object};

/// Everything that happened to a queue and was not read yet.
#[derive(Debug)]
pub(super) struct Stream {
    overflow: Overflow,
    room: usize,
    entries: Vec<Entry>,
    end: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Event(EventPacket, Option<Alike>),
    Lost(u64),
    Gap,
}

/// What events have in common of which the latest will do.
type Alike = (Object, Option<EventId>);

impl Stream {
    pub(super) fn new(room: usize, overflow: Overflow) -> Self {
        Self {
            overflow,
            room: room.max(1),
            entries: Vec::new(),
            end: None,
        }
    }

    /// An event comes. Whether that was the end.
    pub(super) fn event(&mut self, event: &EventPacket) -> bool {
        if event.payload.len() > MAX_EVENT_LEN {
            self.lose(1);
            return false;
        }
        let alike = self.alike(event);
        let entry = Entry::Event(event.clone(), alike.clone());
        let is_alike = |entry: &Entry| match entry {
            Entry::Event(_, other) => alike.is_some() && *other == alike,
            _ => false,
        };
        if let Some(older) = self.entries.iter_mut().find(|entry| is_alike(entry)) {
            *older = entry;
            return false;
        }
        if self.waiting() == self.room {
            if self.overflow == Overflow::End {
                self.end(Found::Overflowed);
                return true;
            }
            if let Some(oldest) = self.entries.iter_mut().find(|entry| entry.is_event()) {
                *oldest = Entry::Lost(1);
            }
        }
        self.entries.push(entry);
        false
    }

    /// So many events are missing here.
    pub(super) fn lose(&mut self, count: u64) {
        self.entries.push(Entry::Lost(count));
    }

    /// The connection was lost here.
    pub(super) fn gap(&mut self) {
        self.entries.push(Entry::Gap);
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, end: Found) {
        self.end.get_or_insert(end);
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_event()).count()
    }

    /// What is found next. All that is missing before an event is found at once.
    pub(super) fn next_found(&mut self) -> Option<Found> {
        let next = self.entries.iter().position(Entry::is_event);
        let next = next.unwrap_or(self.entries.len());
        let mut missing: Vec<_> = self.entries.drain(..next).collect();
        let lost = |entry: &Entry| match entry {
            Entry::Lost(count) => *count,
            _ => 0,
        };
        let lagged = missing.iter().map(lost).sum();
        if lagged > 0 {
            missing.retain(|entry| *entry == Entry::Gap);
            self.entries.splice(..0, missing);
            return Some(Found::Lagged(lagged));
        }
        if !missing.is_empty() {
            return Some(Found::Gap);
        }
        if self.entries.is_empty() {
            return self.end.clone();
        }
        match self.entries.remove(0) {
            Entry::Event(event, _) => Some(Found::Event(event)),
            _ => None,
        }
    }

    fn alike(&self, event: &EventPacket) -> Option<Alike> {
        let Overflow::Coalesce(by) = self.overflow else {
            return None;
        };
        let kind = packet::kind(event).filter(|_| by == CoalesceKey::ObjectAndEvent);
        packet::object(event).map(|object| (object, kind))
    }
}

impl Entry {
    fn is_event(&self) -> bool {
        matches!(self, Self::Event(..))
    }
}
