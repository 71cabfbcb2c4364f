//! The bounded queue between the driver and one subscriber.
//!
//! The driver never waits: what does not fit is dealt with as the subscriber wished, and the
//! subscriber is told in the place where events are missing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use virtwire_protocol::RemoteError;
use virtwire_protocol::event::EventId;
use virtwire_protocol::session::EventPacket;

use super::registration::ObjectKey;
use crate::Error;

/// What becomes of events that a subscriber is too slow for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest event that waits is dropped for the new one, and
    /// [`Lagged`](super::EventError::Lagged) stands in its place. For those who need the latest,
    /// and can look up the rest.
    #[default]
    DropOldest,
    /// While an event waits, a newer one of the same key takes its place: for those who look at
    /// what an event is about and not at the event. An event that finds the queue full of other
    /// keys drops the oldest, as [`DropOldest`](Self::DropOldest) does.
    Coalesce(CoalesceKey),
    /// The stream ends with [`Overflowed`](super::EventError::Overflowed) behind the events that
    /// fitted: for those who must not miss any.
    End,
}

/// Which events are alike enough that the latest will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CoalesceKey {
    /// Those about the same domain, network, ….
    Object,
    /// Those of the same event ID about the same object.
    ObjectAndEvent,
}

/// What events have in common whose latest will do. One that is not known to be about anything
/// has nothing in common with others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) object: ObjectKey,
    pub(crate) event: Option<EventId>,
}

/// What a subscriber finds in its queue.
#[derive(Debug)]
pub(crate) enum Item {
    Event(EventPacket),
    /// So many events were dropped here.
    Lagged(u64),
    /// The connection was lost and opened again here.
    Gap,
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// The connection is closed, or its driver is gone.
    Closed,
    /// The queue was full, and that was to be the end.
    Overflowed,
    /// The daemon refused to register the events again after the connection was lost.
    Refused(Arc<RemoteError>),
    /// What the daemon answered to that is of no use.
    Failed(Arc<Error>),
}

/// An event that the daemon does not have, and what it says of that.
pub(crate) type Refused = (EventId, Arc<RemoteError>);

/// The driver's side. Dropping it ends the queue.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Shared>);

/// The subscriber's side.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    overflow: Overflow,
    /// How many events fit, at least one.
    length: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: VecDeque<Slot>,
    /// The number of the first slot, counted from the beginning.
    first: u64,
    /// The numbers of the slots by their keys, where events are coalesced.
    places: HashMap<Key, u64>,
    /// What is missing behind the last slot.
    missing: Missing,
    /// What the subscriber does without.
    refused: Vec<Refused>,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Slot {
    /// What is missing before this event.
    missing: Missing,
    event: EventPacket,
    key: Option<Key>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Missing {
    lagged: u64,
    gap: bool,
}

/// Makes a queue for `length` events, at least one.
pub(crate) fn queue(length: usize, overflow: Overflow) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        overflow,
        length: length.max(1),
        state: Mutex::default(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The queue is full, and that is its end.
#[derive(Debug)]
pub(crate) struct Overflowed;

impl Sender {
    /// The key to push an event with, if events are coalesced.
    pub(crate) fn coalesce_key(&self) -> Option<CoalesceKey> {
        match self.0.overflow {
            Overflow::Coalesce(key) => Some(key),
            _ => None,
        }
    }

    /// Adds an event.
    pub(crate) fn push(&self, event: EventPacket, key: Option<Key>) -> Result<(), Overflowed> {
        let mut state = self.0.state();
        if state.replace(&event, key.as_ref()) {
            return Ok(());
        }
        if state.slots.len() >= self.0.length {
            if self.0.overflow == Overflow::End {
                state.end = Some(End::Overflowed);
                wake(state);
                return Err(Overflowed);
            }
            state.drop_oldest();
        }
        state.append(event, key);
        wake(state);
        Ok(())
    }

    /// Says that events are missing here.
    pub(crate) fn lag(&self, missed: u64) {
        let mut state = self.0.state();
        state.missing.lagged = state.missing.lagged.saturating_add(missed);
        wake(state);
    }

    /// Says that the connection was lost and opened again.
    pub(crate) fn gap(&self) {
        let mut state = self.0.state();
        state.missing.gap = true;
        wake(state);
    }

    /// Says that such events do not come, and why.
    pub(crate) fn refuse(&self, event: EventId, error: Arc<RemoteError>) {
        self.0.state().refused.push((event, error));
    }

    /// Ends the queue; what is in it can still be read.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.0.state();
        state.end.get_or_insert(end);
        wake(state);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end(End::Closed);
    }
}

impl Receiver {
    /// The next item, or the end when all are read.
    pub(crate) fn poll_pop(&self, context: &mut Context<'_>) -> Poll<Result<Item, End>> {
        let mut state = self.0.state();
        if let Some(item) = state.pop() {
            return Poll::Ready(Ok(item));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The next item that is there now; `None` at the end, too.
    pub(crate) fn try_pop(&self) -> Option<Result<Item, End>> {
        let mut state = self.0.state();
        let item = state.pop().map(Ok);
        item.or_else(|| state.end.clone().map(Err))
    }

    /// The events that do not come.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        self.0.state().refused.clone()
    }

    /// How many events wait.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.0.state().slots.len()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts the event in the place of an older one of its key, if one waits.
    fn replace(&mut self, event: &EventPacket, key: Option<&Key>) -> bool {
        let place = key.and_then(|key| self.places.get(key));
        let slot = place.and_then(|number| {
            let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
            self.slots.get_mut(index)
        });
        slot.map(|slot| slot.event = event.clone()).is_some()
    }

    fn append(&mut self, event: EventPacket, key: Option<Key>) {
        if let Some(key) = &key {
            let number = self.first + self.slots.len() as u64;
            self.places.insert(key.clone(), number);
        }
        self.slots.push_back(Slot {
            missing: std::mem::take(&mut self.missing),
            event,
            key,
        });
    }

    fn remove_first(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.first += 1;
        if let Some(key) = &slot.key {
            self.places.remove(key);
        }
        Some(slot)
    }

    fn drop_oldest(&mut self) {
        if let Some(slot) = self.remove_first() {
            let next = self.slots.front_mut();
            let missing = next.map_or(&mut self.missing, |slot| &mut slot.missing);
            let dropped = slot.missing.lagged.saturating_add(1);
            missing.lagged = missing.lagged.saturating_add(dropped);
            missing.gap |= slot.missing.gap;
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let front = self.slots.front_mut();
        let missing = front.map_or(&mut self.missing, |slot| &mut slot.missing);
        if missing.lagged > 0 {
            return Some(Item::Lagged(std::mem::take(&mut missing.lagged)));
        }
        if std::mem::take(&mut missing.gap) {
            return Some(Item::Gap);
        }
        self.remove_first().map(|slot| Item::Event(slot.event))
    }
}

/// Wakes the subscriber once the queue is free again.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
