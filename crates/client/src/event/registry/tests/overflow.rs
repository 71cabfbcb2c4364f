//! What the policies of the queues mean to the registry.

use super::*;

fn wanted(key: &RegistrationKey, overflow: Overflow) -> Wanted {
    Wanted {
        length: 2,
        overflow,
        ..Wanted::new([key.clone()])
    }
}

fn coalesce(key: CoalesceKey) -> Overflow {
    Overflow::Coalesce(key)
}

#[test]
fn a_slow_subscriber_is_told_and_the_others_see_everything() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let slow = wanted(&key, Overflow::DropOldest).subscribe(&mut registry, 1);
    let fast = wanted(&key, Overflow::DropOldest).subscribe(&mut registry, 2);
    registry.registered(key, Ok(0));
    for number in 1..=5 {
        registry.deliver(event(LIFECYCLE, 0, number));
        assert_eq!(fast.seen(), [Event(number)]);
    }
    assert_eq!(slow.seen(), [Lagged(3), Event(4), Event(5)]);
}

#[test]
fn overflow_that_ends_unsubscribes() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut listener = wanted(&key, Overflow::End).subscribe(&mut registry, 1);
    registry.registered(key.clone(), Ok(0));
    assert!(listener.is_ready());
    for number in 1..=5 {
        registry.deliver(event(LIFECYCLE, 0, number));
    }
    assert_eq!(listener.seen(), [Event(1), Event(2), Seen::Overflowed]);
    assert_eq!(
        calls(&mut registry),
        [Register(key.clone()), Deregister(key.clone())]
    );
    registry.deregistered(key);
    assert_empty(&registry);
}

#[test]
fn overflow_that_ends_leaves_those_who_share_alone() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let ending = wanted(&key, Overflow::End).subscribe(&mut registry, 1);
    let other = wanted(&key, Overflow::DropOldest).subscribe(&mut registry, 2);
    registry.registered(key, Ok(0));
    calls(&mut registry);
    for number in 1..=3 {
        registry.deliver(event(LIFECYCLE, 0, number));
    }
    assert_eq!(ending.seen(), [Event(1), Event(2), Seen::Overflowed]);
    assert_eq!(other.seen(), [Lagged(1), Event(2), Event(3)]);
    assert_eq!(calls(&mut registry), []);
}

#[test]
fn overflow_by_held_events_ends_a_subscription_that_has_begun() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut listener = wanted(&key, Overflow::End).subscribe(&mut registry, 1);
    for number in 1..=3 {
        registry.deliver(event(LIFECYCLE, 0, number));
    }
    registry.registered(key.clone(), Ok(0));
    assert!(listener.is_ready());
    assert_eq!(listener.seen(), [Event(1), Event(2), Seen::Overflowed]);
    assert_eq!(
        calls(&mut registry),
        [Register(key.clone()), Deregister(key)]
    );
}

/// Whoever waits for the subscription gets a stream, and finds its end there.
#[test]
fn overflow_before_all_is_registered_is_no_failure_to_subscribe() {
    let mut registry = Registry::default();
    let mut wanted = wanted(&of_all(LIFECYCLE), Overflow::End);
    wanted.keys.push(of_all(REBOOT));
    let mut listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    for number in 1..=3 {
        registry.deliver(event(LIFECYCLE, 0, number));
    }
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(of_all(REBOOT), Ok(1));
    assert!(listener.is_ready());
    assert_eq!(listener.seen(), [Event(1), Event(2), Seen::Overflowed]);
    registry.deregistered(of_all(LIFECYCLE));
    registry.deregistered(of_all(REBOOT));
    calls(&mut registry);
    assert_empty(&registry);
}

#[test]
fn events_about_one_object_are_coalesced() {
    let mut registry = Registry::default();
    let mut wanted = wanted(&of_all(LIFECYCLE), coalesce(CoalesceKey::Object));
    wanted.keys.push(of_all(REBOOT));
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    registry.deliver(event_about(LIFECYCLE, 0, 1, 1));
    registry.deliver(event_about(LIFECYCLE, 0, 2, 2));
    registry.deliver(event_about(REBOOT, 1, 1, 3));
    registry.deliver(event_about(LIFECYCLE, 0, 2, 4));
    assert_eq!(listener.seen(), [Event(3), Event(4)]);
}

#[test]
fn events_about_one_object_and_of_one_kind_are_coalesced() {
    let mut registry = Registry::default();
    let mut wanted = wanted(&of_all(LIFECYCLE), coalesce(CoalesceKey::ObjectAndEvent));
    wanted.keys.push(of_all(REBOOT));
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    registry.deliver(event(LIFECYCLE, 0, 1));
    registry.deliver(event(REBOOT, 1, 2));
    registry.deliver(event(LIFECYCLE, 0, 3));
    registry.deliver(event(REBOOT, 1, 4));
    assert_eq!(listener.seen(), [Event(3), Event(4)]);
}

#[test]
fn a_domain_and_a_network_of_one_uuid_are_two_objects() {
    let mut registry = Registry::default();
    let mut wanted = wanted(&of_all(LIFECYCLE), coalesce(CoalesceKey::Object));
    wanted.keys.push(of_all(NETWORK));
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(NETWORK), Ok(0));
    registry.deliver(event(LIFECYCLE, 0, 1));
    registry.deliver(event(NETWORK, 0, 2));
    assert_eq!(listener.seen(), [Event(1), Event(2)]);
}

#[test]
fn events_of_a_domain_and_of_its_monitor_are_about_one_object() {
    let mut registry = Registry::default();
    let mut wanted = wanted(&of_all(LIFECYCLE), coalesce(CoalesceKey::Object));
    wanted.keys.push(of_all(EventId::QemuMonitor));
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(EventId::QemuMonitor), Ok(0));
    registry.deliver(event(LIFECYCLE, 0, 1));
    registry.deliver(event(EventId::QemuMonitor, 0, 2));
    assert_eq!(listener.seen(), [Event(2)]);
}

#[test]
fn events_that_are_not_known_to_be_about_anything_are_not_coalesced() {
    let mut registry = Registry::default();
    for key in [CoalesceKey::Object, CoalesceKey::ObjectAndEvent] {
        let listener = wanted(&of_all(NEWER), coalesce(key)).subscribe(&mut registry, 1);
        registry.registered(of_all(NEWER), Ok(0));
        registry.deliver(event(NEWER, 0, 1));
        registry.deliver(event(NEWER, 0, 2));
        assert_eq!(listener.seen(), [Event(1), Event(2)]);
        registry.unsubscribe(1, None);
        registry.deregistered(of_all(NEWER));
    }
}

#[test]
fn oversized_event_is_missing_whatever_the_policy() {
    let policies = [
        Overflow::DropOldest,
        coalesce(CoalesceKey::Object),
        Overflow::End,
    ];
    for overflow in policies {
        let mut registry = Registry::default();
        let key = of_all(LIFECYCLE);
        let listener = wanted(&key, overflow).subscribe(&mut registry, 1);
        registry.registered(key, Ok(0));
        registry.deliver(event_about(LIFECYCLE, 0, 1, 1));
        registry.deliver(padded(event(LIFECYCLE, 0, 2), MAX_EVENT_LEN + 4));
        registry.deliver(event_about(LIFECYCLE, 0, 3, 3));
        assert_eq!(listener.seen(), [Event(1), Lagged(1), Event(3)]);
    }
}
