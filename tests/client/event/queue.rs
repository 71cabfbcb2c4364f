//! What becomes of events that a subscriber is too slow for.

use std::time::Duration;

use tokio::time::timeout;
use virtwire::constants::DomainEventId as Id;
use virtwire::event::{
    Builder, CoalesceKey, DomainEvent, DomainEventKind, Event, EventError, EventStream, Overflow,
    StoragePoolEventKind,
};
use virtwire::{Connection, Event as _, remote};
use virtwire_protocol::event::Message;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{domain, event_header, storage_pool};

use super::{Daemon, number, other_domain, start, start_of, starts};

/// A subscription to lifecycles, by the callback ID 0, and more.
async fn subscribed(
    connection: &Connection,
    daemon: &mut Daemon,
    with: impl FnOnce(Builder) -> Builder,
) -> EventStream<DomainEvent> {
    let builder = with(connection.events().event(Id::LIFECYCLE));
    daemon.during(builder.subscribe_as()).await.unwrap()
}

/// The stream must say that so many events were lost.
async fn lagged(events: &mut EventStream<DomainEvent>) -> u64 {
    match events.recv().await {
        Err(EventError::Lagged(missed)) => missed,
        other => panic!("{other:?}"),
    }
}

async fn says_nothing(events: &mut EventStream<DomainEvent>) {
    let nothing = timeout(Duration::from_secs(60), events.recv()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn oldest_are_dropped_and_counted_where_they_were() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = subscribed(&connection, &mut daemon, |all| all.queue_length(4)).await;
        daemon.peer.send_raw(&starts(0, 0..4)).await.unwrap();
        daemon.rest().await;
        // Two are read in time; of seven, four fit.
        assert_eq!(number(events.recv().await), 0);
        assert_eq!(number(events.recv().await), 1);
        daemon.peer.send_raw(&starts(0, 4..9)).await.unwrap();
        daemon.rest().await;
        assert_eq!(lagged(&mut events).await, 3);
        for expected in 5..9 {
            assert_eq!(number(events.recv().await), expected);
        }
        // It is told once, and then everything comes again.
        daemon.tell(&start(0, 9)).await;
        assert_eq!(number(events.recv().await), 9);
        says_nothing(&mut events).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_loss_is_counted_however_little_is_read_in_between() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = subscribed(&connection, &mut daemon, |all| all.queue_length(3)).await;
        let (mut seen, mut missed, mut next) = (0, 0, 0);
        for round in 0..100 {
            daemon
                .peer
                .send_raw(&starts(0, round * 7..(round + 1) * 7))
                .await
                .unwrap();
            daemon.rest().await;
            for _ in 0..=round % 4 {
                match events.try_recv() {
                    Some(Err(EventError::Lagged(count))) => {
                        missed += count;
                        next += i32::try_from(count).unwrap();
                    }
                    Some(event) => {
                        assert_eq!(number(event), next);
                        (seen, next) = (seen + 1, next + 1);
                    }
                    None => panic!("seven came"),
                }
            }
        }
        while let Some(item) = events.try_recv() {
            match item {
                Err(EventError::Lagged(count)) => missed += count,
                event => {
                    event.unwrap();
                    seen += 1;
                }
            }
        }
        assert_eq!(seen + missed, 700);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_and_fifty_six_fit_by_default_and_one_at_least() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut usual = subscribed(&connection, &mut daemon, |all| all).await;
        let mut short = subscribed(&connection, &mut daemon, |all| all.queue_length(0)).await;
        daemon.peer.send_raw(&starts(0, 0..1000)).await.unwrap();
        daemon.rest().await;
        assert_eq!(lagged(&mut usual).await, 1000 - 256);
        assert_eq!(number(usual.recv().await), 1000 - 256);
        assert_eq!(lagged(&mut short).await, 999);
        assert_eq!(number(short.recv().await), 999);
        says_nothing(&mut short).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_subscriber_loses_for_itself() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut short = subscribed(&connection, &mut daemon, |all| all.queue_length(1)).await;
        let mut long = subscribed(&connection, &mut daemon, |all| all.queue_length(100)).await;
        let end = |all: Builder| all.queue_length(5).overflow(Overflow::End);
        let mut strict = subscribed(&connection, &mut daemon, end).await;
        daemon.peer.send_raw(&starts(0, 0..100)).await.unwrap();
        daemon.rest().await;
        for expected in 0..100 {
            assert_eq!(number(long.recv().await), expected);
        }
        assert_eq!(lagged(&mut short).await, 99);
        assert_eq!(number(short.recv().await), 99);
        for expected in 0..5 {
            assert_eq!(number(strict.recv().await), expected);
        }
        assert!(matches!(strict.recv().await, Err(EventError::Overflowed)));
        // One that has ended leaves the registration to the others.
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
        daemon.tell(&start(0, 100)).await;
        assert_eq!(number(long.recv().await), 100);
        assert_eq!(number(short.recv().await), 100);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn latest_event_of_a_domain_takes_the_place_of_those_that_wait() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let latest = |all: Builder| all.overflow(Overflow::Coalesce(CoalesceKey::Object));
        let mut events = subscribed(&connection, &mut daemon, latest).await;
        for number in 0..1000 {
            daemon.tell(&start_of(domain(), Some(0), number)).await;
            daemon
                .tell(&start_of(other_domain(), Some(0), -number))
                .await;
        }
        daemon.rest().await;
        let (guest, other) = (events.recv().await.unwrap(), events.recv().await.unwrap());
        assert_eq!(
            (guest.domain.name(), other.domain.name()),
            ("guest", "other")
        );
        assert_eq!((number(Ok(guest)), number(Ok(other))), (999, -999));
        says_nothing(&mut events).await;
        // What was read is not replaced.
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(events.recv().await), 1);
        daemon.tell(&start(0, 2)).await;
        assert_eq!(number(events.recv().await), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn kinds_of_events_may_be_kept_apart() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let key = CoalesceKey::ObjectAndEvent;
        let latest = |all: Builder| all.event(Id::REBOOT).overflow(Overflow::Coalesce(key));
        let mut events = subscribed(&connection, &mut daemon, latest).await;
        for number in 0..10 {
            daemon.tell(&start(0, number)).await;
            daemon
                .tell(&Message::new(Some(1), domain(), DomainEventKind::Reboot))
                .await;
        }
        daemon.rest().await;
        assert_eq!(number(events.recv().await), 9);
        assert_eq!(events.recv().await.unwrap().kind, DomainEventKind::Reboot);
        says_nothing(&mut events).await;
    })
    .await;
}

