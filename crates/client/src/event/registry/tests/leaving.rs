//! When somebody who left may be sure that nothing is registered for it any more.

use mpsc::error::TryRecvError;

use super::*;

/// Waits for the end of a subscription.
struct Left(mpsc::Receiver<Infallible>);

impl Left {
    fn is_confirmed(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Disconnected))
    }
}

/// Unsubscribes, as the driver does for somebody who waits.
fn leave(registry: &mut Registry, id: u64) -> Left {
    let (leaving, left) = mpsc::channel(1);
    registry.unsubscribe(id, Some(&leaving));
    Left(left)
}

#[test]
fn is_confirmed_when_the_daemon_has_answered() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _listener = subscribed(&mut registry, 1, &key, 5);
    let mut left = leave(&mut registry, 1);
    assert_eq!(calls(&mut registry), [Deregister(key.clone())]);
    assert!(!left.is_confirmed());
    registry.deregistered(key);
    assert!(left.is_confirmed());
    assert_empty(&registry);
}

#[test]
fn is_confirmed_when_the_daemon_has_answered_everything() {
    let mut registry = Registry::default();
    let keys = [
        of_all(LIFECYCLE),
        of_all(NETWORK),
        anchor(EventClass::Domain),
    ];
    let _listener = subscribe(&mut registry, 1, keys.clone());
    for (callback, key) in (0..).zip(keys) {
        registry.registered(key, Ok(callback));
    }
    let mut left = leave(&mut registry, 1);
    registry.deregistered(of_all(NETWORK));
    assert!(!left.is_confirmed());
    registry.deregistered(of_all(LIFECYCLE));
    assert!(left.is_confirmed());
}

#[test]
fn is_confirmed_at_once_when_others_use_it_still() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _first = subscribed(&mut registry, 1, &key, 5);
    let _second = subscribe(&mut registry, 2, [key.clone()]);
    assert!(leave(&mut registry, 1).is_confirmed());
    assert_eq!(calls(&mut registry), []);
    assert!(!leave(&mut registry, 2).is_confirmed());
    assert_eq!(calls(&mut registry), [Deregister(key)]);
}

#[test]
fn is_confirmed_at_once_when_there_is_nothing_but_the_anchor() {
    let mut registry = Registry::default();
    let key = anchor(EventClass::Domain);
    let _listener = subscribed(&mut registry, 1, &key, 5);
    assert!(leave(&mut registry, 1).is_confirmed());
    assert!(leave(&mut registry, 1).is_confirmed());
}

#[test]
fn a_registration_under_way_has_to_be_made_and_ended_first() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _listener = subscribe(&mut registry, 1, [key.clone()]);
    let mut left = leave(&mut registry, 1);
    assert!(!left.is_confirmed());
    registry.registered(key.clone(), Ok(5));
    assert!(!left.is_confirmed());
    registry.deregistered(key);
    assert!(left.is_confirmed());
}

#[test]
fn a_registration_under_way_that_is_refused_was_never_made() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _listener = subscribe(&mut registry, 1, [key.clone()]);
    let mut left = leave(&mut registry, 1);
    registry.registered(key, Err(refusal()));
    assert!(left.is_confirmed());
    calls(&mut registry);
    assert_empty(&registry);
}

#[test]
fn whoever_overflowed_waits_for_the_end_as_others_do() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut wanted = Wanted::new([key.clone()]);
    wanted.overflow = Overflow::End;
    wanted.length = 1;
    let listener = wanted.subscribe(&mut registry, 1);
    registry.registered(key.clone(), Ok(5));
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deliver(event(LIFECYCLE, 5, 2));
    assert_eq!(listener.seen(), [Event(1), Seen::Overflowed]);
    let mut left = leave(&mut registry, 1);
    assert!(!left.is_confirmed());
    registry.deregistered(key);
    assert!(left.is_confirmed());
    assert!(registry.retired.is_empty());
}

