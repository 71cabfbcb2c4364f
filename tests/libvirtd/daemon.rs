//! A daemon that dies.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;
use virtwire::Execution;
use virtwire_lab::Driver;
use virtwire_tests::question::PLACES;
use virtwire_tests::{deadline, release};

use crate::hypervisor::connection::{open, shows_the_test_driver};

#[tokio::test]
async fn daemon_that_dies_fails_its_calls_at_once_and_lets_in_anew_afterwards() {
    deadline(async {
        let mut daemon = release::daemon().start().unwrap();
        let connection = open(&daemon.uri(Driver::Test)).await;
        // Stopped, it takes the calls and answers none.
        daemon.pause().unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            let connection = connection.clone();
            calls.spawn(async move { connection.hostname().await.unwrap_err() });
        }
        sleep(Duration::from_millis(100)).await;
        daemon.kill().unwrap();
        let killed = Instant::now();
        let executions = calls.join_all().await.into_iter().map(|error| {
            assert!(error.is_closed());
            error.execution().unwrap()
        });
        let sent = executions
            .filter(|it| *it == Execution::MaybeExecuted)
            .count();
        assert_eq!(sent, PLACES);
        assert!(killed.elapsed() < Duration::from_secs(5));
        assert_eq!(
            connection.hostname().await.unwrap_err().execution(),
            Some(Execution::NotSent)
        );

        daemon.restart().unwrap();
        shows_the_test_driver(&open(&daemon.uri(Driver::Test)).await).await;
    })
    .await;
}
