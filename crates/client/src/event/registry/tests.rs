//! The registry, told by hand what the driver would tell it.

mod held;
mod leaving;
mod legacy;
mod overflow;
mod refusal;
mod restart;
mod sharing;
mod unknown;

use bytes::{BufMut, Bytes, BytesMut};
use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{
    ConnectCloseReason, DomainEventId, ErrorCode, ErrorDomain, NetworkEventId,
    NetworkEventLifecycleType, SecretEventId,
};
use virtwire_protocol::event::{
    self, DomainEventKind, EventId, EventKind, Message, MonitorEvent, NetworkEventKind,
    SecretEventKind, Subject,
};
use virtwire_protocol::remote;
use virtwire_protocol::session::{EventPacket, ReplyError};
use virtwire_xdr::Reader;

use super::delivery::MAX_EVENT_LEN;
use super::held::{MAX_HELD, MAX_HELD_BYTES};
use super::*;
use crate::Uuid;
use crate::event::queue::{CoalesceKey, Item, Overflow, Receiver};

const LIFECYCLE: EventId = EventId::Domain(DomainEventId::LIFECYCLE);
const REBOOT: EventId = EventId::Domain(DomainEventId::REBOOT);
const NETWORK: EventId = EventId::Network(NetworkEventId::LIFECYCLE);
const SECRET: EventId = EventId::Secret(SecretEventId::VALUE_CHANGED);
const NEWER: EventId = EventId::Domain(DomainEventId(1000));

/// What a subscriber asks for.
struct Wanted {
    keys: Vec<RegistrationKey>,
    /// Those that are held and not asked for.
    anchors: Vec<RegistrationKey>,
    length: usize,
    overflow: Overflow,
    only: Option<ObjectKey>,
    tolerant: bool,
    unknown: bool,
}

/// The subscriber.
struct Listener {
    queue: Receiver,
    ready: oneshot::Receiver<Beginning>,
}

/// What a subscriber finds; events by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Event(u32),
    Lagged(u64),
    Gap,
    Closed,
    Overflowed,
    Refused,
    Failed,
}

use Seen::{Event, Gap, Lagged};

/// What the registry wants of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Register(RegistrationKey),
    Deregister(RegistrationKey),
}

use Call::{Deregister, Register};

/// How a subscription was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ready {
    NotYet,
    /// Without these.
    Yes(Vec<EventId>),
    No(String),
    /// The registry has gone.
    Dropped,
}

impl Wanted {
    fn new(keys: impl IntoIterator<Item = RegistrationKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            anchors: Vec::new(),
            length: 4,
            overflow: Overflow::DropOldest,
            only: None,
            tolerant: false,
            unknown: false,
        }
    }

    fn subscribe(self, registry: &mut Registry, id: u64) -> Listener {
        let (sender, queue) = queue::queue(self.length, self.overflow);
        let (ready, registered) = oneshot::channel();
        let asked = self.keys.len();
        let registrations = self.keys.into_iter().chain(self.anchors).map(|key| {
            let request = key.register().unwrap();
            (key, request)
        });
        registry.subscribe(Subscribe {
            id,
            registrations: registrations.collect(),
            asked,
            queue: sender,
            only: self.only,
            tolerant: self.tolerant,
            unknown: self.unknown,
            ready,
        });
        Listener {
            queue,
            ready: registered,
        }
    }
}

impl Listener {
    /// What is there to be read, the end once.
    fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(item) = self.queue.try_pop() {
            seen.push(match item {
                Ok(Item::Event(packet)) => Event(number_of(&packet)),
                Ok(Item::Lagged(missed)) => Lagged(missed),
                Ok(Item::Gap) => Gap,
                Err(End::Closed) => Seen::Closed,
                Err(End::Overflowed) => Seen::Overflowed,
                Err(End::Refused(_)) => Seen::Refused,
                Err(End::Failed(_)) => Seen::Failed,
            });
            if matches!(
                seen.last(),
                Some(Seen::Closed | Seen::Overflowed | Seen::Refused | Seen::Failed)
            ) {
                break;
            }
        }
        seen
    }

    fn ready(&mut self) -> Ready {
        use oneshot::error::TryRecvError;
        match self.ready.try_recv() {
            Ok(Ok(())) => Ready::Yes(self.refused()),
            Ok(Err((_, failure))) => Ready::No(failure.to_string()),
            Err(TryRecvError::Empty) => Ready::NotYet,
            Err(TryRecvError::Closed) => Ready::Dropped,
        }
    }

    /// What it does without.
    fn refused(&self) -> Vec<EventId> {
        let refused = self.queue.refused();
        refused.into_iter().map(|(event, _)| event).collect()
    }

    fn is_ready(&mut self) -> bool {
        self.ready() == Ready::Yes(Vec::new())
    }
}

/// Subscribes to these, with room for four events.
fn subscribe<const N: usize>(
    registry: &mut Registry,
    id: u64,
    keys: [RegistrationKey; N],
) -> Listener {
    Wanted::new(keys).subscribe(registry, id)
}

/// Subscribes to this, and holds the anchor of its class.
fn anchored(key: RegistrationKey) -> Wanted {
    Wanted {
        anchors: vec![anchor(key.event.class())],
        ..Wanted::new([key])
    }
}

