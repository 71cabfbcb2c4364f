//! Which event goes to whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use arbitrary::Arbitrary;
use bytes::{BufMut, Bytes, BytesMut};
use virtwire::fuzzing::{Counts, EventRegistry, Key, Subscriber, Wish};
use virtwire_protocol::constants::DomainEventId;
use virtwire_protocol::frame::Frame;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::Event;
use virtwire_protocol::remote;
use virtwire_protocol::session::{ClientConfig, ClientSession, EventPacket, Output};

use crate::blob::Blob;
use crate::budget::within;

/// The most events that the registry keeps for registrations under way.
const MAX_HELD: usize = 1024;

/// What happens to a registry.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// In this order.
    pub actions: Vec<Action<'a>>,
}

/// What a subscriber or the daemon does. Numbers that choose among subscribers, wishes or
/// registrations wrap around.
#[derive(Debug, Clone, Arbitrary)]
pub enum Action<'a> {
    /// Somebody subscribes: for lifecycle, block jobs or both, of this domain, with this room.
    Subscribe(Kinds, u8, u8),
    /// Somebody leaves.
    Unsubscribe(u8),
    /// The daemon does what it was asked to do.
    Grant(u8),
    /// The daemon does not.
    Refuse(u8),
    /// The daemon sends an event of a registration that it has granted or is about to.
    Event(u8),
    /// The daemon sends an event of no registration.
    Stray(i32),
    /// The daemon sends an event that may not even be one.
    Garbage(i16, Blob<'a>),
    /// Somebody reads an event.
    Read(u8),
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Kinds {
    /// Lifecycle.
    Lifecycle,
    /// Block jobs.
    BlockJob,
    /// Both.
    Both,
}

/// Every event reaches everybody it is for, in order, or tells them that it did not; nobody else
/// sees it; and nothing is left when everybody has gone.
pub fn check(input: &Input<'_>) {
    let brought = input.actions.iter().map(Action::bytes).sum::<usize>();
    within((1 << 20) + brought, || {
        let mut model = Model::default();
        for action in &input.actions {
            model.apply(action);
            model.check();
        }
        model.end();
    });
}

#[derive(Default)]
struct Model {
    registry: EventRegistry,
    subscribers: BTreeMap<u64, Subscribed>,
    last_id: u64,
    /// What the registry wants of the daemon.
    wishes: Vec<(Wish, i32)>,
    /// The callback IDs that the daemon has granted.
    granted: BTreeMap<Key, i32>,
    last_callback: i32,
    /// Events are numbered, so that one can be told from another.
    last_event: u32,
    /// Events of registrations that the daemon has made and not answered yet.
    early: VecDeque<(i32, u32)>,
}

/// A subscriber and what it has to get.
struct Subscribed {
    handle: Subscriber,
    room: usize,
    keys: BTreeSet<Key>,
    /// Keys that the daemon has not confirmed to it.
    open: BTreeSet<Key>,
    ready: Option<bool>,
    due: VecDeque<u32>,
    missed: bool,
}

impl Model {
    fn apply(&mut self, action: &Action<'_>) {
        match *action {
            Action::Subscribe(kinds, domain, room) => self.subscribe(kinds, domain, room),
            Action::Unsubscribe(index) => {
                if let Some(id) = nth(&self.subscribers, index) {
                    self.subscribers.remove(&id);
                    self.registry.unsubscribe(id);
                }
            }
            Action::Grant(index) => self.answer(index, true),
            Action::Refuse(index) => self.answer(index, false),
            Action::Event(index) => self.event(index),
            // No registration ever gets a negative number.
            Action::Stray(callback) => self.send(callback | i32::MIN, 0),
            Action::Garbage(number, payload) => {
                let mut payload = BytesMut::from(payload.bytes());
                if let Some(first) = payload.first_mut() {
                    *first |= 0x80;
                }
                self.registry
                    .deliver(packet(number.into(), payload.freeze()));
            }
            Action::Read(index) => self.read(index),
        }
        while let Some(wish) = self.registry.next_wish() {
            self.wish(wish);
        }
    }

    fn subscribe(&mut self, kinds: Kinds, domain: u8, room: u8) {
        let (lifecycle, block_job) = (DomainEventId::LIFECYCLE.0, DomainEventId::BLOCK_JOB_2.0);
        let events = match kinds {
            Kinds::Lifecycle => vec![lifecycle],
            Kinds::BlockJob => vec![block_job],
            Kinds::Both => vec![lifecycle, block_job],
        };
        // Few domains, so that subscribers meet.
        let domain = Some(domain % 3);
        let keys = events.into_iter().map(|event| Key { event, domain });
        let keys: Vec<_> = keys.chain([Key::anchor()]).collect();
        self.last_id += 1;
        let room = usize::from(room % 8) + 1;
        let handle = self.registry.subscribe(self.last_id, &keys, room);
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let granted = |key: &Key| self.granted.contains_key(key);
        let open = keys.iter().copied().filter(|key| !granted(key)).collect();
        let subscribed = Subscribed {
            handle,
            room,
            keys,
            open,
            ready: None,
            due: VecDeque::new(),
            missed: false,
        };
        self.subscribers.insert(self.last_id, subscribed);
    }

    /// The registry never asks twice for one thing, and gives up only what it has.
    fn wish(&mut self, wish: Wish) {
        let (Wish::Register(key) | Wish::Deregister(key)) = wish;
        let asked = |(other, _): &(Wish, i32)| {
            let (Wish::Register(other) | Wish::Deregister(other)) = *other;
            other == key
        };
        assert!(
            !self.wishes.iter().any(asked),
            "{key:?} is being dealt with"
        );
        match wish {
            Wish::Register(_) => {
                assert!(!self.granted.contains_key(&key), "{key:?} is registered");
                self.last_callback += 1;
            }
            Wish::Deregister(_) => {
                assert_ne!(key, Key::anchor());
                assert!(
                    self.granted.remove(&key).is_some(),
                    "{key:?} is not registered"
                );
                assert!(!self.subscribers.values().any(|s| s.keys.contains(&key)));
            }
        }
        self.wishes.push((wish, self.last_callback));
    }

    fn answer(&mut self, index: u8, well: bool) {
        let Some(index) = usize::from(index).checked_rem(self.wishes.len()) else {
            return;
        };
        match self.wishes.remove(index) {
            (Wish::Register(key), callback) if well => self.grant(key, callback),
            (Wish::Register(key), callback) => {
                self.early.retain(|(other, _)| *other != callback);
                self.registry.registered(key, None);
                self.subscribers.retain(|_, subscribed| {
                    let refused = subscribed.keys.contains(&key);
                    assert!(!refused || subscribed.handle.take_ready() == Some(false));
                    !refused
                });
            }
            (Wish::Deregister(key), _) => self.registry.deregistered(key),
        }
        self.forget_early();
    }

    fn grant(&mut self, key: Key, callback: i32) {
        self.granted.insert(key, callback);
        for subscribed in self.subscribers.values_mut() {
            subscribed.open.remove(&key);
        }
        let early = std::mem::take(&mut self.early);
        let (mine, others) = early.into_iter().partition(|(other, _)| *other == callback);
        self.early = others;
        let mine: VecDeque<(i32, u32)> = mine;
        for (_, number) in mine {
            self.expect(key, number);
        }
        self.registry.registered(key, Some(callback));
    }

    /// What was kept for registrations is kept for as long as there is one under way.
    fn forget_early(&mut self) {
        let registering = |(wish, _): &(Wish, i32)| matches!(wish, Wish::Register(_));
        if !self.wishes.iter().any(registering) {
            self.early.clear();
        }
    }

    /// An event of a registration: granted, or made by the daemon and not answered yet.
    fn event(&mut self, index: u8) {
        let granted = self
            .granted
            .iter()
            .map(|(key, callback)| (Some(*key), *callback));
        let made = self
            .wishes
            .iter()
            .filter_map(|(wish, callback)| match wish {
                Wish::Register(_) => Some((None, *callback)),
                Wish::Deregister(_) => None,
            });
        let all: Vec<_> = granted.chain(made).collect();
        let Some(index) = usize::from(index).checked_rem(all.len()) else {
            return;
        };
        self.last_event += 1;
        let (key, callback) = all[index];
        match key {
            Some(key) => self.expect(key, self.last_event),
            None if self.registry.counts().held < MAX_HELD => {
                self.early.push_back((callback, self.last_event));
            }
            None => {}
        }
        self.send(callback, self.last_event);
    }

    /// Notes who has to get an event.
    fn expect(&mut self, key: Key, number: u32) {
        for subscribed in self.subscribers.values_mut() {
            if subscribed.keys.contains(&key) {
                if subscribed.due.len() < subscribed.room {
                    subscribed.due.push_back(number);
                } else {
                    subscribed.missed = true;
                }
            }
        }
    }

    fn send(&mut self, callback: i32, number: u32) {
        let mut payload = BytesMut::new();
        payload.put_i32(callback);
        payload.put_u32(number);
        let lifecycle = remote::DomainEventCallbackLifecycle::NUMBER;
        self.registry.deliver(packet(lifecycle, payload.freeze()));
    }

    fn read(&mut self, index: u8) {
        let Some(id) = nth(&self.subscribers, index) else {
            return;
        };
        let subscribed = self.subscribers.get_mut(&id).expect("it has this number");
        let event = subscribed.handle.next_event();
        assert_eq!(event.as_ref().map(number_of), subscribed.due.pop_front());
        if subscribed.due.is_empty() {
            assert_eq!(subscribed.handle.take_lagged(), subscribed.missed);
            subscribed.missed = false;
        }
    }

    fn check(&mut self) {
        for subscribed in self.subscribers.values_mut() {
            assert_eq!(subscribed.handle.waiting(), subscribed.due.len());
            if let Some(ready) = subscribed.handle.take_ready() {
                assert_eq!(subscribed.ready.replace(ready), None);
            }
            let expected = subscribed.open.is_empty().then_some(true);
            assert_eq!(subscribed.ready, expected, "of {:?}", subscribed.open);
        }
        let counts = self.registry.counts();
        assert_eq!(counts.subscribers, self.subscribers.len());
        assert_eq!(counts.callbacks, self.granted.len());
        assert_eq!(counts.registrations, self.granted.len() + self.wishes.len());
        assert!(counts.held <= MAX_HELD);
    }

    /// When everybody has gone and the daemon has done everything, one registration is left.
    fn end(&mut self) {
        while let Some((&id, _)) = self.subscribers.first_key_value() {
            self.subscribers.remove(&id);
            self.registry.unsubscribe(id);
        }
        loop {
            while let Some(wish) = self.registry.next_wish() {
                self.wish(wish);
            }
            if self.wishes.is_empty() {
                break;
            }
            self.answer(0, true);
        }
        let anchor = self.granted.len();
        assert!(anchor == 0 || self.granted.keys().eq([&Key::anchor()]));
        let left = Counts {
            registrations: anchor,
            callbacks: anchor,
            subscribers: 0,
            held: 0,
        };
        assert_eq!(self.registry.counts(), left);
    }
}

impl Action<'_> {
    /// What it can make the registry keep.
    fn bytes(&self) -> usize {
        match self {
            Self::Garbage(_, payload) => 1024 + payload.bytes().len(),
            _ => 4096,
        }
    }
}

fn nth(subscribers: &BTreeMap<u64, Subscribed>, index: u8) -> Option<u64> {
    let index = usize::from(index).checked_rem(subscribers.len())?;
    subscribers.keys().nth(index).copied()
}

/// An event packet, which can only be had from a session.
fn packet(number: i32, payload: Bytes) -> EventPacket {
    let now = Instant::now();
    let mut session = ClientSession::<()>::new(ClientConfig::default(), now);
    let header = Header {
        program: remote::PROGRAM,
        procedure: number,
        kind: MessageType::Message,
        serial: Serial::new(1),
        status: Status::Ok,
    };
    let taken = session.handle_frame(Frame::new(header, payload), now);
    assert_eq!(taken, Ok(()));
    match session.poll_output() {
        Some(Output::Event(event)) => event,
        other => panic!("an event is handed over, not {other:?}"),
    }
}

fn number_of(event: &EventPacket) -> u32 {
    let number = event.payload.get(4..).and_then(<[u8]>::first_chunk);
    u32::from_be_bytes(*number.expect("every event that is due has one"))
}
