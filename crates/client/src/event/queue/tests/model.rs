//! The queue against a model of it.

use proptest::prelude::*;

use super::*;

/// What the two sides of a queue do.
#[derive(Debug, Clone)]
enum Step {
    Push(Option<u8>),
    Lag(u8),
    Gap,
    Refuse,
    Read,
    Drop,
}

/// What went into a queue and was not read: obviously right, and slow.
struct Model {
    overflow: Overflow,
    length: usize,
    entries: Vec<Entry>,
    end: Option<Out>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Event(u32, Option<u8>),
    Lost(u64),
    Gap,
}

impl Model {
    fn events(&self) -> usize {
        let is_event = |entry: &&Entry| matches!(entry, Entry::Event(..));
        self.entries.iter().filter(is_event).count()
    }

    /// Whether it is accepted.
    fn push(&mut self, number: u32, key: Option<u8>) -> bool {
        let same =
            |entry: &Entry| key.is_some() && matches!(entry, Entry::Event(_, k) if *k == key);
        if let Some(place) = self.entries.iter().position(same) {
            self.entries[place] = Entry::Event(number, key);
            return true;
        }
        if self.events() == self.length {
            if self.overflow == Overflow::End {
                self.end = Some(OverflowedOut);
                return false;
            }
            let is_event = |entry: &Entry| matches!(entry, Entry::Event(..));
            let oldest = self.entries.iter().position(is_event).unwrap();
            self.entries[oldest] = Entry::Lost(1);
        }
        self.entries.push(Entry::Event(number, key));
        true
    }

    /// What was lost before the next event is one item, and whether there is a gap another.
    fn read(&mut self) -> Option<Out> {
        let is_event = |entry: &Entry| matches!(entry, Entry::Event(..));
        let next = self.entries.iter().position(is_event);
        let mut before: Vec<_> = self
            .entries
            .drain(..next.unwrap_or(self.entries.len()))
            .collect();
        let lost = |entry: &Entry| match entry {
            Entry::Lost(count) => *count,
            _ => 0,
        };
        let lagged = before.iter().map(lost).sum();
        if lagged > 0 {
            before.retain(|entry| *entry == Entry::Gap);
            self.entries.splice(..0, before);
            return Some(Lagged(lagged));
        }
        if before.contains(&Entry::Gap) {
            return Some(Gap);
        }
        match next.map(|_| self.entries.remove(0)) {
            Some(Entry::Event(number, _)) => Some(Out::Event(number)),
            _ => self.end.clone(),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::option::of(0..5u8).prop_map(Step::Push),
        1 => (1..4u8).prop_map(Step::Lag),
        1 => Just(Step::Gap),
        5 => Just(Step::Read),
        1 => prop_oneof![Just(Step::Refuse), Just(Step::Drop)],
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropOldest),
        Just(Overflow::Coalesce(CoalesceKey::Object)),
        Just(Overflow::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What comes out is what the model says, in the same order and the same place; a receiver
    /// that was told to wait is woken by the next thing that comes; the length is kept.
    #[test]
    fn a_queue_does_what_the_model_does(
        overflow in overflow(),
        length in 1..6usize,
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let (sender, receiver) = queue(length, overflow);
        let mut sender = Some(sender);
        let mut model = Model { overflow, length, entries: Vec::new(), end: None };
        let bell: Arc<Bell> = Arc::default();
        let mut parked = None;
        for (number, step) in (0..).zip(steps) {
            match (&step, &sender) {
                (Step::Push(object), Some(queue)) => {
                    let object = object.filter(|_| queue.coalesce_key().is_some());
                    let accepted = queue.push(event(number), object.and_then(key)).is_ok();
                    prop_assert_eq!(accepted, model.push(number, object));
                    if !accepted {
                        sender = None;
                    }
                }
                (Step::Lag(count), Some(queue)) => {
                    queue.lag(u64::from(*count));
                    model.entries.push(Entry::Lost(u64::from(*count)));
                }
                (Step::Gap, Some(queue)) => {
                    queue.gap();
                    model.entries.push(Entry::Gap);
                }
                (Step::Refuse, Some(queue)) => {
                    queue.end(refusal());
                    model.end = Some(Refused);
                    sender = None;
                }
                (Step::Drop, Some(_)) => {
                    model.end = Some(Closed);
                    sender = None;
                }
                _ => {}
            }
            prop_assert!(model.events() <= length);
            prop_assert_eq!(receiver.len(), model.events());
            let state = receiver.0.state();
            let keyed = state.slots.iter().filter(|slot| slot.key.is_some()).count();
            prop_assert_eq!(state.places.len(), keyed);
            drop(state);
            if let Some(rung) = parked {
                let something = !model.entries.is_empty() || model.end.is_some();
                prop_assert_eq!(bell.rung() > rung, something);
            }
            if let Step::Read = step {
                let popped = poll(&receiver, &bell);
                parked = popped.is_pending().then(|| bell.rung());
                prop_assert_eq!(popped, model.read().map_or(Poll::Pending, Poll::Ready));
            }
        }
        drop(sender);
        model.end.get_or_insert(Closed);
        let rest = std::iter::from_fn(|| model.read());
        let rest: Vec<_> = rest.take_while(|out| !matches!(out, Closed | OverflowedOut | Refused)).collect();
        let mut read = drain(&receiver);
        prop_assert_eq!(read.pop(), model.end);
        prop_assert_eq!(read, rest);
    }
}
