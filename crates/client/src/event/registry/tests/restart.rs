//! A connection that was lost and is open again.

use super::*;

/// What is registered, whatever the order.
fn registered_anew(registry: &mut Registry) -> Vec<RegistrationKey> {
    let calls = calls(registry).into_iter().map(|call| match call {
        Register(key) => key,
        Deregister(key) => panic!("a new connection has no {key:?}"),
    });
    let mut keys: Vec<_> = calls.collect();
    keys.sort_by_key(|key| format!("{key:?}"));
    keys
}

/// Nothing happens in between.
fn reconnect(registry: &mut Registry) {
    registry.lost();
    registry.restart();
}

fn sorted<const N: usize>(mut keys: [RegistrationKey; N]) -> [RegistrationKey; N] {
    keys.sort_by_key(|key| format!("{key:?}"));
    keys
}

#[test]
fn everything_is_registered_again_and_everybody_is_told() {
    let mut registry = Registry::default();
    let lifecycle = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 1);
    let network = subscribed(&mut registry, 2, &of_all(NETWORK), 1);
    let shared = subscribe(&mut registry, 3, [of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 1, 1));
    reconnect(&mut registry);
    let keys = sorted([of_all(LIFECYCLE), of_all(NETWORK)]);
    assert_eq!(registered_anew(&mut registry), keys);
    // The IDs are the new connection's; an event may come before the answer here, too.
    registry.deliver(event(LIFECYCLE, 9, 2));
    registry.registered(of_all(LIFECYCLE), Ok(9));
    registry.registered(of_all(NETWORK), Ok(8));
    registry.deliver(event(LIFECYCLE, 1, 3));
    registry.deliver(event(NETWORK, 8, 4));
    registry.deliver(event(LIFECYCLE, 9, 5));
    let expected = [Event(1), Gap, Event(2), Event(5)];
    assert_eq!(lifecycle.seen(), expected);
    assert_eq!(shared.seen(), expected);
    assert_eq!(network.seen(), [Gap, Event(4)]);
}

#[test]
fn a_subscription_that_was_not_there_yet_is_there_later() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let mut listener = subscribe(&mut registry, 1, keys.clone());
    registry.registered(of_all(LIFECYCLE), Ok(1));
    reconnect(&mut registry);
    calls(&mut registry);
    registry.registered(of_all(REBOOT), Ok(1));
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(of_all(LIFECYCLE), Ok(2));
    assert!(listener.is_ready());
    registry.deliver(event(LIFECYCLE, 2, 1));
    assert_eq!(listener.seen(), [Event(1)]);
}

#[test]
fn what_was_refused_before_is_not_asked_for_again() {
    let mut registry = Registry::default();
    let mut wanted = Wanted::new([of_all(LIFECYCLE), of_all(NEWER), of_all(REBOOT)]);
    wanted.tolerant = true;
    let mut listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(NEWER), Err(refusal()));
    reconnect(&mut registry);
    let keys = sorted([of_all(LIFECYCLE), of_all(REBOOT)]);
    assert_eq!(registered_anew(&mut registry), keys);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    assert_eq!(listener.ready(), Ready::Yes(vec![NEWER]));
}

#[test]
fn whoever_is_refused_now_finds_the_end() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let listener = subscribe(&mut registry, 1, keys.clone());
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    registry.deliver(event(LIFECYCLE, 0, 1));
    reconnect(&mut registry);
    calls(&mut registry);
    registry.registered(of_all(REBOOT), Ok(0));
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    assert_eq!(listener.seen(), [Event(1), Gap, Seen::Refused]);
    assert_eq!(calls(&mut registry), [Deregister(of_all(REBOOT))]);
    registry.deregistered(of_all(REBOOT));
    assert_empty(&registry);
}

