//! Subscriptions that are given up on the way, or take too long.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtwire::constants::{DomainEventId as Id, NetworkEventId};
use virtwire::{Connection, Error, Execution};
use virtwire_tests::paused_deadline;
use virtwire_tests::poll::polled;

use super::{Daemon, number, start};
use crate::ask;

const PATIENCE: Duration = Duration::from_secs(10);

/// Drops an operation at each of its polls in turn, on a connection of its own each time, until it
/// gets to its end. After every one of them nothing is registered and the connection works.
async fn leaves_nothing<T>(operation: impl AsyncFn(&Connection) -> Result<T, Error>) {
    for polls in 0.. {
        let (connection, mut daemon) = Daemon::connected().await;
        let done = daemon.during(polled(polls, operation(&connection))).await;
        let done = done.map(|done| drop(done.unwrap()));
        daemon.rest().await;
        assert!(
            daemon.wanted().is_empty(),
            "{polls} polls: {:?}",
            daemon.wanted()
        );
        let mut events = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        assert!(events.try_recv().is_none());
        assert_eq!(daemon.during(ask(&connection, 1000)).await.unwrap(), 1000);
        let callback = daemon.callback("domain event LIFECYCLE");
        daemon.tell(&start(callback, 1)).await;
        assert_eq!(number(events.recv().await), 1);
        if done.is_some() {
            assert!(polls > 1, "it was never dropped");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn subscribing_dropped_at_any_poll_leaves_nothing() {
    paused_deadline(leaves_nothing(async |on| {
        on.domain_events([Id::LIFECYCLE, Id::REBOOT]).await
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_everything_dropped_at_any_poll_leaves_nothing() {
    paused_deadline(leaves_nothing(async |on| on.all_events().await)).await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_a_domain_dropped_at_any_poll_leaves_nothing() {
    paused_deadline(leaves_nothing(async |on| {
        let guest = on.lookup_domain_by_name("guest").await?;
        guest.lifecycle_events().await
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_dropped_at_any_poll_leaves_nothing() {
    paused_deadline(leaves_nothing(async |on| {
        let events = on.domain_events([Id::LIFECYCLE, Id::REBOOT]).await?;
        events.unsubscribe().await
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_again_while_one_leaves_dropped_at_any_poll_leaves_nothing() {
    paused_deadline(leaves_nothing(async |on| {
        drop(on.domain_events([Id::LIFECYCLE]).await?);
        on.domain_events([Id::LIFECYCLE]).await
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_at_any_poll_takes_nothing_from_another() {
    paused_deadline(async {
        for polls in 0.. {
            let (connection, mut daemon) = Daemon::connected().await;
            let mut stays = daemon
                .during(connection.domain_events([Id::LIFECYCLE]))
                .await
                .unwrap();
            let ids = [Id::LIFECYCLE, Id::REBOOT];
            let subscribing = polled(polls, connection.domain_events(ids));
            let done = daemon.during(subscribing).await.map(drop);
            daemon.rest().await;
            assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
            daemon.tell(&start(0, 1)).await;
            assert_eq!(number(stays.recv().await), 1);
            if done.is_some() {
                assert!(polls > 1);
                return;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadline_is_kept_whatever_the_daemon_does_not_answer() {
    paused_deadline(async {
        for answered in 0..4 {
            let (connection, mut daemon) = Daemon::connected().await;
            let hasty = connection.with_deadline(PATIENCE);
            let before = Instant::now();
            let subscribing =
                tokio::spawn(async move { hasty.domain_events([Id::LIFECYCLE, Id::REBOOT]).await });
            for _ in 0..answered {
                let request = daemon.hear().await;
                daemon.answer(&request).await;
            }
            assert!(subscribing.await.unwrap().unwrap_err().is_timeout());
            assert_eq!(before.elapsed(), PATIENCE);
            // The daemon answers late.
            daemon.rest().await;
            assert!(daemon.wanted().is_empty());
            daemon
                .during(connection.domain_events([Id::LIFECYCLE]))
                .await
                .unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadline_is_kept_though_somebody_with_more_patience_has_asked_first() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let patient = {
            let connection = connection.clone();
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE]).await })
        };
        let question = daemon.hear().await;
        let before = Instant::now();
        let hasty = connection.with_deadline(PATIENCE);
        let error = hasty.domain_events([Id::LIFECYCLE]).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(before.elapsed(), PATIENCE);
        // Whoever has more patience waits on, for the registration as well.
        daemon.answer(&question).await;
        let register = daemon.hear().await;
        let error = hasty.domain_events([Id::LIFECYCLE]).await.unwrap_err();
        assert!(error.is_timeout() && error.is_retryable());
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert_eq!(error.elapsed(), Some(PATIENCE));
        daemon.answer(&register).await;
        let mut events = daemon.during(patient).await.unwrap().unwrap();
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(events.recv().await), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_for_the_style_first_may_go() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let ask_style = || {
            let connection = connection.clone();
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE]).await })
        };
        let (first, second) = (ask_style(), ask_style());
        let question = daemon.hear().await;
        first.abort();
        // The other one asks anew.
        sleep(PATIENCE).await;
        daemon.answer(&question).await;
        daemon.during(second).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscription_of_two_classes_is_given_up_in_both() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let builder = connection
            .events()
            .event(Id::LIFECYCLE)
            .event(NetworkEventId::LIFECYCLE);
        let events = daemon.during(builder.subscribe()).await.unwrap();
        assert_eq!(daemon.wanted().len(), 2);
        drop(events);
        daemon.rest().await;
        assert!(daemon.wanted().is_empty());
    })
    .await;
}