/// As [`subscribe`], and the daemon grants it. The calls that it took are forgotten.
fn subscribed(registry: &mut Registry, id: u64, key: &RegistrationKey, callback: i32) -> Listener {
    let mut listener = subscribe(registry, id, [key.clone()]);
    registry.registered(key.clone(), Ok(callback));
    assert!(listener.is_ready());
    calls(registry);
    listener
}

fn of_all(event: EventId) -> RegistrationKey {
    RegistrationKey::new(event, None)
}

fn of_domain(event: EventId, number: u8) -> RegistrationKey {
    RegistrationKey::new(event, Some(domain(number)))
}

fn domain(number: u8) -> ObjectKey {
    ObjectKey::Domain(Uuid::from([number; 16]))
}

fn anchor(class: EventClass) -> RegistrationKey {
    RegistrationKey::anchor(class, Style::Callback).unwrap()
}

fn calls(registry: &mut Registry) -> Vec<Call> {
    let call = |call| match call {
        RegistryCall::Register(key, _) => Register(key),
        RegistryCall::Deregister(key, _) => Deregister(key),
    };
    let calls = std::iter::from_fn(|| registry.next_call());
    calls.map(call).collect()
}

/// An event of the domain 7, the network 7 or the secret 7, with a number behind it.
fn event(event: EventId, callback: impl Into<Option<i32>>, number: u32) -> EventPacket {
    event_about(event, callback, 7, number)
}

fn event_about(
    event: EventId,
    callback: impl Into<Option<i32>>,
    object: u8,
    number: u32,
) -> EventPacket {
    let uuid = [object; 16];
    let name = || "name".into();
    let id = 1;
    let dom = Subject::Domain(remote::NonnullDomain {
        name: name(),
        uuid,
        id,
    });
    let net = remote::NonnullNetwork { name: name(), uuid };
    let secret = remote::NonnullSecret {
        uuid,
        usage_type: 0,
        usage_id: name(),
    };
    let (subject, kind): (_, EventKind) = match event {
        LIFECYCLE => {
            let started = virtwire_protocol::constants::DomainEventType::STARTED;
            let lifecycle = event::Lifecycle::new(started, 0);
            (dom, DomainEventKind::Lifecycle(lifecycle).into())
        }
        REBOOT | NEWER => (dom, DomainEventKind::Reboot.into()),
        EventId::Domain(DomainEventId::CONTROL_ERROR) => {
            (dom, DomainEventKind::ControlError.into())
        }
        EventId::Network(_) => {
            let event = NetworkEventLifecycleType::STARTED;
            let kind = NetworkEventKind::Lifecycle { event, detail: 0 };
            (net.into(), kind.into())
        }
        EventId::Secret(_) => (secret.into(), SecretEventKind::ValueChanged.into()),
        EventId::QemuMonitor => {
            let event = MonitorEvent {
                name: "STOP".to_owned(),
                seconds: 1,
                micros: 2,
                details: None,
            };
            (dom, event.into())
        }
        EventId::ConnectionClosed => {
            let reason = ConnectCloseReason::EOF;
            (Subject::Connection, EventKind::ConnectionClosed(reason))
        }
        other => panic!("no test has a {other}"),
    };
    let mut packet = Message::new(callback.into(), subject, kind)
        .encode()
        .unwrap();
    if event == NEWER {
        packet.procedure = i32::MAX;
    }
    numbered(packet, number)
}

/// What a newer daemon says behind what we know is not looked at; here it is a number.
fn numbered(mut packet: EventPacket, number: u32) -> EventPacket {
    let mut payload = BytesMut::from(packet.payload.as_ref());
    payload.put_u32(number);
    packet.payload = payload.freeze();
    packet
}

/// The event with a payload of this length.
fn padded(mut packet: EventPacket, length: usize) -> EventPacket {
    let number = number_of(&packet);
    let mut payload = BytesMut::from(packet.payload.as_ref());
    payload.resize(length - 4, 0);
    packet.payload = payload.freeze();
    numbered(packet, number)
}

fn number_of(packet: &EventPacket) -> u32 {
    u32::from_be_bytes(*packet.payload.last_chunk().unwrap())
}

fn refusal() -> CallFailure {
    let error = RemoteError::new(ErrorCode::NO_SUPPORT, ErrorDomain::RPC, "no");
    CallFailure::Remote(Box::new(error))
}

/// The daemon's answer makes no sense.
fn bad_reply() -> CallFailure {
    let error = Reader::new(&[]).i32().unwrap_err();
    CallFailure::BadReply(ReplyError::UndecodableError(error))
}

/// Nobody is left, but for those who are never given up.
fn assert_empty(registry: &Registry) {
    assert!(registry.subscribers.is_empty());
    assert!(
        registry
            .registrations
            .keys()
            .all(RegistrationKey::is_anchor)
    );
    assert!(
        registry
            .by_callback
            .values()
            .all(RegistrationKey::is_anchor)
    );
    assert_eq!(registry.held.len(), 0);
    assert!(registry.calls.is_empty());
}