#[test]
fn the_tolerant_do_without_now_as_they_did_before() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let mut wanted = Wanted::new(keys.clone());
    wanted.tolerant = true;
    wanted.anchors.push(anchor(EventClass::Domain));
    let mut listener = wanted.subscribe(&mut registry, 1);
    let keys = keys.into_iter().chain([anchor(EventClass::Domain)]);
    for (callback, key) in (0..).zip(keys) {
        registry.registered(key, Ok(callback));
    }
    assert!(listener.is_ready());
    reconnect(&mut registry);
    registry.registered(anchor(EventClass::Domain), Err(refusal()));
    registry.registered(of_all(REBOOT), Err(refusal()));
    registry.registered(of_all(LIFECYCLE), Ok(7));
    registry.deliver(event(LIFECYCLE, 7, 1));
    assert_eq!(listener.refused(), [REBOOT]);
    assert_eq!(listener.seen(), [Gap, Event(1)]);
    // With nothing left there is nothing to wait for.
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    assert_eq!(listener.seen(), [Gap, Seen::Refused]);
}

#[test]
fn whoever_reads_the_gap_can_know_what_does_not_come_any_more() {
    let mut registry = Registry::default();
    let mut wanted = Wanted::new([of_all(LIFECYCLE), of_all(REBOOT), of_all(NETWORK)]);
    wanted.tolerant = true;
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    registry.registered(of_all(NETWORK), Err(refusal()));
    assert_eq!(listener.refused(), [NETWORK]);
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(listener.seen(), []);
    registry.registered(of_all(REBOOT), Err(refusal()));
    assert_eq!(listener.refused(), [NETWORK, REBOOT]);
    assert_eq!(listener.seen(), [Gap]);
}

#[test]
fn an_answer_that_makes_no_sense_ends_a_stream_and_is_named() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Err(bad_reply()));
    assert_eq!(listener.seen(), [Gap, Seen::Failed]);
    let Some(Err(End::Failed(error))) = listener.queue.try_pop() else {
        panic!("it is told again");
    };
    assert_eq!(error.kind(), crate::ErrorKind::Protocol);
}

#[test]
fn calls_that_were_not_made_are_not_made_twice() {
    let mut registry = Registry::default();
    let _first = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    drop(subscribed_quietly(&mut registry, 2, of_all(REBOOT)));
    registry.unsubscribe(2, None);
    reconnect(&mut registry);
    assert_eq!(registered_anew(&mut registry), [of_all(LIFECYCLE)]);
}

/// Granted, and its calls are left where they are.
fn subscribed_quietly(registry: &mut Registry, id: u64, key: RegistrationKey) -> Listener {
    let listener = subscribe(registry, id, [key.clone()]);
    registry.registered(key, Ok(5));
    listener
}

#[test]
fn anchors_of_those_who_have_gone_are_not_held_any_more() {
    let mut registry = Registry::default();
    let (unused, used) = (anchor(EventClass::Network), anchor(EventClass::Domain));
    drop(subscribed(&mut registry, 1, &unused, 0));
    registry.unsubscribe(1, None);
    let _listener = subscribed(&mut registry, 2, &used, 0);
    reconnect(&mut registry);
    assert_eq!(registered_anew(&mut registry), [used]);
    assert_eq!(registry.registrations.len(), 1);
}

#[test]
fn whoever_came_while_another_left_is_registered_once() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    drop(subscribed(&mut registry, 1, &key, 0));
    registry.unsubscribe(1, None);
    let mut listener = subscribe(&mut registry, 2, [key.clone()]);
    reconnect(&mut registry);
    assert_eq!(calls(&mut registry), [Register(key.clone())]);
    registry.registered(key, Ok(0));
    assert!(listener.is_ready());
    assert_eq!(listener.seen(), []);
}

#[test]
fn what_was_held_belonged_to_the_old_connection() {
    let mut registry = Registry::default();
    let listener = subscribe(&mut registry, 1, [of_all(LIFECYCLE)]);
    registry.deliver(event(LIFECYCLE, 0, 1));
    reconnect(&mut registry);
    assert_eq!(registry.held.len(), 0);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(listener.seen(), []);
}

#[test]
fn each_loss_of_the_connection_is_a_gap() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(listener.seen(), [Gap]);
    reconnect(&mut registry);
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(listener.seen(), [Gap]);
}

