//! Events that come before the answer that says whose they are.

use super::*;

#[test]
fn event_before_the_answer_to_its_registration_is_delivered_after_it() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let listener = subscribe(&mut registry, 1, [key.clone()]);
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deliver(event(LIFECYCLE, 6, 2));
    registry.deliver(event(LIFECYCLE, 5, 3));
    assert_eq!(listener.seen(), []);
    registry.registered(key, Ok(5));
    registry.deliver(event(LIFECYCLE, 5, 4));
    assert_eq!(listener.seen(), [Event(1), Event(3), Event(4)]);
    assert_eq!(registry.held.len(), 0);
}

#[test]
fn events_of_two_registrations_under_way_wait_each_for_its_own() {
    let mut registry = Registry::default();
    let first = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    let second = subscribe(&mut registry, 2, [of_all(REBOOT)]);
    let other = subscribe(&mut registry, 3, [of_all(NETWORK)]);
    registry.deliver(event(REBOOT, 6, 1));
    registry.deliver(event(LIFECYCLE, 5, 2));
    registry.deliver(event(NETWORK, 5, 3));
    registry.registered(of_all(LIFECYCLE), Ok(5));
    assert_eq!((first.seen(), second.seen()), (vec![Event(2)], vec![]));
    registry.registered(of_all(NETWORK), Ok(5));
    assert_eq!(other.seen(), [Event(3)]);
    registry.registered(of_all(REBOOT), Ok(6));
    assert_eq!((first.seen(), second.seen()), (vec![], vec![Event(1)]));
    assert_eq!(registry.held.bytes(), 0);
}

#[test]
fn events_of_several_registrations_keep_their_order() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let listener = subscribe(&mut registry, 1, keys);
    registry.registered(of_all(LIFECYCLE), Ok(1));
    registry.deliver(event(REBOOT, 2, 1));
    registry.deliver(event(LIFECYCLE, 1, 2));
    assert_eq!(listener.seen(), []);
    registry.registered(of_all(REBOOT), Ok(2));
    registry.deliver(event(LIFECYCLE, 1, 3));
    assert_eq!(listener.seen(), [Event(1), Event(2), Event(3)]);
    assert_eq!(registry.held.len(), 0);
}

#[test]
fn events_wait_for_no_one_but_those_who_wait() {
    let mut registry = Registry::default();
    let ready = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    let waiting = subscribe(&mut registry, 2, [of_all(REBOOT), of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 1, 1));
    assert_eq!(ready.seen(), [Event(1)]);
    assert_eq!(waiting.seen(), []);
    registry.registered(of_all(REBOOT), Ok(2));
    assert_eq!(waiting.seen(), [Event(1)]);
    assert_eq!(ready.seen(), []);
}

#[test]
fn what_came_before_a_subscription_is_not_for_it() {
    let mut registry = Registry::default();
    let first = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 1, 1));
    let second = subscribe(&mut registry, 2, [of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 1, 2));
    registry.registered(of_all(LIFECYCLE), Ok(1));
    assert_eq!(first.seen(), [Event(1), Event(2)]);
    assert_eq!(second.seen(), [Event(2)]);
}

#[test]
fn what_was_lost_before_a_subscription_is_not_for_it() {
    let mut registry = Registry::default();
    let first = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    for _ in 0..=MAX_HELD {
        registry.deliver(event(LIFECYCLE, 9, 1));
    }
    let second = subscribe(&mut registry, 2, [of_all(LIFECYCLE)]);
    registry.registered(of_all(LIFECYCLE), Ok(1));
    assert_eq!(first.seen(), [Lagged(1)]);
    assert_eq!(second.seen(), []);
}