#[test]
fn whoever_was_refused_after_a_reconnection_waits_for_the_end_of_the_rest() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let _listener = subscribe(&mut registry, 1, keys.clone());
    for (callback, key) in (0..).zip(keys) {
        registry.registered(key, Ok(callback));
    }
    registry.lost();
    registry.restart();
    registry.registered(of_all(LIFECYCLE), Ok(0));
    registry.registered(of_all(REBOOT), Err(refusal()));
    let mut left = leave(&mut registry, 1);
    assert!(!left.is_confirmed());
    registry.deregistered(of_all(LIFECYCLE));
    assert!(left.is_confirmed());
}

#[test]
fn whoever_overflowed_before_the_connection_was_lost_has_nothing_to_wait_for() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut wanted = Wanted::new([key.clone()]);
    wanted.overflow = Overflow::End;
    wanted.length = 1;
    let _listener = wanted.subscribe(&mut registry, 1);
    registry.registered(key, Ok(5));
    registry.deliver(event(LIFECYCLE, 5, 1));
    registry.deliver(event(LIFECYCLE, 5, 2));
    registry.lost();
    assert!(leave(&mut registry, 1).is_confirmed());
    registry.restart();
    assert_empty(&registry);
}

#[test]
fn somebody_who_comes_while_it_is_under_way_takes_it_over() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _first = subscribe(&mut registry, 1, [key.clone()]);
    let mut left = leave(&mut registry, 1);
    let mut second = subscribe(&mut registry, 2, [key.clone()]);
    assert!(left.is_confirmed());
    registry.registered(key.clone(), Ok(5));
    assert!(second.is_ready());
    assert_eq!(calls(&mut registry), [Register(key)]);
}

#[test]
fn somebody_who_comes_while_it_ends_does_not_hold_it_up() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _first = subscribed(&mut registry, 1, &key, 5);
    let mut first_left = leave(&mut registry, 1);
    let _second = subscribe(&mut registry, 2, [key.clone()]);
    assert!(!first_left.is_confirmed());
    let mut second_left = leave(&mut registry, 2);
    assert!(!second_left.is_confirmed());
    let mut third = subscribe(&mut registry, 3, [key.clone()]);
    registry.deregistered(key.clone());
    assert!(first_left.is_confirmed() && second_left.is_confirmed());
    assert_eq!(
        calls(&mut registry),
        [Deregister(key.clone()), Register(key.clone())]
    );
    registry.registered(key, Ok(6));
    assert!(third.is_ready());
}

#[test]
fn several_may_wait_for_the_same_end() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let _first = subscribed(&mut registry, 1, &key, 5);
    let mut first_left = leave(&mut registry, 1);
    let _second = subscribe(&mut registry, 2, [key.clone()]);
    let mut second_left = leave(&mut registry, 2);
    assert_eq!(calls(&mut registry), [Deregister(key.clone())]);
    registry.deregistered(key);
    assert!(first_left.is_confirmed() && second_left.is_confirmed());
    assert_eq!(calls(&mut registry), []);
    assert_empty(&registry);
}

#[test]
fn a_lost_connection_has_no_registrations() {
    let mut registry = Registry::default();
    let (made, under_way) = (of_all(LIFECYCLE), of_all(REBOOT));
    let _first = subscribed(&mut registry, 1, &made, 5);
    let _second = subscribe(&mut registry, 2, [under_way]);
    let mut left = [leave(&mut registry, 1), leave(&mut registry, 2)];
    registry.lost();
    assert!(left.iter_mut().all(Left::is_confirmed));
    assert_eq!(calls(&mut registry), []);
    assert_empty(&registry);
}

#[test]
fn is_confirmed_at_once_when_the_daemon_is_away() {
    let mut registry = Registry::default();
    let _first = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 5);
    registry.lost();
    let _second = subscribe(&mut registry, 2, [of_all(REBOOT)]);
    assert!(leave(&mut registry, 1).is_confirmed());
    assert!(leave(&mut registry, 2).is_confirmed());
    assert_empty(&registry);
}

#[test]
fn the_end_of_the_registry_is_the_end_of_all() {
    let mut registry = Registry::default();
    let _listener = subscribed(&mut registry, 1, &of_all(LIFECYCLE), 5);
    let mut left = leave(&mut registry, 1);
    drop(registry);
    assert!(left.is_confirmed());
}