/// Objects of two classes may have the same UUID, and what is unknown is about nobody.
#[tokio::test(start_paused = true)]
async fn events_that_have_nothing_to_do_with_each_other_are_kept_apart() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let builder = connection.events().all();
        let builder = builder.overflow(Overflow::Coalesce(CoalesceKey::Object));
        let mut events = daemon.during(builder.subscribe()).await.unwrap();
        let twin = remote::NonnullStoragePool {
            uuid: domain().uuid,
            ..storage_pool()
        };
        let (starts, refreshes) = (0, daemon.callback("storage pool event REFRESH"));
        for round in 0..3 {
            daemon.tell(&start(starts, round)).await;
            let refresh =
                Message::new(Some(refreshes), twin.clone(), StoragePoolEventKind::Refresh);
            daemon.tell(&refresh).await;
            let newer = event_header(remote::PROGRAM, 9999);
            daemon.peer.send(&newer, &[0; 4]).await.unwrap();
        }
        daemon.rest().await;
        assert!(matches!(events.recv().await, Ok(Event::Domain(_))));
        assert!(matches!(events.recv().await, Ok(Event::StoragePool(_))));
        for _ in 0..3 {
            assert!(matches!(events.recv().await, Ok(Event::Unknown(_))));
        }
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn queue_that_is_full_of_other_keys_drops_the_oldest() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let latest = |all: Builder| {
            all.queue_length(2)
                .overflow(Overflow::Coalesce(CoalesceKey::Object))
        };
        let mut events = subscribed(&connection, &mut daemon, latest).await;
        for uuid in 0..5 {
            let dom = remote::NonnullDomain {
                uuid: [uuid; 16],
                ..domain()
            };
            daemon.tell(&start_of(dom, Some(0), i32::from(uuid))).await;
        }
        daemon.rest().await;
        assert_eq!(lagged(&mut events).await, 3);
        assert_eq!(number(events.recv().await), 3);
        assert_eq!(number(events.recv().await), 4);
        says_nothing(&mut events).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_must_not_miss_any_ends_behind_what_fitted() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let end = |all: Builder| all.queue_length(3).overflow(Overflow::End);
        let mut events = subscribed(&connection, &mut daemon, end).await;
        daemon.peer.send_raw(&starts(0, 0..3)).await.unwrap();
        daemon.rest().await;
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
        daemon.peer.send_raw(&starts(0, 3..10)).await.unwrap();
        daemon.rest().await;
        // Nobody else needs the registration.
        assert!(daemon.wanted().is_empty());
        for expected in 0..3 {
            assert_eq!(number(events.recv().await), expected);
        }
        for _ in 0..2 {
            let error = events.recv().await.unwrap_err();
            assert!(matches!(error, EventError::Overflowed) && error.is_end());
        }
        assert!(matches!(
            events.try_recv(),
            Some(Err(EventError::Overflowed))
        ));
        assert!(events.try_recv().is_none());
        daemon.during(events.unsubscribe()).await.unwrap();
    })
    .await;
}

