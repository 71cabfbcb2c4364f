use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;
use virtwire_protocol::constants::{DomainEventId, ErrorCode, ErrorDomain};
use virtwire_protocol::event::{Lifecycle, Message};
use virtwire_protocol::remote::NonnullDomain;

use super::*;
use crate::Uuid;

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What comes out, in a form to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Out {
    Event(u32),
    Lagged(u64),
    Gap,
    Closed,
    Overflowed,
    Refused,
}

use Out::{Closed, Gap, Lagged, Overflowed as OverflowedOut, Refused};

/// An event that is known by its payload.
fn event(number: u32) -> EventPacket {
    let domain = NonnullDomain {
        name: "guest".into(),
        uuid: [7; 16],
        id: 1,
    };
    let lifecycle = Lifecycle::new(virtwire_protocol::constants::DomainEventType::STARTED, 0);
    let kind = virtwire_protocol::event::DomainEventKind::from(lifecycle);
    let mut packet = Message::new(Some(0), domain, kind).encode().unwrap();
    packet.payload = number.to_be_bytes().to_vec().into();
    packet
}

fn key(object: u8) -> Option<Key> {
    Some(Key {
        object: ObjectKey::Domain(Uuid::from([object; 16])),
        event: Some(EventId::Domain(DomainEventId::LIFECYCLE)),
    })
}

fn out(popped: Result<Item, End>) -> Out {
    match popped {
        Ok(Item::Event(packet)) => {
            let number = packet.payload.as_ref().try_into().unwrap();
            Out::Event(u32::from_be_bytes(number))
        }
        Ok(Item::Lagged(missed)) => Lagged(missed),
        Ok(Item::Gap) => Gap,
        Err(End::Closed) => Closed,
        Err(End::Overflowed) => OverflowedOut,
        Err(End::Refused(_)) => Refused,
    }
}

fn pop(receiver: &Receiver) -> Option<Out> {
    receiver.try_pop().map(out)
}

fn poll(receiver: &Receiver, bell: &Arc<Bell>) -> Poll<Out> {
    let waker = Waker::from(Arc::clone(bell));
    receiver.poll_pop(&mut Context::from_waker(&waker)).map(out)
}

/// All that can be read now, the end once.
fn drain(receiver: &Receiver) -> Vec<Out> {
    let mut all = Vec::new();
    while let Some(out) = pop(receiver) {
        let ended = matches!(out, Closed | OverflowedOut | Refused);
        all.push(out);
        if ended {
            break;
        }
    }
    all
}

fn events(numbers: impl IntoIterator<Item = u32>) -> Vec<Out> {
    numbers.into_iter().map(Out::Event).collect()
}

fn push_all(sender: &Sender, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        sender.push(event(number), None).unwrap();
    }
}

fn refusal() -> End {
    let error = RemoteError::new(ErrorCode::NO_SUPPORT, ErrorDomain::RPC, "no");
    End::Refused(Arc::new(error))
}

#[test]
fn events_come_out_in_the_order_they_went_in() {
    let (sender, receiver) = queue(4, Overflow::DropOldest);
    push_all(&sender, 1..=4);
    assert_eq!(drain(&receiver), events(1..=4));
    push_all(&sender, 5..=6);
    assert_eq!(drain(&receiver), events(5..=6));
}

#[test]
fn a_queue_has_room_for_one_event_at_least() {
    let (sender, receiver) = queue(0, Overflow::End);
    push_all(&sender, [1]);
    assert!(sender.push(event(2), None).is_err());
    assert_eq!(drain(&receiver), [Out::Event(1), OverflowedOut]);
}

#[test]
fn oldest_events_give_way_and_are_counted_in_their_place() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    push_all(&sender, 1..=5);
    assert_eq!(drain(&receiver), [Lagged(3), Out::Event(4), Out::Event(5)]);
    push_all(&sender, [6]);
    assert_eq!(drain(&receiver), [Out::Event(6)]);
}