#[test]
fn there_is_nothing_to_call_while_the_daemon_is_away() {
    let mut registry = Registry::default();
    let _first = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    let _second = subscribe(&mut registry, 2, [of_all(REBOOT)]);
    registry.unsubscribe(1, None);
    registry.lost();
    assert_eq!(calls(&mut registry), []);
}

#[test]
fn whoever_comes_while_the_daemon_is_away_is_served_when_it_is_back() {
    let mut registry = Registry::default();
    let first = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    registry.lost();
    let mut second = subscribe(&mut registry, 2, [of_all(LIFECYCLE), of_all(REBOOT)]);
    registry.restart();
    let keys = sorted([of_all(LIFECYCLE), of_all(REBOOT)]);
    assert_eq!(registered_anew(&mut registry), keys);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(second.ready(), Ready::NotYet);
    registry.registered(of_all(REBOOT), Ok(1));
    assert!(second.is_ready());
    registry.deliver(event(LIFECYCLE, 0, 1));
    assert_eq!(first.seen(), [Gap, Event(1)]);
    assert_eq!(second.seen(), [Event(1)]);
}

#[test]
fn whoever_leaves_while_the_daemon_is_away_leaves_nothing_behind() {
    let mut registry = Registry::default();
    drop(subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0));
    drop(subscribed(
        &mut registry,
        2,
        &anchor(EventClass::Network),
        0,
    ));
    registry.lost();
    drop(subscribe(&mut registry, 3, [of_all(REBOOT)]));
    for id in 1..=3 {
        registry.unsubscribe(id, None);
    }
    assert!(registry.registrations.is_empty());
    registry.restart();
    assert_eq!(calls(&mut registry), []);
    assert_empty(&registry);
}

#[test]
fn a_connection_may_be_lost_again_before_all_is_registered() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let listener = subscribe(&mut registry, 1, keys.clone());
    for key in keys.clone() {
        registry.registered(key, Ok(0));
    }
    reconnect(&mut registry);
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.deliver(event(LIFECYCLE, 0, 1));
    reconnect(&mut registry);
    calls(&mut registry);
    registry.deliver(event(LIFECYCLE, 1, 2));
    registry.registered(of_all(REBOOT), Ok(0));
    registry.registered(of_all(LIFECYCLE), Ok(1));
    // Both losses, and what came between them, are one gap.
    assert_eq!(listener.seen(), [Gap, Event(2)]);
}

#[test]
fn what_was_lost_while_everything_was_registered_again_is_told() {
    let mut registry = Registry::default();
    let listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    reconnect(&mut registry);
    for _ in 0..MAX_HELD + 3 {
        registry.deliver(event(LIFECYCLE, 9, 1));
    }
    registry.registered(of_all(LIFECYCLE), Ok(0));
    // What is missing in one place is told in one order.
    assert_eq!(listener.seen(), [Lagged(3), Gap]);
}

#[test]
fn what_was_lost_meanwhile_is_told_once_behind_all_that_was_held() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let listener = subscribe(&mut registry, 1, keys.clone());
    for (callback, key) in (0..).zip(keys) {
        registry.registered(key, Ok(callback));
    }
    reconnect(&mut registry);
    registry.deliver(event(REBOOT, 1, 1));
    for _ in 0..MAX_HELD {
        registry.deliver(event(LIFECYCLE, 9, 2));
    }
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Ok(1));
    assert_eq!(listener.seen(), [Gap, Event(1), Lagged(1)]);
}

#[test]
fn the_end_of_the_registry_is_the_end_of_every_stream() {
    let mut registry = Registry::default();
    let ready = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 0);
    let mut waiting = subscribe(&mut registry, 2, [of_all(REBOOT)]);
    registry.deliver(event(LIFECYCLE, 0, 1));
    drop(registry);
    assert_eq!(ready.seen(), [Event(1), Seen::Closed]);
    assert_eq!(waiting.seen(), [Seen::Closed]);
    assert_eq!(waiting.ready(), Ready::Dropped);
}
