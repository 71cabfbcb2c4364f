mod model;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

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
    Failed,
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
        Err(End::Failed(_)) => Out::Failed,
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
        let ended = matches!(out, Closed | OverflowedOut | Refused | Out::Failed);
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
