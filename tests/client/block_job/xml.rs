//! What the XML has to say after an announced pivot.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtwire::constants::{ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind};
use virtwire::{BlockJob, NextStart, Outcome, Source, VanishedReason, Verdict};
use virtwire_tests::paused_deadline;

use super::host::{Host, Info, info, xml};
use super::news;

/// A commit whose pivot is announced while the XML is as it was.
async fn announced() -> (Host, BlockJob) {
    let host = Host::connected().await;
    let job = host.disk().await.commit_active().start().await.unwrap();
    host.words().info = info(Kind::ACTIVE_COMMIT, 99);
    host.tell(news(Kind::ACTIVE_COMMIT, Status::READY));
    job.wait_ready().await;
    host.words().info = Info::default();
    host.tell(news(Kind::ACTIVE_COMMIT, Status::COMPLETED));
    (host, job)
}

#[tokio::test(start_paused = true)]
async fn it_may_follow_a_moment_later() {
    paused_deadline(async {
        let (host, job) = announced().await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(job.outcome(), None);
        assert!(!job.is_ready());
        host.words().live = xml(&["/base"], "");
        host.words().definition = xml(&["/base"], "");
        assert_eq!(job.wait().await, Outcome::Pivoted(NextStart::NewImage));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn that_does_not_follow_it_contradicts() {
    paused_deadline(async {
        let before = Instant::now();
        let (_host, job) = announced().await;
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("the XML says otherwise");
        };
        assert_eq!(evidence.reason, VanishedReason::Contradicted);
        assert_eq!(evidence.resolve(), Verdict::Unknown);
        assert!(before.elapsed() < Duration::from_secs(10));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_definition_that_names_another_image_is_told() {
    paused_deadline(async {
        let (host, job) = announced().await;
        host.words().live = xml(&["/base"], "");
        host.words().definition = xml(&["/elsewhere"], "");
        let path = "/elsewhere".to_owned();
        let other = NextStart::OtherImage(Some(Source::File { path }));
        assert_eq!(job.wait().await, Outcome::Pivoted(other));
    })
    .await;
}
