//! How connections end, and who is told what.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use virtwire::{
    CloseCause, Connection, Error, ErrorKind, Execution, Outcome, VanishedReason, remote,
};
use virtwire_sim::fault::{At, Fault, Faulty, Plan};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, builder, connected};
use virtwire_tests::poll::polled;

use crate::{PLACES, ask, asker, started_pull};

type Ask = remote::ConnectSupportsFeature;
type Asker = JoinHandle<Result<i32, Error>>;

/// Checks that a call failed because of `cause` itself, not of one like it.
#[track_caller]
fn failed_by(error: &Error, cause: &Arc<CloseCause>, execution: Execution) {
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(error.execution(), Some(execution));
    assert!(
        std::ptr::eq(error.close_cause().unwrap(), Arc::as_ptr(cause)),
        "{error:?}"
    );
}

/// Calls in flight on every place, and `waiting` more.
async fn busy(connection: &Connection, peer: &mut Peer, waiting: usize) -> Vec<Asker> {
    let askers = (0..)
        .take(PLACES + waiting)
        .map(|n| asker(connection, n))
        .collect();
    for _ in 0..PLACES {
        peer.expect::<Ask>().await.unwrap();
    }
    askers
}

/// Checks that the calls of [`busy`] failed because of `cause`.
async fn all_failed_by(askers: Vec<Asker>, cause: &Arc<CloseCause>) {
    for (n, asker) in askers.into_iter().enumerate() {
        let sent = if n < PLACES {
            Execution::MaybeExecuted
        } else {
            Execution::NotSent
        };
        failed_by(&asker.await.unwrap().unwrap_err(), cause, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_waits_is_told_the_same_cause_at_once() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        // Four in flight, 64 in the queue, and some that wait for a place there.
        let askers = busy(&connection, &mut peer, 100).await;
        let waiting = connection.clone();
        let closed = tokio::spawn(async move { waiting.closed().await });
        let lost = Instant::now();
        drop(peer);

        let cause = closed.await.unwrap();
        assert!(matches!(*cause, CloseCause::EndOfFile));
        all_failed_by(askers, &cause).await;
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nobody announced anything");
        };
        assert_eq!(
            evidence.reason,
            VanishedReason::ConnectionLost(Arc::clone(&cause))
        );
        assert!(Arc::ptr_eq(&connection.close_cause().unwrap(), &cause));
        failed_by(
            &ask(&connection, 1).await.unwrap_err(),
            &cause,
            Execution::NotSent,
        );
        assert_eq!(lost.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reset_is_told_as_what_it_is() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        // One byte after the answers that open it: no authentication, a feature, nothing.
        let at = At::Byte(28 + 8 + 28 + 4 + 28 + 1);
        let client = Faulty::new(client, Plan::default().to_client(Fault::Reset(at)));
        let opening = Box::pin(builder().connect_with_io(client));
        let (opened, shaken) = tokio::join!(opening, peer.shake_hands());
        shaken.unwrap();
        let (connection, driver) = opened.unwrap();
        let driver = tokio::spawn(driver);
        peer.send_raw(&[0]).await.unwrap();
        let cause = connection.closed().await;
        let CloseCause::Io(error) = &*cause else {
            panic!("{cause:?}")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(Arc::ptr_eq(&driver.await.unwrap(), &cause));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answer_that_came_before_the_daemon_went_is_not_lost_with_a_failed_write() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let answered = asker(&connection, 1);
        let request = peer.expect::<Ask>().await.unwrap();
        peer.echo(&request).await;
        // The driver has both to read the answer and to write this, and writes first.
        let mut unanswered = std::pin::pin!(ask(&connection, 2));
        assert!(polled(1, unanswered.as_mut()).await.is_none());
        drop(peer);
        assert_eq!(answered.await.unwrap().unwrap(), 1);
        let error = unanswered.await.unwrap_err();
        assert!(
            matches!(error.close_cause(), Some(CloseCause::EndOfFile)),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_calls_in_flight_and_then_tells_the_daemon() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let askers: Vec<_> = (0..2).map(|n| asker(&connection, n)).collect();
        let calls = [
            peer.expect::<Ask>().await.unwrap(),
            peer.expect::<Ask>().await.unwrap(),
        ];
        let closing = tokio::spawn(connection.clone().close());
        assert!(
            timeout(Duration::from_secs(1), peer.request())
                .await
                .is_err()
        );
        // What comes too late is not sent.
        let late = asker(&connection, 9);
        for call in &calls {
            peer.echo(call).await;
        }
        peer.answer::<remote::ConnectClose>(&()).await.unwrap();
        peer.until_hang_up().await.unwrap();
        closing.await.unwrap();
        for (n, asker) in (0..).zip(askers) {
            assert_eq!(asker.await.unwrap().unwrap(), n);
        }
        let cause = connection.close_cause().unwrap();
        assert!(matches!(*cause, CloseCause::Requested));
        failed_by(
            &late.await.unwrap().unwrap_err(),
            &cause,
            Execution::NotSent,
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_a_wedged_connection_takes_five_seconds() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let askers = busy(&connection, &mut peer, 100).await;
        let started = Instant::now();
        connection.clone().close().await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        all_failed_by(askers, &connection.close_cause().unwrap()).await;
        peer.until_hang_up().await.unwrap();
        assert_eq!(peer.seen().calls, 3 + PLACES);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_ends_when_the_daemon_does_not_answer_or_hangs_up() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let started = Instant::now();
        let ((), told) = tokio::join!(connection.close(), peer.expect::<remote::ConnectClose>());
        told.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        peer.until_hang_up().await.unwrap();

        let (connection, mut peer) = connected().await;
        let started = Instant::now();
        let hang_up = async move {
            peer.expect::<remote::ConnectClose>().await.unwrap();
        };
        tokio::join!(connection.close(), hang_up);
        assert_eq!(started.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_twice_at_once_is_closing() {
    paused_deadline(async {
        let (connection, peer) = connected().await;
        let peer = tokio::spawn(peer.serve());
        tokio::join!(connection.clone().close(), connection.clone().close());
        connection.close().await;
        assert_eq!(peer.await.unwrap().seen().calls, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_byte_stream() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        drop(connection);
        let disk = job.disk().clone();
        drop(job);
        let quiet = timeout(Duration::from_secs(60), peer.until_hang_up()).await;
        assert!(quiet.is_err(), "the disk still has the connection");
        drop(disk);
        peer.until_hang_up().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_driver_tells_everybody_who_waits() {
    paused_deadline(async {
        let (client, mut peer) = Peer::pair();
        let opening = Box::pin(builder().connect_with_io(client));
        let (opened, shaken) = tokio::join!(opening, peer.shake_hands());
        shaken.unwrap();
        let (connection, driver) = opened.unwrap();
        let driver = tokio::spawn(driver);
        let askers = busy(&connection, &mut peer, 3).await;
        driver.abort();
        let cause = connection.closed().await;
        assert!(matches!(*cause, CloseCause::Requested));
        all_failed_by(askers, &cause).await;
        peer.until_hang_up().await.unwrap();
    })
    .await;
}

/// Calls come into the queues at the very moment that these are closed and emptied, which is one
/// moment in a thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_that_comes_as_the_connection_ends_waits_for_ever() {
    virtwire_tests::deadline(async {
        for _ in 0..1000 {
            let (connection, peer) = connected().await;
            let peer = tokio::spawn(peer.serve());
            let callers: Vec<_> = (0..3)
                .map(|n| {
                    let connection = connection.clone();
                    tokio::spawn(async move { while ask(&connection, n).await.is_ok() {} })
                })
                .collect();
            tokio::time::sleep(Duration::from_micros(200)).await;
            peer.abort();
            for caller in callers {
                caller.await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_may_call_while_one_closes() {
    virtwire_tests::deadline(async {
        for _ in 0..20 {
            let (connection, peer) = connected().await;
            let peer = tokio::spawn(peer.serve());
            let askers: Vec<_> = (0..64).map(|n| asker(&connection, n)).collect();
            let closing = tokio::spawn(connection.clone().close());
            for (n, asker) in (0..).zip(askers) {
                match asker.await.unwrap() {
                    Ok(answer) => assert_eq!(answer, n),
                    Err(error) => assert_eq!(error.execution(), Some(Execution::NotSent)),
                }
            }
            closing.await.unwrap();
            let cause = connection.close_cause().unwrap();
            assert!(matches!(*cause, CloseCause::Requested));
            peer.await.unwrap();
        }
    })
    .await;
}
