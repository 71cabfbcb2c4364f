//! What goes on while events come.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};
use virtwire::constants::DomainEventId as Id;
use virtwire::event::{DomainEvent, EventStream};
use virtwire::{Connection, remote};
use virtwire_tests::peer::{Guest as _, builder};
use virtwire_tests::poll::polled;
use virtwire_tests::{deadline, paused_deadline};

use super::{Daemon, number, starts};
use crate::{ask, asker};

type Ask = remote::ConnectSupportsFeature;

const BURST: i32 = 10_000;

/// A number to ask with that is not the daemon's own.
const FIRST: i32 = 1000;

async fn lifecycles(connection: &Connection, daemon: &mut Daemon) -> EventStream<DomainEvent> {
    let subscribing = connection.domain_events([Id::LIFECYCLE]);
    daemon.during(subscribing).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn call_is_answered_behind_any_number_of_events_that_nobody_reads() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let _unread = lifecycles(&connection, &mut daemon).await;
        let before = Instant::now();
        for round in 0..5 {
            let call = asker(&connection, round);
            let request = daemon.peer.expect::<Ask>().await.unwrap();
            daemon.peer.send_raw(&starts(0, 0..BURST)).await.unwrap();
            daemon.peer.echo(&request).await;
            assert_eq!(call.await.unwrap().unwrap(), round);
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reader_that_the_runtime_blocks_on_keeps_up_with_any_number_of_events() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = lifecycles(&connection, &mut daemon).await;
        let burst = starts(0, 0..BURST);
        let reading = async {
            for expected in 0..BURST {
                assert_eq!(number(events.recv().await), expected);
            }
        };
        let (sent, ()) = tokio::join!(daemon.peer.send_raw(&burst), reading);
        sent.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_given_amid_events_that_nobody_reads() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let _unread = lifecycles(&connection, &mut daemon).await;
        let before = Instant::now();
        for pongs in 1..=5 {
            daemon
                .peer
                .send_raw(&starts(0, 0..BURST / 2))
                .await
                .unwrap();
            daemon.peer.ping().await.unwrap();
            daemon
                .peer
                .send_raw(&starts(0, 0..BURST / 2))
                .await
                .unwrap();
            daemon.peer.expect_pongs(pongs).await.unwrap();
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_tells_events_is_alive_and_one_that_stops_is_asked() {
    paused_deadline(async {
        let builder = builder().keepalive(Duration::from_secs(1), 2);
        let (connection, mut daemon) = Daemon::connected_with(builder).await;
        let _unread = lifecycles(&connection, &mut daemon).await;
        let pings = daemon.peer.seen().pings;
        for _ in 0..60 {
            sleep(Duration::from_millis(500)).await;
            daemon.peer.send_raw(&starts(0, 0..1000)).await.unwrap();
        }
        daemon.during(ask(&connection, 1)).await.unwrap();
        assert_eq!(daemon.peer.seen().pings, pings);
        daemon.during(sleep(Duration::from_secs(60))).await;
        assert!(daemon.peer.seen().pings > pings + 30);
        assert!(connection.close_cause().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn any_call_may_be_made_while_an_event_is_handled() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected_with(builder().max_in_flight(1)).await;
        let mut events = lifecycles(&connection, &mut daemon).await;
        daemon.peer.send_raw(&starts(0, 0..200)).await.unwrap();
        let handling = tokio::spawn(async move {
            for expected in 0..200 {
                let event = events.recv().await.unwrap();
                assert_eq!(
                    ask(&connection, FIRST + expected).await.unwrap(),
                    FIRST + expected
                );
                assert!(event.domain.is_active().await.unwrap());
                // Streams come and go as well.
                let other = event.domain.events([Id::REBOOT]).await.unwrap();
                other.unsubscribe().await.unwrap();
                assert_eq!(number(Ok(event)), expected);
            }
        });
        daemon.during(handling).await.unwrap();
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn handler_may_end_its_own_subscription() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = lifecycles(&connection, &mut daemon).await;
        daemon.peer.send_raw(&starts(0, 0..200)).await.unwrap();
        let handling = async {
            events.recv().await.unwrap();
            events.unsubscribe().await.unwrap();
            ask(&connection, 1).await.unwrap()
        };
        assert_eq!(daemon.during(handling).await, 1);
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tasks_follow_events_of_their_own_and_call() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut tasks = Vec::new();
        for task in 0..8 {
            let mut events = lifecycles(&connection, &mut daemon).await;
            let connection = connection.clone();
            tasks.push(tokio::spawn(async move {
                for expected in 0..1000 {
                    assert_eq!(number(events.next().await.unwrap()), expected);
                    if expected % 100 == task {
                        let number = FIRST + expected;
                        assert_eq!(ask(&connection, number).await.unwrap(), number);
                    }
                }
            }));
        }
        for batch in 0..100 {
            daemon
                .peer
                .send_raw(&starts(0, batch * 10..(batch + 1) * 10))
                .await
                .unwrap();
            daemon.during(tokio::task::yield_now()).await;
        }
        for task in tasks {
            daemon.during(task).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_may_be_read_on_any_thread() {
    deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let builder = connection
                .events()
                .event(Id::LIFECYCLE)
                .queue_length(10_000);
            let mut events = daemon.during(builder.subscribe_as()).await.unwrap();
            tasks.push(tokio::spawn(async move {
                for expected in 0..BURST {
                    assert_eq!(number(events.recv().await), expected);
                }
            }));
        }
        for batch in 0..BURST / 100 {
            daemon
                .peer
                .send_raw(&starts(0, batch * 100..(batch + 1) * 100))
                .await
                .unwrap();
        }
        for task in tasks {
            daemon.during(task).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn receiving_may_be_given_up_at_any_poll_without_a_loss() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let mut events = lifecycles(&connection, &mut daemon).await;
        for round in 0..10 {
            for polls in [0, 1, 1, 1] {
                assert!(polled(polls, events.recv()).await.is_none());
            }
            daemon
                .peer
                .send_raw(&starts(0, round * 2..(round + 1) * 2))
                .await
                .unwrap();
            daemon.rest().await;
            assert!(polled(0, events.recv()).await.is_none());
            assert_eq!(number(polled(1, events.recv()).await.unwrap()), round * 2);
            assert_eq!(number(events.try_recv().unwrap()), round * 2 + 1);
        }
    })
    .await;
}
