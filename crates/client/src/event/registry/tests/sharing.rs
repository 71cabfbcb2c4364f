//! Who gets what: one registration for all who want the same, nothing for the others.

use super::*;

#[test]
fn one_registration_serves_all_its_subscribers() {
    let mut registry = Registry::default();
    let key = of_domain(LIFECYCLE, 7);
    let first = subscribed(&mut registry, 1, &key, 5);
    let mut second = subscribe(&mut registry, 2, [key.clone()]);
    assert_eq!(calls(&mut registry), []);
    assert!(second.is_ready());
    registry.deliver(event(LIFECYCLE, 5, 1));
    assert_eq!(first.seen(), [Event(1)]);
    assert_eq!(second.seen(), [Event(1)]);
    registry.unsubscribe(1, None);
    registry.deliver(event(LIFECYCLE, 5, 2));
    assert_eq!(first.seen(), [Seen::Closed]);
    assert_eq!(second.seen(), [Event(2)]);
    assert_eq!(calls(&mut registry), []);
}

#[test]
fn those_who_come_while_a_registration_is_under_way_share_it() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut first = subscribe(&mut registry, 1, [key.clone()]);
    let mut second = subscribe(&mut registry, 2, [key.clone()]);
    assert_eq!(calls(&mut registry), [Register(key.clone())]);
    assert_eq!(
        (first.ready(), second.ready()),
        (Ready::NotYet, Ready::NotYet)
    );
    registry.registered(key, Ok(0));
    assert!(first.is_ready() && second.is_ready());
}

#[test]
fn a_subscriber_is_ready_when_all_its_registrations_are() {
    let mut registry = Registry::default();
    let (all, reboot) = (of_all(LIFECYCLE), of_all(REBOOT));
    let _other = subscribed(&mut registry, 1, &reboot, 0);
    let keys = [reboot, all.clone(), of_all(NETWORK)];
    let mut listener = subscribe(&mut registry, 2, keys);
    assert_eq!(
        calls(&mut registry),
        [Register(all.clone()), Register(of_all(NETWORK))]
    );
    registry.registered(of_all(NETWORK), Ok(0));
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(all, Ok(1));
    assert!(listener.is_ready());
}

#[test]
fn the_same_callback_id_in_two_classes_is_two_registrations() {
    let mut registry = Registry::default();
    let domains = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 3);
    let networks = subscribed(&mut registry, 2, &of_all(NETWORK), 3);
    let secrets = subscribed(&mut registry, 3, &of_all(SECRET), 3);
    let monitors = subscribed(&mut registry, 4, &of_all(EventId::QemuMonitor), 3);
    registry.deliver(event(NETWORK, 3, 1));
    registry.deliver(event(LIFECYCLE, 3, 2));
    registry.deliver(event(EventId::QemuMonitor, 3, 3));
    registry.deliver(event(SECRET, 3, 4));
    assert_eq!(networks.seen(), [Event(1)]);
    assert_eq!(domains.seen(), [Event(2)]);
    assert_eq!(monitors.seen(), [Event(3)]);
    assert_eq!(secrets.seen(), [Event(4)]);
    registry.unsubscribe(2, None);
    registry.deliver(event(NETWORK, 3, 5));
    registry.deliver(event(LIFECYCLE, 3, 6));
    assert_eq!(domains.seen(), [Event(6)]);
    assert_eq!(networks.seen(), [Seen::Closed]);
}

#[test]
fn registrations_for_one_domain_and_for_all_are_two() {
    let mut registry = Registry::default();
    let all = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    let one = subscribed(&mut registry, 2, &of_domain(LIFECYCLE, 7), 2);
    registry.deliver(event(LIFECYCLE, 1, 1));
    registry.deliver(event(LIFECYCLE, 2, 1));
    registry.deliver(event_about(LIFECYCLE, 1, 8, 2));
    assert_eq!(all.seen(), [Event(1), Event(2)]);
    assert_eq!(one.seen(), [Event(1)]);
}

#[test]
fn the_last_to_leave_gives_the_callback_id_back() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    drop(subscribed(&mut registry, 1, &key, 42));
    registry.unsubscribe(1, None);
    let Some(RegistryCall::Deregister(called, request)) = registry.next_call() else {
        panic!("the registration is given up");
    };
    assert_eq!(called, key);
    let expected = key.deregister(42).unwrap();
    assert_eq!(format!("{request:?}"), format!("{expected:?}"));
    registry.deregistered(key);
    assert_empty(&registry);
}

