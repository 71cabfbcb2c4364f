//! A connection that outlives the daemon it goes to.

use std::time::Duration;

use virtwire::event::{EventError, EventStream, Lifecycle, LifecycleEvent};
use virtwire::{Bandwidth, Connection, Outcome, Reconnect};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::Stage;

/// A connection that is opened again as soon as that can be done.
async fn persistent(stage: &Stage) -> Connection {
    let policy = Reconnect::default()
        .first_delay(Duration::from_millis(10))
        .longest_delay(Duration::from_millis(100));
    let builder = Connection::builder().uri(stage.uri(Driver::Qemu));
    builder.reconnect(policy).connect().await.unwrap()
}

/// The next event of the guest's life that is wanted.
async fn until(
    events: &mut EventStream<LifecycleEvent>,
    wanted: impl Fn(Lifecycle) -> bool,
) -> Result<(), EventError> {
    while !wanted(events.recv().await?.lifecycle) {}
    Ok(())
}

#[tokio::test]
async fn events_go_on_after_the_daemon_was_killed() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 1).await;
        let connection = persistent(&stage).await;
        let domain = guest.domain.with_connection(&connection);
        let mut events = domain.lifecycle_events().await.unwrap();
        for _ in 0..5 {
            stage.kill();
            stage.restart();
            let gap = until(&mut events, |_| false).await.unwrap_err();
            assert!(matches!(gap, EventError::Gap), "{gap}");
            domain.suspend().await.unwrap();
            let suspended = |what| matches!(what, Lifecycle::Suspended(_));
            until(&mut events, suspended).await.unwrap();
            domain.resume().await.unwrap();
            let resumed = |what| matches!(what, Lifecycle::Resumed(_));
            until(&mut events, resumed).await.unwrap();
        }
        assert!(connection.close_cause().is_none());
        events.unsubscribe().await.unwrap();
        connection.close().await;
    })
    .await;
}

#[tokio::test]
async fn job_is_followed_while_the_daemon_is_replaced() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("guest", 16).await;
        let connection = persistent(&stage).await;
        let disk = guest.domain.with_connection(&connection).disk("vda");
        let limit = Bandwidth::mib_per_s(4).unwrap();
        let job = disk.pull().bandwidth(limit).start().await.unwrap();
        stage.kill();
        stage.restart();
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}
