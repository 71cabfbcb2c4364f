//! Daemons that are too old for callback IDs.

use std::time::Duration;

use tokio::time::timeout;
use virtwire::constants::{DomainEventId as Id, NetworkEventId};
use virtwire::event::{DomainEventKind, EventError, EventId, MonitorFilter};
use virtwire::{Connection, ErrorKind, remote};
use virtwire_protocol::event::Message;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, domain, event_header};

use super::{Daemon, number, other_domain, start, start_of};

/// A connection to such a daemon.
async fn connected() -> (Connection, Daemon) {
    let (connection, mut daemon) = Daemon::connected().await;
    daemon.be_legacy();
    (connection, daemon)
}

fn legacy_start(dom: remote::NonnullDomain<'static>, number: i32) -> Message<'static> {
    start_of(dom, None, number)
}

#[tokio::test(start_paused = true)]
async fn registrations_have_no_callback_ids_and_one_is_held() {
    paused_deadline(async {
        type Register = remote::ConnectDomainEventRegisterAny;
        type Deregister = remote::ConnectDomainEventDeregisterAny;
        let (connection, mut daemon) = connected().await;
        let subscribing = tokio::spawn(async move {
            let ids = [Id::LIFECYCLE, Id::DEVICE_REMOVED];
            connection.domain_events(ids).await
        });
        daemon.tell_style().await;
        for event in [Id::LIFECYCLE, Id::DEVICE_REMOVED, Id::CONTROL_ERROR] {
            let call = daemon.peer.expect::<Register>().await.unwrap();
            assert_eq!(call.args.event_id, event.0);
            daemon.answer(&call).await;
        }
        let mut events = subscribing.await.unwrap().unwrap();
        daemon.tell(&legacy_start(domain(), 1)).await;
        assert_eq!(number(events.recv().await), 1);
        let kind = DomainEventKind::DeviceRemoved {
            dev_alias: "net0".to_owned(),
        };
        daemon
            .tell(&Message::new(None, domain(), kind.clone()))
            .await;
        assert_eq!(events.recv().await.unwrap().kind, kind);
        let leaving = tokio::spawn(events.unsubscribe());
        for event in [Id::LIFECYCLE, Id::DEVICE_REMOVED] {
            let call = daemon.peer.expect::<Deregister>().await.unwrap();
            assert_eq!(call.args.event_id, event.0);
            daemon.answer(&call).await;
        }
        leaving.await.unwrap().unwrap();
        assert_eq!(daemon.registered(), ["domain event CONTROL_ERROR"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_a_domain_are_picked_out_here() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let guest = daemon
            .during(connection.lookup_domain_by_name("guest"))
            .await
            .unwrap();
        let mut one = daemon.during(guest.events([Id::LIFECYCLE])).await.unwrap();
        let mut all = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let mut steps = daemon.during(guest.lifecycle_events()).await.unwrap();
        daemon.tell(&legacy_start(other_domain(), 1)).await;
        daemon.tell(&legacy_start(domain(), 2)).await;
        daemon.tell(&legacy_start(other_domain(), 3)).await;
        assert_eq!(number(one.recv().await), 2);
        assert_eq!(steps.recv().await.unwrap().lifecycle.detail(), 2);
        for expected in 1..=3 {
            assert_eq!(number(all.recv().await), expected);
        }
        daemon.rest().await;
        assert!(one.try_recv().is_none() && steps.try_recv().is_none());
        // What is too long is missed by those only whom it would have been for.
        for (dom, missed_by_one) in [(other_domain(), false), (domain(), true)] {
            let event = legacy_start(dom, 4).encode().unwrap();
            let mut payload = event.payload.to_vec();
            payload.resize((64 << 10) + 1, 0);
            let header = event_header(event.program, event.procedure);
            daemon.peer.send(&header, &payload).await.unwrap();
            let missed = all.recv().await;
            assert!(matches!(missed, Err(EventError::Lagged(1))), "{missed:?}");
            let missed = one.try_recv();
            assert_eq!(missed.is_some(), missed_by_one, "{missed:?}");
        }
        // One registration is for all of them.
        let once = [
            "?",
            "+domain event LIFECYCLE",
            "+domain event CONTROL_ERROR",
        ];
        assert_eq!(daemon.log(), once);
        drop(all);
        daemon.rest().await;
        assert!(daemon.log().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_came_later_are_unsupported_and_not_asked_for() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        for id in EventId::known() {
            let EventId::Domain(id) = id else { continue };
            let subscribed = daemon
                .during(connection.domain_events([Id::LIFECYCLE, id]))
                .await;
            daemon.rest().await;
            let asked = daemon.log().into_iter().any(|asked| asked.starts_with('+'));
            if id <= Id::DEVICE_REMOVED {
                subscribed.unwrap();
                assert!(asked);
            } else {
                assert_eq!(subscribed.unwrap_err().kind(), ErrorKind::Unsupported);
                assert!(!asked, "{id:?}");
            }
        }
        let unknown = daemon.during(connection.domain_events([Id(-1)])).await;
        assert!(unknown.unwrap_err().is_unsupported());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_everything_that_the_daemon_has() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let newer = |id: &EventId| matches!(id, EventId::Domain(id) if *id > Id::DEVICE_REMOVED);
        for id in EventId::known().filter(newer) {
            daemon.refuse(id);
        }
        let mut events = daemon.during(connection.all_events()).await.unwrap();
        let refused: Vec<_> = events.refused().map(|(id, _)| id).collect();
        assert_eq!(refused, EventId::known().filter(newer).collect::<Vec<_>>());
        daemon.tell(&legacy_start(domain(), 1)).await;
        assert_eq!(
            events.recv().await.unwrap().id(),
            Some(Id::LIFECYCLE.into())
        );
        daemon.during(events.unsubscribe()).await.unwrap();
        assert_eq!(daemon.wanted(), ["domain event CONTROL_ERROR"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_that_is_held_is_given_to_those_who_asked_for_it_only() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let mut others = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let error = || Message::new(None, domain(), DomainEventKind::ControlError);
        daemon.tell(&error()).await;
        daemon.rest().await;
        assert!(others.try_recv().is_none());
        let subscribing = connection.domain_events([Id::CONTROL_ERROR]);
        let mut events = daemon.during(subscribing).await.unwrap();
        daemon.tell(&error()).await;
        assert_eq!(
            events.recv().await.unwrap().kind,
            DomainEventKind::ControlError
        );
        assert!(others.try_recv().is_none());
        // It is not given up with those who wanted it.
        daemon.during(events.unsubscribe()).await.unwrap();
        daemon.tell(&error()).await;
        daemon.rest().await;
        assert!(others.try_recv().is_none());
        assert_eq!(
            daemon.wanted(),
            ["domain event LIFECYCLE", "domain event CONTROL_ERROR"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_before_the_answer_to_its_registration_is_delivered() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let subscribing =
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE]).await });
        daemon.tell_style().await;
        let (register, anchor) = (daemon.hear().await, daemon.hear().await);
        daemon.tell(&legacy_start(domain(), 1)).await;
        daemon.answer(&anchor).await;
        daemon.tell(&legacy_start(domain(), 2)).await;
        daemon.answer(&register).await;
        daemon.tell(&legacy_start(domain(), 3)).await;
        let mut events = subscribing.await.unwrap().unwrap();
        for expected in 1..=3 {
            assert_eq!(number(events.recv().await), expected);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_of_the_other_style_goes_to_nobody() {
    paused_deadline(async {
        let (connection, mut old) = connected().await;
        let mut events = old
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        old.tell(&start(0, 1)).await;
        old.rest().await;
        assert!(events.try_recv().is_none());
        let (connection, mut new) = Daemon::connected().await;
        let mut events = new
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        new.tell(&legacy_start(domain(), 1)).await;
        new.rest().await;
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_classes_have_callback_ids_all_the_same() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let events = connection.events().event(NetworkEventId::LIFECYCLE);
        let events = events
            .event(Id::LIFECYCLE)
            .qemu_monitor(MonitorFilter::all());
        let _events = daemon.during(events.subscribe()).await.unwrap();
        assert_eq!(daemon.callback("network event LIFECYCLE"), 0);
        assert_eq!(daemon.callback("QEMU monitor event"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn overflowing_queues_are_told_in_this_style_too() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let guest = daemon
            .during(connection.lookup_domain_by_name("guest"))
            .await
            .unwrap();
        let events = connection
            .events()
            .domain(&guest)
            .event(Id::LIFECYCLE)
            .queue_length(2);
        let subscribing = events.subscribe_as();
        let mut events = daemon.during(subscribing).await.unwrap();
        for number in 0..10 {
            daemon.tell(&legacy_start(domain(), number)).await;
            // What is not wanted takes no room.
            daemon.tell(&legacy_start(other_domain(), number)).await;
        }
        daemon.rest().await;
        assert!(matches!(events.recv().await, Err(EventError::Lagged(8))));
        assert_eq!(number(events.recv().await), 8);
        assert_eq!(number(events.recv().await), 9);
        let nothing = timeout(Duration::from_secs(60), events.recv());
        assert!(nothing.await.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_does_not_answer_the_question_is_asked_again() {
    paused_deadline(async {
        let (connection, mut daemon) = connected().await;
        let subscribing = tokio::spawn({
            let connection = connection.clone();
            async move { connection.domain_events([Id::LIFECYCLE]).await }
        });
        let question = daemon.hear().await;
        let code = virtwire::constants::ErrorCode::INTERNAL_ERROR;
        daemon.peer.refuse(&question, code).await;
        assert!(subscribing.await.unwrap().unwrap_err().has_code(code));
        daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
    })
    .await;
}