/// A real event has a few hundred bytes; a hostile daemon's must not fill the memory.
#[tokio::test(start_paused = true)]
async fn event_that_is_too_long_is_lost_and_told() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = subscribed(&connection, &mut daemon, |all| all).await;
        let mut payload = start(0, 2).encode().unwrap().payload.to_vec();
        let lifecycle = remote::DomainEventCallbackLifecycle::NUMBER;
        let header = event_header(remote::PROGRAM, lifecycle);
        daemon.tell(&start(0, 1)).await;
        payload.resize(64 << 10, 0);
        daemon.peer.send(&header, &payload).await.unwrap();
        payload.push(0);
        daemon.peer.send(&header, &payload).await.unwrap();
        daemon.tell(&start(0, 3)).await;
        assert_eq!(number(events.recv().await), 1);
        assert_eq!(number(events.recv().await), 2);
        assert_eq!(lagged(&mut events).await, 1);
        assert_eq!(number(events.recv().await), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn losses_before_the_answer_to_the_registration_are_told_behind_what_was_kept() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let builder = connection
            .events()
            .event(Id::LIFECYCLE)
            .queue_length(10_000);
        let subscribing = tokio::spawn(builder.subscribe_as());
        daemon.tell_style().await;
        let (register, anchor) = (daemon.hear().await, daemon.hear().await);
        daemon.peer.send_raw(&starts(0, 0..5000)).await.unwrap();
        daemon.answer(&register).await;
        daemon.answer(&anchor).await;
        daemon.tell(&start(0, 5000)).await;
        let mut events = subscribing.await.unwrap().unwrap();
        let mut kept = 0;
        let missed = loop {
            match events.recv().await {
                Err(EventError::Lagged(missed)) => break missed,
                event => assert_eq!(number(event), kept),
            }
            kept += 1;
        };
        assert!(kept > 0);
        assert_eq!(u64::try_from(kept).unwrap() + missed, 5000);
        assert_eq!(number(events.recv().await), 5000);
    })
    .await;
}
