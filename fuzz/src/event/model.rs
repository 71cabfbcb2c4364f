//! What the registry has to do, by a daemon and subscribers that write everything down.

use std::collections::{BTreeMap, BTreeSet};

use virtwire::event::{EventClass, EventId};
use virtwire::fuzzing::{
    Answer, Beginning, Counts, EventRegistry, Found, Key, Left, MAX_HELD, MAX_HELD_BYTES, Wanted,
    Wish,
};
use virtwire_protocol::session::EventPacket;

use super::packet::{self, KINDS};
use super::subscribed::Subscribed;
use super::{Action, Burst, Subscription};

/// The registry, and everything that is known of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) registry: EventRegistry,
    legacy: bool,
    /// There is no daemon.
    pub(super) away: bool,
    pub(super) subscribed: BTreeMap<u64, Subscribed>,
    last_id: u64,
    /// What the registry wants of the daemon, with the callback ID that it is about.
    wishes: Vec<(Wish, i32)>,
    /// The callback IDs that the daemon has granted.
    pub(super) granted: BTreeMap<Key, i32>,
    /// What nobody uses any more, and the registry has to give up next.
    unused: BTreeMap<Key, i32>,
    callbacks: BTreeMap<EventClass, i32>,
    /// Events are numbered, so that one can be told from another.
    last_event: u32,
    pub(super) held: Held,
    leaving: Vec<Leaving>,
}

/// Events that came before the answer that says whose they are.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Each with its number.
    pub(super) events: Vec<(u64, EventPacket)>,
    /// How many events were held so far.
    pub(super) count: u64,
    pub(super) lost: u64,
}

/// Somebody who has left, and the registrations whose end it waits for.
#[derive(Debug)]
struct Leaving {
    left: Left,
    keys: BTreeSet<Key>,
}