#[test]
fn events_are_held_while_a_registration_ends_that_is_to_be_made_again() {
    let mut registry = Registry::default();
    drop(subscribed(&mut registry, 1, &of_all(REBOOT), 1));
    let other = subscribed(&mut registry, 2, &of_all(LIFECYCLE), 2);
    registry.unsubscribe(1, None);
    let listener = subscribe(&mut registry, 3, [of_all(LIFECYCLE), of_all(REBOOT)]);
    registry.deliver(event(LIFECYCLE, 2, 1));
    registry.deregistered(of_all(REBOOT));
    registry.deliver(event(REBOOT, 3, 2));
    registry.deliver(event(LIFECYCLE, 2, 3));
    registry.registered(of_all(REBOOT), Ok(3));
    assert_eq!(listener.seen(), [Event(1), Event(2), Event(3)]);
    assert_eq!(other.seen(), [Event(1), Event(3)]);
}

#[test]
fn nothing_is_held_for_those_who_have_gone() {
    let mut registry = Registry::default();
    let ready = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    let _gone = subscribe(&mut registry, 2, [of_all(LIFECYCLE), of_all(REBOOT)]);
    registry.deliver(event(LIFECYCLE, 1, 1));
    registry.deliver(event(REBOOT, 2, 2));
    assert_eq!(registry.held.len(), 2);
    registry.unsubscribe(2, None);
    assert_eq!((registry.held.len(), registry.held.bytes()), (0, 0));
    registry.deliver(event(REBOOT, 2, 3));
    assert_eq!(registry.held.len(), 0);
    assert_eq!(ready.seen(), [Event(1)]);
}

#[test]
fn event_of_a_dead_callback_is_not_held_when_no_answer_is_awaited() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 5);
    registry.deliver(event(LIFECYCLE, 6, 1));
    assert_eq!(registry.held.len(), 0);
    let other = subscribed(&mut registry, 2, &of_all(REBOOT), 6);
    assert_eq!((listener.seen(), other.seen()), (vec![], vec![]));
}

#[test]
fn only_events_of_a_class_under_way_are_held() {
    let mut registry = Registry::default();
    let _listener = subscribe(&mut registry, 1, [of_all(NETWORK)]);
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deliver(event(EventId::QemuMonitor, 5, 1));
    registry.deliver(event(NEWER, 5, 1));
    assert_eq!(registry.held.len(), 0);
    registry.deliver(event(NETWORK, 5, 1));
    assert_eq!(registry.held.len(), 1);
}

#[test]
fn what_is_held_is_forgotten_when_a_registration_was_refused() {
    let mut registry = Registry::default();
    let _listener = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    assert_eq!(registry.held.len(), 0);
    assert_eq!(registry.held.bytes(), 0);
}

#[test]
fn held_events_are_bounded_in_number_and_the_rest_is_missing_behind_them() {
    let mut registry = Registry::default();
    let mut wanted = Wanted::new([of_all(LIFECYCLE)]);
    wanted.length = 2 * MAX_HELD;
    let listener = wanted.subscribe(&mut registry, 1);
    let held = u32::try_from(MAX_HELD).unwrap();
    for number in 0..held + 7 {
        registry.deliver(event(LIFECYCLE, 5, number));
    }
    assert_eq!(registry.held.len(), MAX_HELD);
    registry.registered(of_all(LIFECYCLE), Ok(5));
    registry.deliver(event(LIFECYCLE, 5, 9999));
    let seen = listener.seen();
    let (kept, rest) = seen.split_at(MAX_HELD);
    assert!(kept.iter().copied().eq((0..held).map(Event)));
    assert_eq!(rest, [Lagged(7), Event(9999)]);
}

#[test]
fn held_events_are_bounded_in_bytes() {
    let mut registry = Registry::default();
    let mut wanted = Wanted::new([of_all(LIFECYCLE)]);
    wanted.length = MAX_HELD;
    let listener = wanted.subscribe(&mut registry, 1);
    let fitting = u32::try_from(MAX_HELD_BYTES / MAX_EVENT_LEN).unwrap();
    for number in 0..fitting + 3 {
        registry.deliver(padded(event(LIFECYCLE, 5, number), MAX_EVENT_LEN));
    }
    assert_eq!(registry.held.bytes(), MAX_HELD_BYTES);
    registry.registered(of_all(LIFECYCLE), Ok(5));
    let mut expected: Vec<_> = (0..fitting).map(Event).collect();
    expected.push(Lagged(3));
    assert_eq!(listener.seen(), expected);
    assert_eq!(registry.held.bytes(), 0);
}

