//! What may be in the place of a job that is gone, and must be left alone.

use std::time::Duration;

use tokio::time::sleep;
use virtwire::constants::{ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind};
use virtwire::{
    Bandwidth, BlockJob, ErrorKind, JobSet, Outcome, Readiness, VanishedReason, Verdict, remote,
};
use virtwire_tests::paused_deadline;

use super::host::{Host, Info, info, xml};
use super::news;

/// A copy that is ready, and then gone without a word, with a pull in its place; the client has
/// asked and knows that.
async fn replaced() -> (Host, BlockJob) {
    let host = Host::connected().await;
    let job = host.disk().await.copy("/new").start().await.unwrap();
    host.words().info = info(Kind::COPY, 99);
    host.tell(news(Kind::COPY, Status::READY));
    assert_eq!(job.wait_ready().await, Readiness::Ready);
    host.words().info = info(Kind::PULL, 1);
    host.taken::<remote::DomainGetBlockJobInfo>();
    while host.taken::<remote::DomainGetBlockJobInfo>().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(job.outcome(), None);
    (host, job)
}

fn has_vanished(outcome: &Outcome) {
    let Outcome::Vanished(evidence) = outcome else {
        panic!("nobody said so: {outcome}");
    };
    assert_eq!(evidence.reason, VanishedReason::NoEvent);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ended_in_place_of_the_job() {
    paused_deadline(async {
        let (host, job) = replaced().await;
        assert!(!job.is_ready());
        let (pivoted, cancelled) = tokio::join!(job.pivot(), job.cancel());
        has_vanished(&pivoted.unwrap());
        has_vanished(&cancelled.unwrap());
        has_vanished(&job.cancel().await.unwrap());
        assert!(host.taken::<remote::DomainBlockJobAbort>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_cancelled_with_the_last_handle() {
    paused_deadline(async {
        let (host, job) = replaced().await;
        drop(job.cancel_on_drop());
        sleep(Duration::from_secs(30)).await;
        assert!(host.taken::<remote::DomainBlockJobAbort>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_limited() {
    paused_deadline(async {
        let (host, job) = replaced().await;
        for _ in 0..2 {
            let refused = job.set_speed(Bandwidth::UNLIMITED).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            has_vanished(&job.wait().await);
        }
        assert!(host.taken::<remote::DomainBlockJobSetSpeed>().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn last_handle_cancels_a_job_that_is_there_if_it_is_to() {
    paused_deadline(async {
        for cancels in [true, false] {
            let host = Host::connected().await;
            let job = host.disk().await.pull().start().await.unwrap();
            host.words().info = info(Kind::PULL, 1);
            drop(if cancels { job.cancel_on_drop() } else { job });
            sleep(Duration::from_secs(1)).await;
            let flags = host.taken::<remote::DomainBlockJobAbort>();
            let flags: Vec<_> = flags.iter().map(|args| args.flags).collect();
            assert_eq!(flags, Vec::from_iter(cancels.then_some(1)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_of_a_disk_that_is_gone_without_a_word_leaves_no_trace() {
    paused_deadline(async {
        let host = Host::connected().await;
        host.words().info = info(Kind::BACKUP, 1);
        let found = BlockJob::attach(&host.disk().await).await.unwrap();
        let job = found.unwrap();
        host.words().info = Info::default();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nobody said how it ended");
        };
        assert_eq!(evidence.resolve(), Verdict::Unknown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pivot_that_was_too_slow_for_a_set_is_told_of_nonetheless() {
    paused_deadline(async {
        let host = Host::connected().await;
        let job = host.disk().await.copy("/new").start().await.unwrap();
        host.words().info = info(Kind::COPY, 99);
        host.tell(news(Kind::COPY, Status::READY));
        let set = JobSet::of([job]);
        let ended = async {
            sleep(Duration::from_secs(2)).await;
            let asked = host.taken::<remote::DomainBlockJobAbort>();
            let flags: Vec<_> = asked.iter().map(|args| args.flags).collect();
            assert_eq!(
                flags,
                [3, 1],
                "a pivot, and when it took too long a cancellation"
            );
            host.words().live = xml(&["/new"], "");
            host.words().definition = xml(&["/new"], "");
            host.words().info = Info::default();
            host.tell(news(Kind::COPY, Status::COMPLETED));
        };
        let (end, ()) = tokio::join!(set.pivot_within(Duration::from_secs(1)), ended);
        let end = end.unwrap();
        assert_eq!(end.pivoted().count(), 1, "{end:?}");
        assert!(end.is_success());
    })
    .await;
}
