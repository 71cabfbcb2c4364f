//! What is asked of the daemon, when and how often.

use std::time::Duration;

use tokio::time::timeout;
use virtwire::constants::{DomainEventId as Id, NetworkEventId};
use virtwire::event::{DomainEventKind, LifecycleEvent, NetworkEvent};
use virtwire::{Error, ErrorKind, remote};
use virtwire_protocol::event::Message;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, domain};

use super::{Daemon, number, start};

#[tokio::test(start_paused = true)]
async fn subscribing_returns_when_the_daemon_has_agreed_and_no_sooner() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut subscribing =
            tokio::spawn(
                async move { connection.domain_events([Id::LIFECYCLE, Id::REBOOT]).await },
            );
        daemon.tell_style().await;
        let mut owed = Vec::new();
        for _ in 0..3 {
            owed.push(daemon.hear().await);
        }
        for request in owed {
            let waiting = timeout(Duration::from_secs(60), &mut subscribing);
            assert!(waiting.await.is_err());
            daemon.answer(&request).await;
        }
        subscribing.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_that_comes_before_the_answer_to_its_registration_is_delivered() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let subscribing = connection.domain_events([Id::LIFECYCLE]);
        let early = async {
            daemon.tell_style().await;
            let register = daemon.hear().await;
            for number in 0..3 {
                daemon.tell(&start(0, number)).await;
            }
            daemon.answer(&register).await;
            daemon.tell(&start(0, 3)).await;
            let anchor = daemon.hear().await;
            daemon.answer(&anchor).await;
            daemon.tell(&start(0, 4)).await;
        };
        let mut events = tokio::join!(subscribing, early).0.unwrap();
        for expected in 0..5 {
            assert_eq!(number(events.recv().await), expected);
        }
        daemon.rest().await;
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_several_registrations_come_in_the_order_in_which_they_were_told() {
    paused_deadline(async {
        let (connection, mut daemon, mut early) = Daemon::subscribed().await;
        let subscribing = connection.domain_events([Id::LIFECYCLE, Id::REBOOT]);
        let told = async {
            let register = daemon.hear().await;
            // For one that is asked for, and for one that there is.
            let reboot = DomainEventKind::Reboot;
            let reboot = Message::new(Some(2), domain(), reboot);
            daemon.tell(&reboot).await;
            daemon.tell(&start(0, 1)).await;
            // Who has nothing to wait for does not wait.
            assert_eq!(number(early.recv().await), 1);
            daemon.answer(&register).await;
            daemon.tell(&start(0, 2)).await;
        };
        let mut events = tokio::join!(subscribing, told).0.unwrap();
        let first = events.recv().await.unwrap();
        assert!(matches!(first.kind, DomainEventKind::Reboot));
        assert_eq!(number(events.recv().await), 1);
        assert_eq!(number(events.recv().await), 2);
        assert_eq!(number(early.recv().await), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_of_another_registration_under_way_is_not_taken_for_ones_own() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let everything = connection.clone();
        let everything =
            tokio::spawn(async move { everything.domain_events([Id::LIFECYCLE]).await.unwrap() });
        daemon.tell_style().await;
        let first = daemon.hear().await;
        let anchor = daemon.hear().await;
        let guest = tokio::spawn(async move {
            let guest = connection.lookup_domain_by_name("guest").await.unwrap();
            guest.events([Id::LIFECYCLE]).await.unwrap()
        });
        daemon.peer.until::<remote::DomainLookupByName>().await;
        let second = daemon.hear().await;
        // Their answers come in the other order, and so do their IDs.
        daemon.tell(&start(1, 1)).await;
        daemon.tell(&start(0, 2)).await;
        for request in [second, anchor, first] {
            daemon.answer(&request).await;
        }
        let (mut everything, mut guest) = (everything.await.unwrap(), guest.await.unwrap());
        assert_eq!(number(guest.recv().await), 2);
        daemon.rest().await;
        // The ID 1 went to nobody.
        assert!(everything.try_recv().is_none());
        assert!(guest.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn registrations_go_out_in_the_order_asked_and_that_for_nobody_behind_them() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ids = [
            Id::REBOOT,
            Id::BLOCK_JOB_2,
            Id::LIFECYCLE,
            Id::CONTROL_ERROR,
            Id::REBOOT,
        ];
        let events = daemon.during(connection.domain_events(ids)).await.unwrap();
        let asked = [
            "?",
            "+domain event REBOOT",
            "+domain event BLOCK_JOB_2",
            "+domain event LIFECYCLE",
            "+domain event CONTROL_ERROR",
            "+domain event LIFECYCLE of nobody",
        ];
        assert_eq!(daemon.log(), asked);
        drop(events);
        daemon.rest().await;
        assert_eq!(daemon.registered(), ["domain event LIFECYCLE of nobody"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn style_is_asked_for_once_and_only_for_the_sake_of_domains() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let networks = connection.events().event(NetworkEventId::LIFECYCLE);
        let _networks = daemon.during(networks.subscribe()).await.unwrap();
        assert!(!daemon.log().contains(&"?".to_owned()));
        let both = async {
            tokio::join!(
                connection.domain_events([Id::LIFECYCLE]),
                connection.domain_events([Id::REBOOT])
            )
        };
        let both = daemon.during(both).await;
        let _again = daemon
            .during(connection.domain_events([Id::WATCHDOG]))
            .await
            .unwrap();
        assert!(both.0.is_ok() && both.1.is_ok());
        let questions = daemon.log().into_iter().filter(|asked| asked == "?");
        assert_eq!(questions.count(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn several_subscribers_share_one_registration_and_the_last_gives_it_up() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let subscribing = connection.domain_events([Id::LIFECYCLE]);
            streams.push(daemon.during(subscribing).await.unwrap());
        }
        let once = [
            "?",
            "+domain event LIFECYCLE",
            "+domain event LIFECYCLE of nobody",
        ];
        assert_eq!(daemon.log(), once);
        daemon.tell(&start(0, 1)).await;
        for events in &mut streams {
            assert_eq!(number(events.recv().await), 1);
        }
        while streams.len() > 1 {
            streams.remove(0);
            daemon.rest().await;
            daemon.tell(&start(0, 2)).await;
            for events in &mut streams {
                assert_eq!(number(events.recv().await), 2);
            }
        }
        assert!(daemon.log().is_empty());
        drop(streams);
        daemon.rest().await;
        assert_eq!(daemon.log(), ["-domain event LIFECYCLE"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_registration_of_each_class_is_held_as_long_as_the_connection_lasts() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        for _ in 0..3 {
            let events = daemon.during(connection.all_events()).await.unwrap();
            assert_eq!(
                daemon.wanted().len(),
                virtwire::event::EventId::known().count()
            );
            daemon.during(events.unsubscribe()).await.unwrap();
            let mut held = daemon.registered();
            held.sort_unstable();
            let anchors = [
                "domain event LIFECYCLE of nobody",
                "network event LIFECYCLE of nobody",
                "node device event LIFECYCLE of nobody",
                "secret event LIFECYCLE of nobody",
                "storage pool event LIFECYCLE of nobody",
            ];
            assert_eq!(held, anchors);
        }
    })
    .await;
}

/// Subscribes to the lifecycles of one object of each kind.
#[tokio::test(start_paused = true)]
async fn loss_of_the_hypervisor_is_asked_for_once_and_has_nothing_held() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let events = connection
            .events()
            .event(virtwire::event::EventId::ConnectionClosed);
        let one = daemon.during(events.clone().subscribe()).await.unwrap();
        let two = daemon.during(events.subscribe()).await.unwrap();
        assert_eq!(daemon.log(), ["+connection event"]);
        daemon.during(one.unsubscribe()).await.unwrap();
        assert!(daemon.log().is_empty());
        daemon.during(two.unsubscribe()).await.unwrap();
        assert_eq!(daemon.log(), ["-connection event"]);
        assert!(daemon.registered().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscription_that_makes_no_sense_is_not_sent() {
    #[track_caller]
    fn is_refused<T>(subscribed: Result<T, Error>) {
        assert_eq!(subscribed.err().unwrap().kind(), ErrorKind::InvalidInput);
    }
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let guest = daemon
            .during(connection.lookup_domain_by_name("guest"))
            .await
            .unwrap();
        let calls = daemon.peer.seen().calls;
        let events = || connection.events();
        is_refused(events().subscribe().await);
        is_refused(connection.domain_events([]).await);
        is_refused(
            events()
                .event(NetworkEventId::LIFECYCLE)
                .domain(&guest)
                .subscribe()
                .await,
        );
        let typed = events().event(Id::LIFECYCLE).subscribe_as::<NetworkEvent>();
        is_refused(typed.await);
        let typed = events()
            .events([Id::LIFECYCLE, Id::REBOOT])
            .subscribe_as::<LifecycleEvent>();
        is_refused(typed.await);
        daemon.rest().await;
        assert_eq!(daemon.peer.seen().calls, calls);
    })
    .await;
}