#[test]
fn a_queue_of_one_keeps_the_latest_and_what_it_dropped() {
    let (sender, receiver) = queue(1, Overflow::DropOldest);
    push_all(&sender, [1]);
    sender.gap();
    sender.lag(5);
    push_all(&sender, [2]);
    assert_eq!(drain(&receiver), [Lagged(6), Gap, Out::Event(2)]);
}

#[test]
fn what_is_missing_stands_where_it_is_missing() {
    let (sender, receiver) = queue(4, Overflow::DropOldest);
    push_all(&sender, [1]);
    sender.lag(7);
    push_all(&sender, [2]);
    sender.gap();
    push_all(&sender, [3]);
    sender.lag(1);
    sender.lag(1);
    let all = [
        Out::Event(1),
        Lagged(7),
        Out::Event(2),
        Gap,
        Out::Event(3),
        Lagged(2),
    ];
    assert_eq!(drain(&receiver), all);
}

#[test]
fn a_gap_outlives_the_events_around_it() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    push_all(&sender, 1..=2);
    sender.gap();
    push_all(&sender, 3..=8);
    let all = [Lagged(6), Gap, Out::Event(7), Out::Event(8)];
    assert_eq!(drain(&receiver), all);
}

#[test]
fn a_gap_is_told_once_for_each_stretch_without_events() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    sender.gap();
    sender.gap();
    assert_eq!(drain(&receiver), [Gap]);
    sender.gap();
    assert_eq!(drain(&receiver), [Gap]);
}

#[test]
fn losses_beyond_all_counting_are_counted_as_many() {
    let (sender, receiver) = queue(1, Overflow::DropOldest);
    sender.lag(u64::MAX);
    push_all(&sender, [1]);
    sender.lag(u64::MAX);
    push_all(&sender, [2]);
    assert_eq!(drain(&receiver), [Lagged(u64::MAX), Out::Event(2)]);
}

#[test]
fn the_latest_of_a_key_stands_in_the_place_of_the_older() {
    let (sender, receiver) = queue(4, Overflow::Coalesce(CoalesceKey::Object));
    assert_eq!(sender.coalesce_key(), Some(CoalesceKey::Object));
    for (number, object) in [(1, 1), (2, 2), (3, 1), (4, 3), (5, 2), (6, 1)] {
        sender.push(event(number), key(object)).unwrap();
    }
    assert_eq!(drain(&receiver), events([6, 5, 4]));
}

#[test]
fn an_event_that_was_read_is_not_replaced() {
    let (sender, receiver) = queue(4, Overflow::Coalesce(CoalesceKey::Object));
    sender.push(event(1), key(1)).unwrap();
    sender.push(event(2), key(2)).unwrap();
    assert_eq!(pop(&receiver), Some(Out::Event(1)));
    sender.push(event(3), key(1)).unwrap();
    sender.push(event(4), key(2)).unwrap();
    assert_eq!(drain(&receiver), events([4, 3]));
}

#[test]
fn events_without_a_key_are_not_coalesced() {
    let (sender, receiver) = queue(4, Overflow::Coalesce(CoalesceKey::ObjectAndEvent));
    sender.push(event(1), None).unwrap();
    sender.push(event(2), key(1)).unwrap();
    sender.push(event(3), None).unwrap();
    sender.push(event(4), key(1)).unwrap();
    assert_eq!(drain(&receiver), events([1, 4, 3]));
}

#[test]
fn a_full_queue_of_other_keys_drops_the_oldest() {
    let (sender, receiver) = queue(2, Overflow::Coalesce(CoalesceKey::Object));
    for (number, object) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 1)] {
        sender.push(event(number), key(object)).unwrap();
    }
    assert_eq!(drain(&receiver), [Lagged(2), Out::Event(4), Out::Event(5)]);
}

#[test]
fn other_policies_need_no_keys() {
    for overflow in [Overflow::DropOldest, Overflow::End] {
        assert_eq!(queue(1, overflow).0.coalesce_key(), None);
    }
}

#[test]
fn an_overflow_that_ends_leaves_what_fitted() {
    let (sender, receiver) = queue(2, Overflow::End);
    push_all(&sender, 1..=2);
    assert!(sender.push(event(3), None).is_err());
    drop(sender);
    let all = [Out::Event(1), Out::Event(2), OverflowedOut];
    assert_eq!(drain(&receiver), all);
    assert_eq!(pop(&receiver), Some(OverflowedOut));
}

