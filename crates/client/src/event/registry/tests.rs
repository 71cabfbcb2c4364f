use virtwire_protocol::constants::{DomainEventId, ErrorCode, ErrorDomain};
use virtwire_protocol::{Event, RemoteError};
use virtwire_xdr::{Encode, Writer};

use super::*;
use crate::Uuid;

type Register = remote::ConnectDomainEventCallbackRegisterAny;

const LIFECYCLE: DomainEventId = DomainEventId::LIFECYCLE;
const BLOCK_JOB: DomainEventId = DomainEventId::BLOCK_JOB_2;

struct Subscriber {
    queue: mpsc::Receiver<EventPacket>,
    lagged: Arc<AtomicBool>,
    ready: oneshot::Receiver<Result<(), CallFailure>>,
}

impl Subscriber {
    fn events(&mut self) -> usize {
        std::iter::from_fn(|| self.queue.try_recv().ok()).count()
    }

    fn lagged(&self) -> bool {
        self.lagged.load(Ordering::Relaxed)
    }
}

fn key(event: DomainEventId) -> RegistrationKey {
    RegistrationKey {
        event: event.0,
        domain: Some(Uuid::from([7; 16])),
    }
}

fn subscribe(registry: &mut Registry, id: u64, events: &[DomainEventId]) -> Subscriber {
    let (sender, queue) = mpsc::channel(4);
    let (ready, registered) = oneshot::channel();
    let lagged = Arc::<AtomicBool>::default();
    let request = || CallRequest::new::<Register>(&Default::default()).unwrap();
    registry.subscribe(Subscribe {
        id,
        registrations: events
            .iter()
            .map(|event| (key(*event), request()))
            .collect(),
        queue: sender,
        lagged: Arc::clone(&lagged),
        ready,
    });
    Subscriber {
        queue,
        lagged,
        ready: registered,
    }
}

/// What the registry wants to be called: whether to register, and for which event.
fn calls(registry: &mut Registry) -> Vec<(bool, i32)> {
    let call = |call| match call {
        RegistryCall::Register(key, _) => (true, key.event),
        RegistryCall::Deregister(key, _) => (false, key.event),
    };
    std::iter::from_fn(|| registry.next_call())
        .map(call)
        .collect()
}

/// An event as the session hands it over.
fn lifecycle(callback_id: i32, padding: usize) -> EventPacket {
    let mut payload = bytes::BytesMut::new();
    callback_id.encode(&mut Writer::new(&mut payload)).unwrap();
    payload.resize(payload.len() + padding, 0);
    packet(payload.freeze())
}

/// An event packet can only be had from a session.
fn packet(payload: Bytes) -> EventPacket {
    use virtwire_protocol::frame::Frame;
    use virtwire_protocol::header::{Header, MessageType, Serial, Status};
    use virtwire_protocol::session::{ClientConfig, ClientSession, Output};

    let now = std::time::Instant::now();
    let mut session = ClientSession::<()>::new(ClientConfig::default(), now);
    let header = Header {
        program: remote::PROGRAM,
        procedure: remote::DomainEventCallbackLifecycle::NUMBER,
        kind: MessageType::Message,
        serial: Serial::new(1),
        status: Status::Ok,
    };
    session
        .handle_frame(Frame::new(header, payload), now)
        .unwrap();
    let Some(Output::Event(event)) = session.poll_output() else {
        panic!("an event is handed over");
    };
    event
}

fn refusal() -> CallFailure {
    let error = RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, "no");
    CallFailure::Remote(Box::new(error))
}

#[test]
fn event_before_the_answer_to_its_registration_is_delivered_after_it() {
    let mut registry = Registry::default();
    let mut subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.deliver(lifecycle(5, 0));
    registry.deliver(lifecycle(6, 0));
    assert_eq!(subscriber.events(), 0);
    registry.registered(key(LIFECYCLE), Ok(5));
    assert!(subscriber.ready.try_recv().unwrap().is_ok());
    assert_eq!(subscriber.events(), 1);
}

#[test]
fn event_of_an_unknown_callback_is_not_held_when_no_answer_is_awaited() {
    let mut registry = Registry::default();
    let mut subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.registered(key(LIFECYCLE), Ok(5));
    registry.deliver(lifecycle(6, 0));
    assert!(registry.held.is_empty());
    let _other = subscribe(&mut registry, 2, &[BLOCK_JOB]);
    registry.registered(key(BLOCK_JOB), Ok(6));
    assert_eq!(subscriber.events(), 0);
}

#[test]
fn held_events_are_bounded_in_number_and_length() {
    let mut registry = Registry::default();
    let _subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    for _ in 0..2 * MAX_HELD {
        registry.deliver(lifecycle(5, 0));
    }
    assert_eq!(registry.held.len(), MAX_HELD);

    let mut registry = Registry::default();
    let _subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.deliver(lifecycle(5, MAX_EVENT_LEN));
    assert!(registry.held.is_empty());
}

