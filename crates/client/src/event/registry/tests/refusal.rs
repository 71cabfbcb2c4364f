//! Registrations that the daemon refuses.

use super::*;

fn tolerant(keys: impl IntoIterator<Item = RegistrationKey>) -> Wanted {
    Wanted {
        tolerant: true,
        ..Wanted::new(keys)
    }
}

fn refused() -> Ready {
    Ready::No(refusal().to_string())
}

#[test]
fn refused_registration_fails_its_subscriber_and_gives_up_the_other() {
    let mut registry = Registry::default();
    let (granted, refused_key) = (of_all(LIFECYCLE), of_all(REBOOT));
    let keys = [granted.clone(), refused_key.clone()];
    let mut listener = subscribe(&mut registry, 1, keys);
    calls(&mut registry);
    registry.registered(granted.clone(), Ok(5));
    registry.registered(refused_key, Err(refusal()));
    assert_eq!(listener.ready(), refused());
    assert_eq!(calls(&mut registry), [Deregister(granted.clone())]);
    registry.deregistered(granted);
    assert_empty(&registry);
}

#[test]
fn refused_registration_leaves_what_others_use() {
    let mut registry = Registry::default();
    let shared = of_all(LIFECYCLE);
    let other = subscribed(&mut registry, 1, &shared, 5);
    let mut listener = subscribe(&mut registry, 2, [of_all(REBOOT), shared]);
    registry.registered(of_all(REBOOT), Err(refusal()));
    assert_eq!(listener.ready(), refused());
    registry.deliver(event(LIFECYCLE, 5, 1));
    assert_eq!(other.seen(), [Event(1)]);
    assert_eq!(calls(&mut registry), [Register(of_all(REBOOT))]);
}

#[test]
fn all_who_share_a_refused_registration_fail() {
    let mut registry = Registry::default();
    let key = of_all(LIFECYCLE);
    let mut first = subscribe(&mut registry, 1, [key.clone()]);
    let mut second = subscribe(&mut registry, 2, [key.clone()]);
    registry.registered(key.clone(), Err(refusal()));
    assert_eq!((first.ready(), second.ready()), (refused(), refused()));
    assert_eq!(calls(&mut registry), [Register(key.clone())]);
    // Whoever asks again asks the daemon again.
    let _third = subscribe(&mut registry, 3, [key.clone()]);
    assert_eq!(calls(&mut registry), [Register(key)]);
}

#[test]
fn the_tolerant_do_without_what_is_refused_and_are_told() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(NEWER), of_all(NETWORK)];
    let mut listener = tolerant(keys).subscribe(&mut registry, 1);
    registry.registered(of_all(NEWER), Err(refusal()));
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(of_all(NETWORK), Err(refusal()));
    let expected = Ready::Yes(vec![NEWER, NETWORK]);
    assert_eq!(listener.ready(), expected);
    registry.deliver(event(LIFECYCLE, 0, 1));
    assert_eq!(listener.seen(), [Event(1)]);
    calls(&mut registry);
    registry.unsubscribe(1, None);
    assert_eq!(calls(&mut registry), [Deregister(of_all(LIFECYCLE))]);
}

#[test]
fn the_tolerant_and_the_others_share_a_refusal() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let mut strict = subscribe(&mut registry, 1, keys.clone());
    let mut lenient = tolerant(keys).subscribe(&mut registry, 2);
    registry.registered(of_all(REBOOT), Err(refusal()));
    registry.registered(of_all(LIFECYCLE), Ok(0));
    assert_eq!(strict.ready(), refused());
    assert_eq!(lenient.ready(), Ready::Yes(vec![REBOOT]));
    assert_eq!(registry.subscribers.len(), 1);
}

#[test]
fn the_tolerant_want_something_at_least() {
    let mut registry = Registry::default();
    let mut wanted = tolerant([of_all(LIFECYCLE), of_all(REBOOT)]);
    wanted.anchors.push(anchor(EventClass::Domain));
    let mut listener = wanted.subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    registry.registered(of_all(REBOOT), Err(refusal()));
    assert_eq!(listener.ready(), refused());
    registry.registered(anchor(EventClass::Domain), Ok(0));
    calls(&mut registry);
    assert_empty(&registry);
}

#[test]
fn an_answer_that_makes_no_sense_is_not_tolerated() {
    let mut registry = Registry::default();
    let keys = [of_all(LIFECYCLE), of_all(REBOOT)];
    let mut listener = tolerant(keys).subscribe(&mut registry, 1);
    registry.registered(of_all(REBOOT), Err(bad_reply()));
    assert_eq!(listener.ready(), Ready::No(bad_reply().to_string()));
}

#[test]
fn a_refused_anchor_is_done_without() {
    let mut registry = Registry::default();
    let mut listener = anchored(of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    registry.registered(of_all(LIFECYCLE), Ok(3));
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(anchor(EventClass::Domain), Err(refusal()));
    assert!(listener.is_ready());
    registry.deliver(event(LIFECYCLE, 3, 1));
    assert_eq!(listener.seen(), [Event(1)]);
    // The next one tries again.
    calls(&mut registry);
    let _next = anchored(of_all(LIFECYCLE)).subscribe(&mut registry, 2);
    assert_eq!(calls(&mut registry), [Register(anchor(EventClass::Domain))]);
}

#[test]
fn a_refused_anchor_before_the_rest_is_done_without_too() {
    let mut registry = Registry::default();
    let mut listener = anchored(of_all(LIFECYCLE)).subscribe(&mut registry, 1);
    registry.registered(anchor(EventClass::Domain), Err(refusal()));
    assert_eq!(listener.ready(), Ready::NotYet);
    registry.registered(of_all(LIFECYCLE), Err(refusal()));
    assert_eq!(listener.ready(), refused());
    assert_eq!(registry.registrations.len(), 0);
}

#[test]
fn whoever_asked_for_what_happens_to_be_an_anchor_is_told_that_it_is_refused() {
    let mut registry = Registry::default();
    let key = RegistrationKey::anchor(EventClass::Domain, Style::Legacy).unwrap();
    let mut strict = subscribe(&mut registry, 1, [key.clone()]);
    let mut lenient = tolerant([key.clone(), of_all(NETWORK)]).subscribe(&mut registry, 2);
    registry.registered(key.clone(), Err(refusal()));
    registry.registered(of_all(NETWORK), Ok(0));
    assert_eq!(strict.ready(), refused());
    assert_eq!(lenient.ready(), Ready::Yes(vec![key.event]));
}
