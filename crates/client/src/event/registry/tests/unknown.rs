//! Events of newer daemons.

use super::*;

const NEWER_NETWORK: EventId = EventId::Network(NetworkEventId(1000));

/// Wants what somebody has asked for and nobody knows.
fn curious(key: &RegistrationKey) -> Wanted {
    Wanted {
        unknown: true,
        ..Wanted::new([key.clone()])
    }
}

#[test]
fn unknown_event_goes_to_whoever_asked_for_an_unknown_one() {
    let mut registry = Registry::default();
    let known = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    let newer = subscribed(&mut registry, 2, &of_all(NEWER), 2);
    registry.deliver(event(NEWER, 2, 1));
    // This may be an event of the future for a registration of the present.
    registry.deliver(event(NEWER, 1, 2));
    registry.deliver(event(NEWER, 3, 3));
    assert_eq!(newer.seen(), [Event(1)]);
    assert_eq!(known.seen(), []);
    assert_eq!(registry.held.len(), 0);
}

#[test]
fn unknown_event_before_the_answer_is_delivered_after_it() {
    let mut registry = Registry::default();
    let newer = subscribe(&mut registry, 1, [of_all(NEWER)]);
    registry.deliver(event(NEWER, 2, 1));
    registry.deliver(event(NEWER, 3, 2));
    registry.registered(of_all(NEWER), Ok(2));
    assert_eq!(newer.seen(), [Event(1)]);
}

#[test]
fn the_curious_get_every_unknown_event_once() {
    let mut registry = Registry::default();
    let first = curious(&of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    let second = curious(&of_all(NEWER)).subscribe(&mut registry, 2);
    let newer = subscribe(&mut registry, 3, [of_all(NEWER)]);
    registry.registered(of_all(LIFECYCLE), Ok(1));
    // Held for the others, and not given to the curious again.
    registry.deliver(event(NEWER, 2, 1));
    assert_eq!(first.seen(), [Event(1)]);
    registry.registered(of_all(NEWER), Ok(2));
    for listener in [&second, &newer] {
        assert_eq!(listener.seen(), [Event(1)]);
    }
    registry.deliver(event(NEWER, 2, 2));
    registry.deliver(event(NEWER, 77, 3));
    registry.deliver(event(LIFECYCLE, 1, 4));
    assert_eq!(first.seen(), [Event(2), Event(3), Event(4)]);
    assert_eq!(second.seen(), [Event(2), Event(3)]);
    assert_eq!(newer.seen(), [Event(2)]);
}

/// Which class it is of cannot be told.
#[test]
fn unknown_event_goes_to_the_unknown_of_all_classes_with_its_callback_id() {
    let mut registry = Registry::default();
    let domains = subscribed(&mut registry, 1, &of_all(NEWER), 2);
    let networks = subscribed(&mut registry, 2, &of_all(NEWER_NETWORK), 2);
    let both = subscribe(&mut registry, 3, [of_all(NEWER), of_all(NEWER_NETWORK)]);
    let secrets = subscribed(&mut registry, 4, &of_all(SECRET), 2);
    registry.deliver(event(NEWER, 2, 1));
    for listener in [domains, networks, both] {
        assert_eq!(listener.seen(), [Event(1)]);
    }
    assert_eq!(secrets.seen(), []);
}

#[test]
fn unknown_event_of_another_program_is_unknown_too() {
    let mut registry = Registry::default();
    let listener = curious(&of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(1));
    let mut packet = event(EventId::QemuMonitor, 1, 1);
    packet.procedure = i32::MAX;
    registry.deliver(packet);
    assert_eq!(listener.seen(), [Event(1)]);
}

#[test]
fn oversized_unknown_event_is_missing() {
    let mut registry = Registry::default();
    let any = curious(&of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(1));
    let newer = subscribed(&mut registry, 2, &of_all(NEWER), 2);
    registry.deliver(padded(event(NEWER, 2, 1), MAX_EVENT_LEN + 4));
    assert_eq!(
        (any.seen(), newer.seen()),
        (vec![Lagged(1)], vec![Lagged(1)])
    );
}

#[test]
fn the_curious_overflow_as_others_do() {
    let mut registry = Registry::default();
    let mut wanted = curious(&of_all(LIFECYCLE));
    wanted.overflow = Overflow::End;
    wanted.length = 1;
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    calls(&mut registry);
    registry.deliver(event(NEWER, 5, 1));
    registry.deliver(event(NEWER, 5, 2));
    assert_eq!(listener.seen(), [Event(1), Seen::Overflowed]);
    assert_eq!(calls(&mut registry), [Deregister(of_all(LIFECYCLE))]);
}