impl Model {
    pub(super) fn new(legacy: bool) -> Self {
        Self {
            legacy,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, action: &Action<'_>) {
        match *action {
            Action::Subscribe(subscription) => self.subscribe(subscription),
            Action::Unsubscribe(index) => {
                if let Some(id) = nth(&self.subscribed, index) {
                    self.unsubscribe(id);
                }
            }
            Action::Grant(index) => self.answer(index, Answer::Granted(0)),
            Action::Refuse(index) => self.answer(index, Answer::Refused),
            Action::Nonsense(index) => self.answer(index, Answer::Nonsense),
            Action::Event(index, burst) => self.burst(index, burst),
            Action::Garbage(of_qemu, procedure, payload) => {
                if let Some(packet) = packet::garbage(of_qemu, procedure, payload.bytes()) {
                    self.deliver(packet);
                }
            }
            Action::Read(index, count) => self.read(index, count),
            Action::Lose => self.lose(),
            Action::Restart => self.restart(),
        }
        self.forget_held();
        while let Some(wish) = self.registry.next_wish() {
            self.wish(wish);
        }
        assert_eq!(self.unused, BTreeMap::new(), "are to be given up");
    }

    fn subscribe(&mut self, subscription: Subscription) {
        let wanted = self.wanted(subscription);
        self.last_id += 1;
        let handle = self.registry.subscribe(self.last_id, &wanted);
        let granted = |key: &Key| self.granted.contains_key(key);
        let mut subscribed = Subscribed::new(handle, wanted, granted);
        (subscribed.since, subscribed.lost) = (self.held.count, self.held.lost);
        for (wish, _) in &self.wishes {
            if let Wish::Register(key) = wish {
                // It is for somebody again.
                if subscribed.keys.contains(key) {
                    confirm(&mut self.leaving, *key);
                }
            }
        }
        let subscribed = self.subscribed.entry(self.last_id).or_insert(subscribed);
        if subscribed.open.is_empty() {
            subscribed.begin();
        }
    }

    fn wanted(&self, subscription: Subscription) -> Wanted {
        // Few objects, so that subscribers meet; 0 is the object that does not exist.
        let object = (subscription.object % 4).checked_sub(1);
        let legacy = |event: EventId| self.legacy && event.class() == EventClass::Domain;
        let kinds = KINDS.iter().enumerate();
        let asked = kinds.filter(|(bit, _)| subscription.kinds >> bit & 1 == 1);
        let mut keys: Vec<_> = asked
            .map(|(_, event)| Key {
                event: *event,
                object: object
                    .filter(|_| !legacy(*event) && event.class() != EventClass::Connection),
                legacy: legacy(*event),
            })
            .collect();
        if keys.is_empty() {
            keys.push(Key {
                event: KINDS[0],
                object: object.filter(|_| !self.legacy),
                legacy: self.legacy,
            });
        }
        let anchors = keys.iter().filter_map(|key| key.anchor());
        let anchors: BTreeSet<_> = anchors.filter(|key| !keys.contains(key)).collect();
        Wanted {
            keys,
            anchors: anchors
                .into_iter()
                .filter(|_| subscription.anchored)
                .collect(),
            room: usize::from(subscription.room % 8) + 1,
            overflow: subscription.overflow.overflow(),
            only: object.filter(|_| self.legacy),
            tolerant: subscription.tolerant,
            unknown: subscription.unknown,
        }
    }

    fn unsubscribe(&mut self, id: u64) {
        let Some(mut gone) = self.subscribed.remove(&id) else {
            return;
        };
        let left = self.registry.unsubscribe(id);
        let mut leaving = Leaving {
            left,
            keys: BTreeSet::new(),
        };
        if gone.served && !self.away {
            let ending = gone.keys.iter().filter(|key| !self.is_kept(**key));
            leaving.keys.extend(ending);
        }
        // Whoever was dismissed waits for what is not confirmed yet.
        let ending = gone.dismissed.iter().filter(|key| {
            let mut wishes = self.wishes.iter();
            wishes.any(|(wish, _)| subject(*wish) == **key) && !self.is_kept(**key)
        });
        leaving.keys.extend(ending);
        self.leaving.push(leaving);
        self.release(&gone.keys);
        gone.stream.end(Found::Closed);
        let end = gone.stream.drain(&mut gone.handle);
        assert!(matches!(
            end,
            Some(Found::Closed | Found::Overflowed | Found::Refused | Found::Failed)
        ));
    }

    /// The registry does not serve it any more. What is in its queue can still be read.
    pub(super) fn dismiss(&mut self, id: u64, end: Found) {
        let Some(subscribed) = self.subscribed.get_mut(&id) else {
            return;
        };
        subscribed.served = false;
        subscribed.retired = true;
        subscribed.stream.end(end);
        let keys = std::mem::take(&mut subscribed.keys);
        subscribed.open.clear();
        subscribed.dismissed.clone_from(&keys);
        self.release(&keys);
    }

    /// Whether somebody uses a registration, or it is never given up.
    fn is_kept(&self, key: Key) -> bool {
        let used = self.served().any(|(_, one)| one.keys.contains(&key));
        used || key.anchor() == Some(key)
    }

    fn release(&mut self, keys: &BTreeSet<Key>) {
        for key in keys {
            if !self.is_kept(*key) {
                let callback = self.granted.remove(key);
                self.unused
                    .extend(callback.map(|callback| (*key, callback)));
            }
        }
    }

    pub(super) fn served(&self) -> impl Iterator<Item = (u64, &Subscribed)> {
        let served = self.subscribed.iter().filter(|(_, one)| one.served);
        served.map(|(id, one)| (*id, one))
    }

    fn members(&self, key: Key) -> Vec<u64> {
        let members = self.served().filter(|(_, one)| one.keys.contains(&key));
        members.map(|(id, _)| id).collect()
    }

    /// The registry never asks twice for one thing, and gives up only what nobody uses.
    fn wish(&mut self, wish: Wish) {
        let key = subject(wish);
        assert!(!self.away, "there is nobody to ask for {key:?}");
        let asked = self.wishes.iter().any(|(other, _)| subject(*other) == key);
        assert!(!asked, "{key:?} is being dealt with");
        let callback = match wish {
            Wish::Register(_) => {
                assert!(!self.granted.contains_key(&key), "{key:?} is registered");
                assert!(!self.members(key).is_empty(), "nobody wants {key:?}");
                self.next_callback(key)
            }
            Wish::Deregister(_) => self.unused.remove(&key).expect("nobody uses it"),
        };
        self.wishes.push((wish, callback));
    }

    /// IDs of different classes may be the same.
    fn next_callback(&mut self, key: Key) -> i32 {
        if !key.has_callback() {
            return 0;
        }
        let last = self.callbacks.entry(key.event.class()).or_insert(-1);
        *last += 1;
        *last
    }

    fn answer(&mut self, index: u8, answer: Answer) {
        let Some(index) = usize::from(index).checked_rem(self.wishes.len()) else {
            return;
        };
        match (self.wishes.remove(index), answer) {
            ((Wish::Register(key), callback), Answer::Granted(_)) => self.grant(key, callback),
            ((Wish::Register(key), _), answer) => self.refuse(key, answer),
            ((Wish::Deregister(key), _), _) => {
                confirm(&mut self.leaving, key);
                self.registry.deregistered(key);
            }
        }
    }

    fn grant(&mut self, key: Key, callback: i32) {
        self.registry.registered(key, Answer::Granted(callback));
        self.granted.insert(key, callback);
        let members = self.members(key);
        for id in members {
            self.confirm_to(id, key);
        }
        self.release(&BTreeSet::from([key]));
    }

    fn refuse(&mut self, key: Key, answer: Answer) {
        self.registry.registered(key, answer);
        confirm(&mut self.leaving, key);
        for id in self.members(key) {
            let Some(subscribed) = self.subscribed.get_mut(&id) else {
                continue;
            };
            subscribed.keys.remove(&key);
            let asked = |key: &Key| !subscribed.wanted.anchors.contains(key);
            let is_anchor = !asked(&key);
            let has_others = subscribed.keys.iter().any(asked);
            if answer == Answer::Refused && is_anchor {
                self.confirm_to(id, key);
            } else if answer == Answer::Refused && subscribed.wanted.tolerant && has_others {
                subscribed.refused.push(key.event);
                self.confirm_to(id, key);
            } else {
                subscribed.beginning.get_or_insert(Beginning::Failed);
                if std::mem::take(&mut subscribed.gap) {
                    subscribed.stream.gap();
                }
                let end = match answer {
                    Answer::Refused => Found::Refused,
                    _ => Found::Failed,
                };
                self.dismiss(id, end);
            }
        }
    }

    /// The daemon has answered one of its registrations.
    fn confirm_to(&mut self, id: u64, key: Key) {
        let Some(subscribed) = self.subscribed.get_mut(&id).filter(|one| one.served) else {
            return;
        };
        subscribed.open.remove(&key);
        if subscribed.open.is_empty() {
            self.catch_up(id);
        }
    }

    /// Whether a registration is under way that is like this and that somebody wants.
    pub(super) fn is_registering(&self, like: impl Fn(Key) -> bool) -> bool {
        self.wishes.iter().any(|(wish, _)| match wish {
            Wish::Register(key) => like(*key) && !self.members(*key).is_empty(),
            Wish::Deregister(_) => false,
        })
    }

    /// Events of a registration: granted, made and not answered yet, or ended.
    fn burst(&mut self, index: u8, burst: Burst) {
        let granted = self.granted.iter().map(|(key, callback)| (*key, *callback));
        let wishes = self.wishes.iter();
        let wishes = wishes.map(|(wish, callback)| (subject(*wish), *callback));
        let all: Vec<_> = granted.chain(wishes).collect();
        let Some(index) = usize::from(index).checked_rem(all.len()) else {
            return;
        };
        let (key, callback) = all[index];
        for number in 0..burst.count() {
            self.last_event += 1;
            let [first, ..] = number.to_le_bytes();
            let object = burst.object.wrapping_add(first) % 3;
            let object = key.object.unwrap_or(object);
            let packet = packet::event(key, callback, object, burst.length, self.last_event);
            packet.into_iter().for_each(|packet| self.deliver(packet));
        }
    }

    fn lose(&mut self) {
        if std::mem::replace(&mut self.away, true) {
            return;
        }
        self.registry.lost();
        self.wishes.clear();
        self.granted.clear();
        self.callbacks.clear();
        self.held.events.clear();
        self.leaving.iter_mut().for_each(|one| one.keys.clear());
        for subscribed in self.subscribed.values_mut() {
            subscribed.retired = false;
            subscribed.dismissed.clear();
        }
    }

    fn restart(&mut self) {
        if !std::mem::replace(&mut self.away, false) {
            return;
        }
        self.registry.restart();
        for subscribed in self.subscribed.values_mut().filter(|one| one.served) {
            subscribed.open.clone_from(&subscribed.keys);
            (subscribed.since, subscribed.lost) = (self.held.count, self.held.lost);
            subscribed.gap = subscribed.beginning.is_some();
        }
    }

    fn read(&mut self, index: u8, count: u8) {
        let Some(id) = nth(&self.subscribed, index) else {
            return;
        };
        let subscribed = self.subscribed.get_mut(&id).expect("it has this number");
        for _ in 0..=count {
            let found = subscribed.handle.next_found();
            assert_eq!(found, subscribed.stream.next_found());
        }
    }

    pub(super) fn check(&mut self) {
        let dealt_with: BTreeSet<_> = self.wishes.iter().map(|(wish, _)| subject(*wish)).collect();
        for subscribed in self.subscribed.values_mut() {
            subscribed.check();
            assert!(self.away || subscribed.open.is_subset(&dealt_with));
        }
        self.leaving.retain_mut(|leaving| {
            let confirmed = leaving.left.is_confirmed();
            assert_eq!(confirmed, leaving.keys.is_empty(), "of {:?}", leaving.keys);
            !confirmed
        });
        let used = self.served().flat_map(|(_, one)| one.keys.iter().copied());
        let registrations = if self.away {
            used.collect::<BTreeSet<_>>().len()
        } else {
            self.granted.len() + self.wishes.len()
        };
        let counts = Counts {
            registrations,
            callbacks: self.granted.keys().filter(|key| key.has_callback()).count(),
            subscribers: self.served().count(),
            retired: self.subscribed.values().filter(|one| one.retired).count(),
            held: self.held.events.len(),
            held_bytes: self.held.bytes(),
        };
        assert_eq!(self.registry.counts(), counts);
        assert!(counts.held <= MAX_HELD && counts.held_bytes <= MAX_HELD_BYTES);
    }

    /// When everybody has gone and the daemon has done everything, the anchors are left.
    pub(super) fn end(&mut self) {
        self.apply(&Action::Restart);
        while !self.subscribed.is_empty() {
            self.apply(&Action::Unsubscribe(0));
        }
        while !self.wishes.is_empty() {
            self.apply(&Action::Grant(0));
            self.check();
        }
        self.check();
        assert!(self.leaving.is_empty());
        assert!(self.granted.keys().all(|key| key.anchor() == Some(*key)));
    }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        let events = self.events.iter();
        events.map(|(_, event)| event.payload.len()).sum()
    }
}

/// What a wish is about.
fn subject(wish: Wish) -> Key {
    let (Wish::Register(key) | Wish::Deregister(key)) = wish;
    key
}

/// The end of a registration is certain.
fn confirm(leaving: &mut [Leaving], key: Key) {
    for one in leaving {
        one.keys.remove(&key);
    }
}

fn nth(subscribed: &BTreeMap<u64, Subscribed>, index: u8) -> Option<u64> {
    let index = usize::from(index).checked_rem(subscribed.len())?;
    subscribed.keys().nth(index).copied()
}
