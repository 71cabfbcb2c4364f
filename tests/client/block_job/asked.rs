//! What a handle remembers of what was asked of the daemon.

use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind,
    DomainEventCrashedDetailType, DomainEventStoppedDetailType, ErrorCode,
};
use virtwire::event::{DomainEventKind, Lifecycle};
use virtwire::{BlockJob, Evidence, JobSet, Outcome, Readiness, VanishedReason, Verdict, remote};
use virtwire_tests::paused_deadline;

use super::host::{Host, Info, info};
use super::news;

async fn ready() -> (Host, BlockJob) {
    let host = Host::connected().await;
    let job = host.disk().await.copy("/new").start().await.unwrap();
    host.words().info = info(Kind::COPY, 99);
    host.tell(news(Kind::COPY, Status::READY));
    assert_eq!(job.wait_ready().await, Readiness::Ready);
    (host, job)
}

fn evidence(outcome: Outcome) -> Box<Evidence> {
    match outcome {
        Outcome::Vanished(evidence) => evidence,
        other => panic!("nobody said so: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_evidence() {
    paused_deadline(async {
        for pivot in [true, false] {
            let (host, job) = ready().await;
            let asked = async {
                match pivot {
                    true => job.pivot().await,
                    false => job.cancel().await,
                }
            };
            let gone = async {
                while host.taken::<remote::DomainBlockJobAbort>().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                host.words().info = Info::default();
            };
            let evidence = evidence(tokio::join!(asked, gone).0.unwrap());
            assert_eq!(evidence.pivot_asked, pivot);
            assert_eq!(evidence.cancel_asked, !pivot);
            assert!(
                evidence.defined.is_some(),
                "it tells what a definition proves"
            );
            let verdict = if pivot {
                Verdict::Unknown
            } else {
                Verdict::NotDone
            };
            assert_eq!(evidence.resolve(), verdict);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_none() {
    paused_deadline(async {
        let (host, job) = ready().await;
        host.words().refusal = Some(ErrorCode::BLOCK_COPY_ACTIVE);
        let before = Instant::now();
        let refused = job.pivot().await.unwrap_err();
        assert!(refused.has_code(ErrorCode::BLOCK_COPY_ACTIVE));
        let patience = before.elapsed();
        let minute = Duration::from_secs(60);
        assert!(patience >= minute && patience < minute + Duration::from_secs(5));
        let asked = host.taken::<remote::DomainBlockJobAbort>().len();
        assert!((20..100).contains(&asked), "{asked}");
        host.words().refusal = Some(ErrorCode::OPERATION_FAILED);
        let refused = job.cancel().await.unwrap_err();
        assert!(refused.has_code(ErrorCode::OPERATION_FAILED));
        assert!(job.is_ready());

        host.words().info = Info::default();
        let evidence = evidence(job.wait().await);
        assert!(!evidence.pivot_asked && !evidence.cancel_asked);
        assert_eq!(evidence.resolve(), Verdict::NotDone);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_that_is_being_ended_already_is_waited_for() {
    paused_deadline(async {
        let (host, job) = ready().await;
        host.words().refusal = Some(ErrorCode::OPERATION_INVALID);
        let late = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            host.tell(news(Kind::COPY, Status::CANCELED));
        };
        let (pivoted, cancelled, ()) = tokio::join!(job.pivot(), job.cancel(), late);
        assert_eq!(pivoted.unwrap(), Outcome::Cancelled);
        assert_eq!(cancelled.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_definition_named_is_evidence_of_a_job_that_was_found_too() {
    paused_deadline(async {
        let (host, job) = ready().await;
        let found = BlockJob::attach(job.disk()).await.unwrap().unwrap();
        host.words().info = Info::default();
        assert!(evidence(found.wait().await).defined.is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stop_is_known_at_once_and_why() {
    paused_deadline(async {
        let why = DomainEventStoppedDetailType::DESTROYED;
        let crash = DomainEventCrashedDetailType::PANICKED;
        for (event, expected) in [
            (Lifecycle::Stopped(why), Some(why)),
            (Lifecycle::Crashed(crash), None),
        ] {
            let (host, job) = ready().await;
            let stopped = host.words().live.replace(" id='1'", "");
            host.words().live = stopped;
            let before = Instant::now();
            host.tell(DomainEventKind::Lifecycle(event));
            let evidence = evidence(job.wait().await);
            let VanishedReason::DomainStopped { detail } = evidence.reason else {
                panic!("{evidence:?}");
            };
            assert_eq!(detail, expected);
            assert!(before.elapsed() < Duration::from_secs(1));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn set_that_is_dropped_leaves_its_jobs() {
    paused_deadline(async {
        let host = Host::connected().await;
        let disk = host.disk().await;
        let set = JobSet::start([disk.pull()]).await.unwrap();
        host.words().info = info(Kind::PULL, 1);
        drop(set);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(host.taken::<remote::DomainBlockJobAbort>().is_empty());
    })
    .await;
}
