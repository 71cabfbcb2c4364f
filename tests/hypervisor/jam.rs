//! Calls that hang in a guest that hangs, and fill the places that a connection has.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;
use virtwire::constants::DomainDestroyFlags;
use virtwire::{Bandwidth, Connection, Error, Execution, Outcome};
use virtwire_lab::Driver;
use virtwire_tests::deadline;
use virtwire_tests::stage::Settings;

use crate::{Guest, Stage};

/// The daemon asks for a sign of life after so long, and twice.
const INTERVAL: Duration = Duration::from_secs(1);

/// Twice as long as the daemon waits for a sign of life.
const LONG: Duration = Duration::from_secs(6);

async fn stage() -> Stage {
    Stage::with(Settings::new().keepalive(INTERVAL, 2), Driver::Qemu).await
}

/// A connection that soon gives up a daemon which is silent, too.
async fn watchful(stage: &Stage) -> Connection {
    let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
    builder.keepalive(INTERVAL, 2).connect().await.unwrap()
}

/// So many calls that need the guest.
fn hang(guest: &Guest, connection: &Connection, count: usize) -> JoinSet<Result<(), Error>> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let disk = guest.domain.with_connection(connection).disk("vda");
        calls.spawn(async move { disk.info().await.map(drop) });
    }
    calls
}

async fn destroy(guest: &Guest, connection: &Connection) {
    let domain = guest.domain.with_connection(connection);
    let destroyed = domain.destroy(DomainDestroyFlags::empty());
    destroyed.await.unwrap();
}

/// More calls hang than there are places, and the connection lives: three are in flight, and a
/// destroy finds the fourth place free. A fifth call would make the daemon deaf.
#[tokio::test]
async fn calls_that_hang_leave_a_place_for_what_frees_the_others() {
    deadline(async {
        let stage = stage().await;
        let guest = stage.guest("hung", 1).await;
        let connection = watchful(&stage).await;
        stage.freeze(&guest);
        let mut hung = hang(&guest, &connection, 8);
        sleep(LONG).await;
        assert!(connection.close_cause().is_none());
        assert!(hung.try_join_next().is_none());

        destroy(&guest, &connection).await;
        let answered = hung.join_all().await;
        assert!(
            answered
                .iter()
                .all(|it| it.as_ref().is_err_and(|it| it.remote().is_some()))
        );
        assert!(connection.close_cause().is_none());
    })
    .await;
}

/// Four are in flight, since two have the kept place in turn.
#[tokio::test]
async fn job_is_cancelled_past_calls_that_hang_in_another_guest() {
    deadline(async {
        let stage = stage().await;
        let (hung, busy) = (stage.guest("hung", 1).await, stage.guest("busy", 16).await);
        let connection = watchful(&stage).await;
        let disk = busy.domain.with_connection(&connection).disk("vda");
        let slowly = Bandwidth::mib_per_s(1).unwrap();
        let job = disk.pull().bandwidth(slowly).start().await.unwrap();
        stage.freeze(&hung);
        let calls = hang(&hung, &connection, 8);
        sleep(INTERVAL).await;

        // What is not urgent gets no place.
        let wait = Duration::from_millis(300);
        let impatient = connection.with_deadline(wait);
        let late = impatient.hostname().await.unwrap_err();
        assert!(late.is_timeout(), "{late:?}");
        assert_eq!(late.execution(), Some(Execution::NotSent));
        let started = Instant::now();
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
        assert!(started.elapsed() < INTERVAL * 3);

        stage.thaw(&hung);
        let answered = calls.join_all().await;
        assert!(answered.iter().all(Result::is_ok));
        connection.hostname().await.unwrap();
    })
    .await;
}

/// This is why there are four places by default.
#[tokio::test]
async fn five_calls_in_flight_make_the_daemon_give_up_the_connection() {
    deadline(async {
        let stage = stage().await;
        let guest = stage.guest("deaf", 1).await;
        let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
        // One place of them is kept.
        let greedy = builder.max_in_flight(6).connect().await.unwrap();
        stage.freeze(&guest);
        let hung = hang(&guest, &greedy, 5);
        let answered = hung.join_all().await;
        assert!(
            answered
                .iter()
                .all(|it| it.as_ref().is_err_and(Error::is_closed))
        );
        assert!(stage.connection.close_cause().is_none());
        stage.thaw(&guest);
    })
    .await;
}