#[test]
fn subscriber_that_comes_while_the_last_one_leaves_is_registered_anew() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    drop(subscribed(&mut registry, 1, &key, 5));
    registry.unsubscribe(1, None);
    let mut second = subscribe(&mut registry, 2, [key.clone()]);
    assert_eq!(calls(&mut registry), [Deregister(key.clone())]);
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deregistered(key.clone());
    assert_eq!(calls(&mut registry), [Register(key.clone())]);
    assert_eq!(second.ready(), Ready::NotYet);
    registry.registered(key, Ok(6));
    assert!(second.is_ready());
    registry.deliver(event(LIFECYCLE, 5, 2));
    registry.deliver(event(LIFECYCLE, 6, 3));
    assert_eq!(second.seen(), [Event(3)]);
}

#[test]
fn subscriber_that_leaves_before_the_answer_leaves_nothing_behind() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    drop(subscribe(&mut registry, 1, [key.clone()]));
    registry.unsubscribe(1, None);
    assert_eq!(calls(&mut registry), [Register(key.clone())]);
    registry.registered(key.clone(), Ok(5));
    assert_eq!(calls(&mut registry), [Deregister(key.clone())]);
    registry.deregistered(key);
    assert_empty(&registry);
}

#[test]
fn whoever_leaves_twice_has_left_once() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _first = subscribed(&mut registry, 1, &key, 5);
    let second = subscribe(&mut registry, 2, [key]);
    registry.unsubscribe(1, None);
    registry.unsubscribe(1, None);
    registry.unsubscribe(3, None);
    assert_eq!(calls(&mut registry), []);
    registry.deliver(event(LIFECYCLE, 5, 1));
    assert_eq!(second.seen(), [Event(1)]);
}

#[test]
fn event_shares_no_memory_with_what_it_came_in() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 5);
    let packet = event(LIFECYCLE, 5, 1);
    let received = packet.payload.clone();
    registry.deliver(packet);
    let Some(Ok(Item::Event(packet))) = listener.queue.try_pop() else {
        panic!("the event is delivered");
    };
    assert_eq!(packet.payload, received);
    assert_ne!(packet.payload.as_ptr(), received.as_ptr());
}

#[test]
fn the_anchor_outlives_its_subscribers() {
    let mut registry = Registry::default();
    for class in [EventClass::Domain, EventClass::Network, EventClass::Secret] {
        let key = anchor(class);
        drop(subscribed(&mut registry, 1, &key, 0));
        registry.unsubscribe(1, None);
        assert_eq!(calls(&mut registry), []);
        let mut next = subscribe(&mut registry, 1, [key]);
        assert!(next.is_ready());
        registry.unsubscribe(1, None);
        assert_eq!(calls(&mut registry), []);
    }
    assert_eq!(registry.registrations.len(), 3);
    assert_empty(&registry);
}

#[test]
fn what_comes_for_an_anchor_is_for_those_who_asked_for_it() {
    let mut registry = Registry::default();
    let key = anchor(EventClass::Domain);
    let holder = anchored(of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(key.clone(), Ok(1));
    let asker = subscribe(&mut registry, 2, [key]);
    registry.deliver(event_about(LIFECYCLE, 1, 0, 1));
    registry.deliver(event_about(LIFECYCLE, 0, 0, 1));
    assert_eq!(holder.seen(), [Event(1)]);
    assert_eq!(asker.seen(), [Event(1)]);
}

#[test]
fn an_event_of_another_kind_than_was_registered_is_nobodys() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    registry.deliver(event(REBOOT, 1, 1));
    assert_eq!(listener.seen(), []);
}

#[test]
fn an_anchor_under_way_is_kept_when_its_subscriber_has_gone() {
    let mut registry = Registry::default();
    let key = anchor(EventClass::Domain);
    drop(subscribe(&mut registry, 1, [key.clone()]));
    registry.unsubscribe(1, None);
    registry.registered(key.clone(), Ok(0));
    assert_eq!(calls(&mut registry), [Register(key)]);
    assert_eq!(registry.registrations.len(), 1);
}

#[test]
fn a_daemon_that_gives_one_callback_id_to_two_loses_its_own_events_only() {
    let mut registry = Registry::default();
    let (first, second) = (of_domain(LIFECYCLE, 1), of_domain(LIFECYCLE, 2));
    drop(subscribed(&mut registry, 1, &first, 5));
    let listener = subscribed(&mut registry, 2, &second, 5);
    registry.unsubscribe(1, None);
    assert_eq!(calls(&mut registry), [Deregister(first.clone())]);
    registry.deregistered(first);
    registry.deliver(event(LIFECYCLE, 5, 1));
    assert_eq!(listener.seen(), [Event(1)]);
    registry.unsubscribe(2, None);
    registry.deregistered(second);
    calls(&mut registry);
    assert_empty(&registry);
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut registry = Registry::default();
    registry.registered(of_all(LIFECYCLE), Ok(1));
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    registry.deregistered(of_all(LIFECYCLE));
    assert_empty(&registry);
}
