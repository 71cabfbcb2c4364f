//! Events of newer daemons, and of broken ones.

use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventId as Id, DomainEventType,
    NetworkEventId, StoragePoolEventId,
};
use virtwire::event::{DomainEvent, DomainEventKind, Event, EventError, EventStream, Lifecycle};
use virtwire::{Connection, Event as _, Program, lxc, qemu, remote};
use virtwire_protocol::event::Message;
use virtwire_protocol::session::EventPacket;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{domain, event_header};

use super::{Daemon, number, start};

/// The number of an event that does not exist.
const NEWER: i32 = 9999;

async fn send(daemon: &mut Daemon, program: Program, number: i32, payload: &[u8]) {
    let header = event_header(program, number);
    daemon.peer.send(&header, payload).await.unwrap();
}

/// A stream of one type, for an event that this version does not know as well, whose registration
/// has the ID 1.
async fn curious(connection: &Connection, daemon: &mut Daemon) -> EventStream<DomainEvent> {
    let subscribing = connection.domain_events([Id::LIFECYCLE, Id(77)]);
    let events = daemon.during(subscribing).await.unwrap();
    assert_eq!(
        daemon.wanted(),
        ["domain event LIFECYCLE", "domain event 77"]
    );
    events
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_everything_gets_what_is_unknown_as_it_is() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = daemon.during(connection.all_events()).await.unwrap();
        for program in [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM] {
            for (procedure, payload) in [(NEWER, &b"something"[..]), (0, b""), (-1, &[0; 4096])] {
                send(&mut daemon, program, procedure, payload).await;
                let Event::Unknown(event) = events.recv().await.unwrap() else {
                    panic!()
                };
                assert_eq!((event.program, event.procedure), (program, procedure));
                assert_eq!(event.bytes, payload);
                assert!(Event::Unknown(event).id().is_none());
            }
        }
        daemon.rest().await;
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_asked_for_what_is_unknown_gets_it() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut typed = curious(&connection, &mut daemon).await;
        let builder = connection.events().event(Id(77));
        let mut untyped = daemon.during(builder.subscribe()).await.unwrap();
        let mut others = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let payload = [&[0, 0, 0, 1], &b"more"[..]].concat();
        send(&mut daemon, remote::PROGRAM, NEWER, &payload).await;
        let Err(EventError::Unknown(event)) = typed.recv().await else {
            panic!()
        };
        assert_eq!((event.procedure, &*event.bytes), (NEWER, &*payload));
        assert!(!EventError::Unknown(event.clone()).is_end());
        let Event::Unknown(same) = untyped.recv().await.unwrap() else {
            panic!()
        };
        assert_eq!(same, event);
        // Known ones come as ever, and unknown ones of other registrations do not.
        send(&mut daemon, remote::PROGRAM, NEWER, &[0, 0, 0, 0]).await;
        send(&mut daemon, remote::PROGRAM, NEWER, &[0, 0, 0]).await;
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(typed.recv().await), 1);
        assert_eq!(number(others.recv().await), 1);
        assert!(untyped.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_event_comes_once_however_many_registrations_it_may_be_for() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let builder = connection.events().event(Id(77)).event(NetworkEventId(77));
        let mut both = daemon.during(builder.clone().subscribe()).await.unwrap();
        let mut all = daemon.during(builder.all().subscribe()).await.unwrap();
        send(&mut daemon, remote::PROGRAM, NEWER, &[0; 8]).await;
        for events in [&mut both, &mut all] {
            assert!(matches!(events.recv().await, Ok(Event::Unknown(_))));
        }
        daemon.rest().await;
        assert!(both.try_recv().is_none() && all.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_event_before_the_answer_to_its_registration_is_delivered() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let _pools = daemon.during(
            connection
                .events()
                .event(StoragePoolEventId::REFRESH)
                .subscribe(),
        );
        drop(_pools);
        let subscribing = tokio::spawn(async move { connection.domain_events([Id(77)]).await });
        daemon.tell_style().await;
        let (register, anchor) = (daemon.hear().await, daemon.hear().await);
        send(&mut daemon, remote::PROGRAM, NEWER, &[0; 8]).await;
        daemon.answer(&register).await;
        daemon.answer(&anchor).await;
        let mut events = subscribing.await.unwrap().unwrap();
        assert!(matches!(events.recv().await, Err(EventError::Unknown(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_numbers_within_an_event_are_kept() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ids = [Id::LIFECYCLE, Id::BLOCK_JOB_2];
        let mut events = daemon.during(connection.domain_events(ids)).await.unwrap();
        for (event, detail) in [(99, 7), (-1, -1), (i32::MAX, i32::MIN), (2, 4711), (5, -3)] {
            let step = Lifecycle::new(DomainEventType(event), detail);
            let kind = DomainEventKind::Lifecycle(step);
            daemon
                .tell(&Message::new(Some(0), domain(), kind.clone()))
                .await;
            let heard = events.recv().await.unwrap().kind;
            assert_eq!(heard, kind);
            let DomainEventKind::Lifecycle(step) = heard else {
                panic!()
            };
            assert_eq!((step.event().0, step.detail()), (event, detail));
        }
        let kind = DomainEventKind::BlockJob2 {
            dst: "vda".to_owned(),
            kind: DomainBlockJobType(99),
            status: ConnectDomainEventBlockJobStatus(-7),
        };
        daemon
            .tell(&Message::new(Some(1), domain(), kind.clone()))
            .await;
        assert_eq!(events.recv().await.unwrap().kind, kind);
    })
    .await;
}

/// Sends the event cut short at every byte behind its callback ID. Each is told in its place, and
/// then the whole one.
async fn is_malformed_at_any_byte(
    daemon: &mut Daemon,
    events: &mut EventStream<Event>,
    whole: &EventPacket,
    from: usize,
) {
    for length in 0..whole.payload.len() {
        send(
            daemon,
            whole.program,
            whole.procedure,
            &whole.payload[..length],
        )
        .await;
        daemon.rest().await;
        match events.try_recv() {
            // Without its callback ID it is nobody's.
            None => assert!(length < from),
            Some(Err(EventError::Malformed { event, .. })) => {
                assert_eq!(event.procedure, whole.procedure);
                assert_eq!(event.bytes.len(), length);
            }
            Some(other) => panic!("{other:?} of {length} bytes"),
        }
    }
    send(daemon, whole.program, whole.procedure, &whole.payload).await;
    events.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_cut_short_at_any_byte_is_told_and_the_stream_goes_on() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = daemon.during(connection.all_events()).await.unwrap();
        for sample in super::kinds::samples() {
            let wish = sample.kind.id().to_string();
            let callback = sample.callback_id.map(|_| daemon.callback(&wish));
            let sample = Message {
                callback_id: callback,
                ..sample
            };
            let from = callback.map_or(0, |_| 4);
            let whole = sample.encode().unwrap();
            is_malformed_at_any_byte(&mut daemon, &mut events, &whole, from).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn malformed_event_is_a_loss_in_a_typed_stream_too() {
    paused_deadline(async {
        let (_connection, mut daemon, mut events) = Daemon::subscribed().await;
        let number_of = remote::DomainEventCallbackLifecycle::NUMBER;
        send(&mut daemon, remote::PROGRAM, number_of, &[0; 5]).await;
        daemon.tell(&start(0, 1)).await;
        let error = events.recv().await.unwrap_err();
        assert!(matches!(error, EventError::Malformed { .. }));
        assert!(error.is_loss() && !error.is_end());
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(number(events.recv().await), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn list_beyond_its_bound_is_malformed() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = daemon
            .during(connection.domain_events([Id::JOB_COMPLETED]))
            .await
            .unwrap();
        let kind = DomainEventKind::JobCompleted { params: Vec::new() };
        let packet = Message::new(Some(0), domain(), kind).encode().unwrap();
        let count = packet.payload.len() - 4;
        for announced in [65_u32, u32::MAX, 1 << 31] {
            let payload = [&packet.payload[..count], &announced.to_be_bytes()].concat();
            send(&mut daemon, packet.program, packet.procedure, &payload).await;
            assert!(matches!(
                events.recv().await,
                Err(EventError::Malformed { .. })
            ));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_utf_8_does_not_spoil_an_event() {
    paused_deadline(async {
        let (_connection, mut daemon, mut events) = Daemon::subscribed().await;
        let packet = start(0, 1).encode().unwrap();
        let mut payload = packet.payload.to_vec();
        // The name of the guest, behind the callback ID and its length.
        payload[8] = 0xff;
        send(&mut daemon, packet.program, packet.procedure, &payload).await;
        let event = events.recv().await.unwrap();
        assert_eq!(event.domain.name(), "\u{fffd}uest");
        assert_eq!(number(Ok(event)), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_an_event_are_of_a_newer_daemon() {
    paused_deadline(async {
        let (_connection, mut daemon, mut events) = Daemon::subscribed().await;
        let packet = start(0, 1).encode().unwrap();
        for more in [1, 4, 1000] {
            let payload = [&packet.payload[..], &vec![0xff; more]].concat();
            send(&mut daemon, packet.program, packet.procedure, &payload).await;
            assert_eq!(number(events.recv().await), 1);
        }
    })
    .await;
}