#[test]
fn room_that_was_made_in_time_is_room() {
    let (sender, receiver) = queue(2, Overflow::End);
    push_all(&sender, 1..=2);
    assert_eq!(pop(&receiver), Some(Out::Event(1)));
    push_all(&sender, [3]);
    assert_eq!(drain(&receiver), events(2..=3));
}

#[test]
fn the_first_end_is_the_end() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    push_all(&sender, [1]);
    sender.gap();
    sender.end(refusal());
    sender.end(End::Closed);
    drop(sender);
    assert_eq!(drain(&receiver), [Out::Event(1), Gap, Refused]);
}

#[test]
fn a_dropped_sender_is_the_end_behind_the_rest() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    push_all(&sender, [1]);
    sender.lag(2);
    drop(sender);
    assert_eq!(drain(&receiver), [Out::Event(1), Lagged(2), Closed]);
    let bell = Arc::default();
    assert_eq!(poll(&receiver, &bell), Poll::Ready(Closed));
}

#[test]
fn a_parked_receiver_is_woken_by_whatever_comes() {
    let whatever: [fn(Sender) -> Option<Sender>; 5] = [
        |sender| {
            sender.push(event(1), None).unwrap();
            Some(sender)
        },
        |sender| {
            sender.lag(1);
            Some(sender)
        },
        |sender| {
            sender.gap();
            Some(sender)
        },
        |sender| {
            sender.end(End::Closed);
            Some(sender)
        },
        |sender| {
            drop(sender);
            None
        },
    ];
    for comes in whatever {
        let (sender, receiver) = queue(2, Overflow::DropOldest);
        let bell = Arc::default();
        assert_eq!(poll(&receiver, &bell), Poll::Pending);
        assert_eq!(bell.rung(), 0);
        let _sender = comes(sender);
        assert_eq!(bell.rung(), 1);
        assert!(poll(&receiver, &bell).is_ready());
    }
}

#[test]
fn an_overflow_wakes_a_receiver_that_was_parked_before() {
    let (sender, receiver) = queue(1, Overflow::End);
    let bell = Arc::default();
    assert_eq!(poll(&receiver, &bell), Poll::Pending);
    push_all(&sender, [1]);
    assert!(sender.push(event(2), None).is_err());
    assert_eq!(bell.rung(), 1);
    assert_eq!(drain(&receiver), [Out::Event(1), OverflowedOut]);
}

#[test]
fn the_last_task_that_polled_is_woken() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    let (first, second) = (Arc::default(), Arc::default());
    assert_eq!(poll(&receiver, &first), Poll::Pending);
    assert_eq!(poll(&receiver, &second), Poll::Pending);
    push_all(&sender, [1]);
    assert_eq!((first.rung(), second.rung()), (0, 1));
}

#[test]
fn a_sender_does_not_mind_a_receiver_that_has_gone() {
    let (sender, receiver) = queue(2, Overflow::DropOldest);
    drop(receiver);
    push_all(&sender, 1..=100);
    assert_eq!(sender.0.state().slots.len(), 2);
}

#[tokio::test]
async fn nothing_is_lost_between_two_tasks() {
    const EVENTS: u32 = 10_000;
    let (sender, receiver) = queue(8, Overflow::DropOldest);
    let writer = tokio::spawn(async move {
        for number in 0..EVENTS {
            push_all(&sender, [number]);
            if number % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let (mut next, mut missed) = (0, 0);
    loop {
        match out(std::future::poll_fn(|context| receiver.poll_pop(context)).await) {
            Out::Event(number) => {
                assert_eq!(number, next);
                next += 1;
            }
            Lagged(count) => {
                missed += count;
                next += u32::try_from(count).unwrap();
            }
            Closed => break,
            other => panic!("{other:?} was not sent"),
        }
    }
    writer.await.unwrap();
    assert_eq!(next, EVENTS);
    assert_eq!(missed, 0);
}

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