#[test]
fn those_who_are_ready_are_not_told_of_what_was_lost_for_others() {
    let mut registry = Registry::default();
    let ready = subscribed(&mut registry, 1, &of_all(REBOOT), 1);
    let first = subscribe(&mut registry, 2, [of_domain(LIFECYCLE, 1)]);
    let second = subscribe(&mut registry, 3, [of_domain(LIFECYCLE, 2)]);
    for number in 0..MAX_HELD + 1 {
        registry.deliver(event(LIFECYCLE, 9, u32::try_from(number).unwrap()));
    }
    // It may have been for either.
    registry.registered(of_domain(LIFECYCLE, 1), Ok(2));
    registry.registered(of_domain(LIFECYCLE, 2), Ok(3));
    assert_eq!(first.seen(), [Lagged(1)]);
    assert_eq!(second.seen(), [Lagged(1)]);
    assert_eq!(ready.seen(), []);
    // Nothing is left of it.
    let third = subscribed(&mut registry, 4, &of_domain(LIFECYCLE, 3), 4);
    assert_eq!(third.seen(), []);
}

#[test]
fn what_was_lost_is_told_once_behind_all_that_was_held() {
    let mut registry = Registry::default();
    let mut wanted = anchored(of_all(LIFECYCLE));
    wanted.keys.push(of_all(REBOOT));
    let mut listener = wanted.subscribe(&mut registry, 1);
    registry.deliver(event(REBOOT, 2, 1));
    for _ in 0..MAX_HELD {
        registry.deliver(event(LIFECYCLE, 9, 2));
    }
    for (callback, key) in [(0, anchor(EventClass::Domain)), (1, of_all(LIFECYCLE))] {
        registry.registered(key, Ok(callback));
        assert_eq!((listener.seen(), listener.ready()), (vec![], Ready::NotYet));
    }
    registry.registered(of_all(REBOOT), Ok(2));
    assert!(listener.is_ready());
    assert_eq!(listener.seen(), [Event(1), Lagged(1)]);
}

#[test]
fn held_events_beyond_a_subscribers_room_are_missing_as_any_others() {
    let mut registry = Registry::default();
    let listener = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    for number in 1..=6 {
        registry.deliver(event(LIFECYCLE, 5, number));
    }
    registry.registered(of_all(LIFECYCLE), Ok(5));
    let latest = (3..=6).map(Event);
    assert!(
        listener
            .seen()
            .into_iter()
            .eq([Lagged(2)].into_iter().chain(latest))
    );
}

#[test]
fn oversized_event_is_missing_and_never_kept() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 5);
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deliver(padded(event(LIFECYCLE, 5, 2), MAX_EVENT_LEN + 4));
    registry.deliver(padded(event(LIFECYCLE, 5, 3), MAX_EVENT_LEN));
    assert_eq!(listener.seen(), [Event(1), Lagged(1), Event(3)]);
}

#[test]
fn oversized_event_that_was_held_is_missing_too() {
    let mut registry = Registry::default();
    let listener = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    registry.deliver(padded(event(LIFECYCLE, 5, 1), MAX_EVENT_LEN + 4));
    registry.deliver(padded(event(LIFECYCLE, 5, 2), MAX_HELD_BYTES + 4));
    registry.deliver(event(LIFECYCLE, 5, 3));
    registry.registered(of_all(LIFECYCLE), Ok(5));
    assert_eq!(listener.seen(), [Lagged(1), Event(3), Lagged(1)]);
}

#[test]
fn event_too_short_for_a_callback_id_is_nobodys() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    for procedure in [event(LIFECYCLE, 0, 0).procedure, i32::MAX] {
        let mut packet = event(LIFECYCLE, 0, 0);
        packet.procedure = procedure;
        packet.payload = Bytes::from_static(&[0, 0, 0]);
        registry.deliver(packet);
    }
    assert_eq!(listener.seen(), []);
    assert_eq!(registry.held.len(), 0);
}
