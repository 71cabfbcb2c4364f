//! Events without callback IDs: those of old daemons, and the end of the daemon's connection.

use super::*;

fn legacy(event: EventId) -> RegistrationKey {
    RegistrationKey::legacy(event)
}

#[test]
fn legacy_events_go_by_their_kind() {
    let mut registry = Registry::default();
    let lifecycle = subscribed(&mut registry, 1, &legacy(LIFECYCLE), 0);
    let reboot = subscribed(&mut registry, 2, &legacy(REBOOT), 0);
    registry.deliver(event(LIFECYCLE, None, 1));
    registry.deliver(event(REBOOT, None, 2));
    assert_eq!(lifecycle.seen(), [Event(1)]);
    assert_eq!(reboot.seen(), [Event(2)]);
    registry.unsubscribe(2, None);
    registry.deliver(event(REBOOT, None, 3));
    registry.deliver(event(LIFECYCLE, None, 4));
    assert_eq!(lifecycle.seen(), [Event(4)]);
    assert_eq!(calls(&mut registry), [Deregister(legacy(REBOOT))]);
}

#[test]
fn legacy_events_that_nobody_wants_are_nobodys() {
    let mut registry = Registry::default();
    registry.deliver(event(LIFECYCLE, None, 1));
    let reboot = subscribed(&mut registry, 1, &legacy(REBOOT), 0);
    registry.deliver(event(LIFECYCLE, None, 2));
    // Its payload begins with zero, which is no callback ID here.
    registry.deliver(event(REBOOT, 0, 3));
    assert_eq!(reboot.seen(), []);
    assert_eq!(registry.held.len(), 0);
}

#[test]
fn the_two_styles_of_an_event_are_two_registrations() {
    let mut registry = Registry::default();
    let old = subscribed(&mut registry, 1, &legacy(LIFECYCLE), 0);
    let new = subscribed(&mut registry, 2, &of_all(LIFECYCLE), 0);
    registry.deliver(event(LIFECYCLE, None, 1));
    registry.deliver(event(LIFECYCLE, 0, 2));
    registry.unsubscribe(1, None);
    registry.deliver(event(LIFECYCLE, 0, 3));
    assert_eq!(old.seen(), [Event(1), Seen::Closed]);
    assert_eq!(new.seen(), [Event(2), Event(3)]);
}

#[test]
fn legacy_event_before_the_answer_is_delivered_after_it() {
    let mut registry = Registry::default();
    let listener = subscribe(&mut registry, 1, [legacy(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, None, 1));
    registry.deliver(event(REBOOT, None, 2));
    assert_eq!(listener.seen(), []);
    registry.registered(legacy(LIFECYCLE), Ok(0));
    assert_eq!(listener.seen(), [Event(1)]);
}

#[test]
fn one_domain_is_chosen_here_when_the_daemon_cannot() {
    let mut registry = Registry::default();
    let all = subscribed(&mut registry, 1, &legacy(LIFECYCLE), 0);
    let mut wanted = Wanted::new([legacy(LIFECYCLE)]);
    wanted.only = Some(domain(7));
    let one = wanted.subscribe(&mut registry, 2);
    assert_eq!(calls(&mut registry), []);
    registry.deliver(event_about(LIFECYCLE, None, 8, 1));
    registry.deliver(event_about(LIFECYCLE, None, 7, 2));
    assert_eq!(all.seen(), [Event(1), Event(2)]);
    assert_eq!(one.seen(), [Event(2)]);
}

#[test]
fn an_oversized_event_is_missing_only_where_its_domain_was_chosen() {
    let mut registry = Registry::default();
    let listeners = [7, 8].map(|number| {
        let mut wanted = Wanted::new([legacy(LIFECYCLE)]);
        wanted.only = Some(domain(number));
        wanted.subscribe(&mut registry, number.into())
    });
    registry.registered(legacy(LIFECYCLE), Ok(0));
    let oversized = padded(event_about(LIFECYCLE, None, 7, 1), MAX_EVENT_LEN + 4);
    registry.deliver(oversized);
    assert_eq!(listeners[0].seen(), [Lagged(1)]);
    assert_eq!(listeners[1].seen(), []);
}

#[test]
fn events_whose_domain_cannot_be_told_are_for_the_reader_to_judge() {
    let mut registry = Registry::default();
    let mut wanted = Wanted::new([legacy(LIFECYCLE)]);
    wanted.only = Some(domain(7));
    let one = wanted.subscribe(&mut registry, 1);
    registry.registered(legacy(LIFECYCLE), Ok(0));
    let mut packet = event(LIFECYCLE, None, 0);
    packet.payload = Bytes::from_static(&[255, 0, 0, 9]);
    registry.deliver(packet);
    assert_eq!(one.seen(), [Event(0xff00_0009)]);
}

#[test]
fn the_legacy_anchor_is_never_given_up() {
    let mut registry = Registry::default();
    let key = RegistrationKey::anchor(EventClass::Domain, Style::Legacy).unwrap();
    let listener = subscribed(&mut registry, 1, &key, 0);
    registry.deliver(event(key.event, None, 1));
    assert_eq!(listener.seen(), [Event(1)]);
    registry.unsubscribe(1, None);
    assert_eq!(calls(&mut registry), []);
    assert_empty(&registry);
}

#[test]
fn the_end_of_the_daemons_connection_needs_no_callback_id() {
    let mut registry = Registry::default();
    let key = of_all(EventId::ConnectionClosed);
    let mut first = subscribe(&mut registry, 1, [key.clone()]);
    registry.deliver(event(EventId::ConnectionClosed, None, 1));
    registry.registered(key.clone(), Ok(0));
    assert!(first.is_ready());
    let second = subscribe(&mut registry, 2, [key.clone()]);
    registry.deliver(event(EventId::ConnectionClosed, None, 2));
    assert_eq!(first.seen(), [Event(1), Event(2)]);
    assert_eq!(second.seen(), [Event(2)]);
    registry.unsubscribe(1, None);
    registry.unsubscribe(2, None);
    assert_eq!(
        calls(&mut registry),
        [Register(key.clone()), Deregister(key.clone())]
    );
    registry.deregistered(key);
    assert_empty(&registry);
}