#[test]
fn event_shares_no_memory_with_what_it_came_in() {
    let mut registry = Registry::default();
    let mut subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.registered(key(LIFECYCLE), Ok(5));
    let event = lifecycle(5, 100);
    let received = event.payload.as_ptr();
    registry.deliver(event);
    let event = subscriber.queue.try_recv().unwrap();
    assert_eq!(event.payload.len(), 104);
    assert_ne!(event.payload.as_ptr(), received);
}

#[test]
fn full_queue_is_told_and_the_events_before_the_gap_are_kept() {
    let mut registry = Registry::default();
    let mut subscriber = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.registered(key(LIFECYCLE), Ok(0));
    for _ in 0..4 {
        registry.deliver(lifecycle(0, 0));
    }
    assert!(!subscriber.lagged());
    registry.deliver(lifecycle(0, 0));
    assert!(subscriber.lagged());
    assert_eq!(subscriber.events(), 4);
}

#[test]
fn refused_registration_fails_its_subscriber_and_gives_up_the_other() {
    let mut registry = Registry::default();
    let mut subscriber = subscribe(&mut registry, 1, &[LIFECYCLE, BLOCK_JOB]);
    assert_eq!(
        calls(&mut registry),
        [(true, LIFECYCLE.0), (true, BLOCK_JOB.0)]
    );
    registry.registered(key(LIFECYCLE), Ok(5));
    registry.registered(key(BLOCK_JOB), Err(refusal()));
    assert!(subscriber.ready.try_recv().unwrap().is_err());
    assert_eq!(calls(&mut registry), [(false, LIFECYCLE.0)]);
    registry.deregistered(key(LIFECYCLE));
    assert!(registry.registrations.is_empty());
    assert!(registry.subscribers.is_empty());
}

#[test]
fn subscriber_that_leaves_before_the_answer_leaves_nothing_behind() {
    let mut registry = Registry::default();
    drop(subscribe(&mut registry, 1, &[LIFECYCLE]));
    registry.unsubscribe(1);
    assert_eq!(calls(&mut registry), [(true, LIFECYCLE.0)]);
    registry.registered(key(LIFECYCLE), Ok(5));
    assert_eq!(calls(&mut registry), [(false, LIFECYCLE.0)]);
    registry.deregistered(key(LIFECYCLE));
    assert!(registry.registrations.is_empty());
    assert!(registry.by_callback.is_empty());
}

#[test]
fn subscriber_that_comes_while_the_last_one_leaves_is_registered_anew() {
    let mut registry = Registry::default();
    drop(subscribe(&mut registry, 1, &[LIFECYCLE]));
    registry.registered(key(LIFECYCLE), Ok(5));
    registry.unsubscribe(1);
    let mut second = subscribe(&mut registry, 2, &[LIFECYCLE]);
    assert_eq!(
        calls(&mut registry),
        [(true, LIFECYCLE.0), (false, LIFECYCLE.0)]
    );
    registry.deliver(lifecycle(5, 0));
    registry.deregistered(key(LIFECYCLE));
    assert_eq!(calls(&mut registry), [(true, LIFECYCLE.0)]);
    registry.registered(key(LIFECYCLE), Ok(6));
    assert!(second.ready.try_recv().unwrap().is_ok());
    registry.deliver(lifecycle(5, 0));
    registry.deliver(lifecycle(6, 0));
    assert_eq!(second.events(), 1);
}

#[test]
fn one_registration_serves_all_its_subscribers() {
    let mut registry = Registry::default();
    let mut first = subscribe(&mut registry, 1, &[LIFECYCLE]);
    registry.registered(key(LIFECYCLE), Ok(5));
    let mut second = subscribe(&mut registry, 2, &[LIFECYCLE]);
    assert_eq!(calls(&mut registry), [(true, LIFECYCLE.0)]);
    assert!(second.ready.try_recv().unwrap().is_ok());
    registry.deliver(lifecycle(5, 0));
    assert_eq!((first.events(), second.events()), (1, 1));
    registry.unsubscribe(1);
    registry.deliver(lifecycle(5, 0));
    assert_eq!((first.events(), second.events()), (0, 1));
    assert!(calls(&mut registry).is_empty());
}

#[test]
fn the_anchor_outlives_its_subscribers() {
    let mut registry = Registry::default();
    let (sender, _queue) = mpsc::channel(4);
    let (ready, _registered) = oneshot::channel();
    let request = CallRequest::new::<Register>(&Default::default()).unwrap();
    registry.subscribe(Subscribe {
        id: 1,
        registrations: vec![(RegistrationKey::ANCHOR, request)],
        queue: sender,
        lagged: Arc::default(),
        ready,
    });
    assert_eq!(
        calls(&mut registry),
        [(true, RegistrationKey::ANCHOR.event)]
    );
    registry.registered(RegistrationKey::ANCHOR, Ok(0));
    registry.unsubscribe(1);
    assert_eq!(calls(&mut registry), []);
}
