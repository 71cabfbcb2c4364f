//! The end of subscriptions.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use virtwire::constants::{DomainEventId as Id, ErrorCode};
use virtwire::event::Overflow;
use virtwire::remote;
use virtwire_protocol::session::Request;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, builder};

use super::{Daemon, number, start, starts};

type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
type Register = remote::ConnectDomainEventCallbackRegisterAny;

const MINUTE: Duration = Duration::from_secs(60);

/// The next call, which is for the end of a registration and not answered yet.
async fn hear_deregistration(daemon: &mut Daemon) -> Request {
    let request = daemon.hear().await;
    assert!(request.is::<Deregister>());
    request
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_returns_when_the_daemon_has_confirmed_all_of_it_and_no_sooner() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ids = [Id::LIFECYCLE, Id::REBOOT];
        let events = daemon.during(connection.domain_events(ids)).await.unwrap();
        let mut leaving = tokio::spawn(events.unsubscribe());
        let first = hear_deregistration(&mut daemon).await;
        let second = hear_deregistration(&mut daemon).await;
        for request in [second, first] {
            assert!(timeout(MINUTE, &mut leaving).await.is_err());
            daemon.answer(&request).await;
        }
        leaving.await.unwrap().unwrap();
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_overflowed_waits_for_the_confirmation_too() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ending = connection
            .events()
            .event(Id::LIFECYCLE)
            .queue_length(1)
            .overflow(Overflow::End);
        let events = daemon.during(ending.subscribe()).await.unwrap();
        daemon.peer.send_raw(&starts(0, 0..2)).await.unwrap();
        let request = hear_deregistration(&mut daemon).await;
        let mut leaving = tokio::spawn(events.unsubscribe());
        assert!(timeout(MINUTE, &mut leaving).await.is_err());
        daemon.answer(&request).await;
        leaving.await.unwrap().unwrap();
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_does_not_wait_for_what_others_share() {
    paused_deadline(async {
        let (connection, mut daemon, one) = Daemon::subscribed().await;
        let mut two = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        daemon.log();
        one.unsubscribe().await.unwrap();
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(two.recv().await), 1);
        assert!(daemon.log().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refused_deregistration_is_the_end_all_the_same() {
    paused_deadline(async {
        let (_connection, mut daemon, events) = Daemon::subscribed().await;
        let leaving = tokio::spawn(events.unsubscribe());
        let request = hear_deregistration(&mut daemon).await;
        daemon
            .peer
            .refuse(&request, ErrorCode::INTERNAL_ERROR)
            .await;
        leaving.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_has_the_deadline_of_its_handle_and_goes_on_behind_it() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let hasty = connection.with_deadline(MINUTE);
        let events = daemon
            .during(hasty.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        assert!(events.unsubscribe().await.unwrap_err().is_timeout());
        let late = hear_deregistration(&mut daemon).await;
        daemon.answer(&late).await;
        let _again = daemon
            .during(hasty.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_from_a_connection_that_is_closed_is_no_error() {
    paused_deadline(async {
        let (connection, mut daemon, events) = Daemon::subscribed().await;
        let waiting = daemon
            .during(connection.domain_events([Id::REBOOT]))
            .await
            .unwrap();
        let waiting = tokio::spawn(waiting.unsubscribe());
        hear_deregistration(&mut daemon).await;
        daemon.peer.close().await;
        waiting.await.unwrap().unwrap();
        connection.closed().await;
        events.unsubscribe().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_is_dropped_is_given_up_in_the_background() {
    paused_deadline(async {
        let (connection, mut daemon, events) = Daemon::subscribed().await;
        drop(events);
        let request = hear_deregistration(&mut daemon).await;
        // Nobody has to wait for that.
        daemon.during(connection.hostname()).await.unwrap();
        daemon.answer(&request).await;
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[test]
fn stream_may_be_dropped_where_there_is_no_runtime() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (connection, mut daemon) = runtime.block_on(Daemon::connected());
    let subscribing = async {
        let subscribing = connection.domain_events([Id::LIFECYCLE]);
        daemon.during(subscribing).await.unwrap()
    };
    let events = runtime.block_on(subscribing);
    std::thread::spawn(move || drop(events)).join().unwrap();
    runtime.block_on(paused_deadline(daemon.rest()));
    assert!(daemon.wanted().is_empty());
    // With the runtime gone, too.
    let subscribing = async {
        let subscribing = connection.domain_events([Id::LIFECYCLE]);
        daemon.during(subscribing).await.unwrap()
    };
    let events = runtime.block_on(subscribing);
    drop(runtime);
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn stream_keeps_its_connection_open() {
    paused_deadline(async {
        let (connection, mut daemon, mut events) = Daemon::subscribed().await;
        drop(connection);
        daemon.rest().await;
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(events.recv().await), 1);
        drop(events);
        daemon.peer.until_hang_up().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscriber_that_joins_while_the_last_leaves_gets_a_registration_of_its_own() {
    paused_deadline(async {
        let (connection, mut daemon, last) = Daemon::subscribed().await;
        let leaving = tokio::spawn(last.unsubscribe());
        let end = hear_deregistration(&mut daemon).await;
        let mut joining =
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE]).await });
        // The daemon would refuse a second one, so that the first has to go first.
        assert!(timeout(MINUTE, &mut joining).await.is_err());
        daemon.tell(&start(0, 1)).await;
        daemon.answer(&end).await;
        leaving.await.unwrap().unwrap();
        let mut events = daemon.during(joining).await.unwrap().unwrap();
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
        // What was for the one that left is not for the one that came.
        daemon.tell(&start(0, 2)).await;
        daemon.tell(&start(2, 3)).await;
        assert_eq!(number(events.recv().await), 3);
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscriber_that_joins_and_leaves_while_the_last_leaves_changes_nothing() {
    paused_deadline(async {
        let (connection, mut daemon, last) = Daemon::subscribed().await;
        let leaving = tokio::spawn(last.unsubscribe());
        let end = hear_deregistration(&mut daemon).await;
        let joining = connection.domain_events([Id::LIFECYCLE]);
        assert!(timeout(MINUTE, joining).await.is_err());
        daemon.log();
        daemon.answer(&end).await;
        daemon.rest().await;
        leaving.await.unwrap().unwrap();
        assert_eq!(daemon.log(), ["-domain event LIFECYCLE"]);
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscriber_that_leaves_before_the_daemon_has_agreed_is_given_up_when_it_has() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let subscribing = timeout(MINUTE, connection.domain_events([Id::LIFECYCLE]));
        let (subscribed, register) = tokio::join!(subscribing, async {
            daemon.tell_style().await;
            daemon.hear().await
        });
        assert!(subscribed.is_err());
        assert!(register.is::<Register>());
        daemon.answer(&register).await;
        daemon.rest().await;
        let log = daemon.log();
        assert!(
            log.ends_with(&["-domain event LIFECYCLE".to_owned()]),
            "{log:?}"
        );
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_that_comes_before_the_daemon_has_agreed_takes_the_registration_over() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let subscribing = timeout(MINUTE, connection.domain_events([Id::LIFECYCLE]));
        let (subscribed, register) = tokio::join!(subscribing, async {
            daemon.tell_style().await;
            daemon.hear().await
        });
        assert!(subscribed.is_err());
        let subscribing =
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE]).await });
        sleep(MINUTE).await;
        daemon.answer(&register).await;
        let mut events = daemon.during(subscribing).await.unwrap().unwrap();
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(events.recv().await), 1);
        let once = [
            "?",
            "+domain event LIFECYCLE",
            "+domain event LIFECYCLE of nobody",
        ];
        assert_eq!(daemon.log(), once);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_come_late_are_ignored() {
    paused_deadline(async {
        let (connection, mut daemon, events) = Daemon::subscribed().await;
        let mut others = daemon
            .during(connection.domain_events([Id::REBOOT]))
            .await
            .unwrap();
        let leaving = tokio::spawn(events.unsubscribe());
        let end = hear_deregistration(&mut daemon).await;
        daemon.tell(&start(0, 1)).await;
        daemon.answer(&end).await;
        daemon.tell(&start(0, 2)).await;
        leaving.await.unwrap().unwrap();
        daemon.during(connection.hostname()).await.unwrap();
        assert!(others.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_no_subscription() {
    paused_deadline(async {
        let builder = builder().max_in_flight(1);
        let (connection, mut daemon) = Daemon::connected_with(builder).await;
        let events = daemon.during(connection.all_events()).await.unwrap();
        drop(events);
        let closing = tokio::spawn(connection.close());
        daemon.during(closing).await.unwrap();
        daemon.peer.until_hang_up().await.unwrap();
    })
    .await;
}
