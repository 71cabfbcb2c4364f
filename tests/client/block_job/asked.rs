//! What a handle remembers of what was asked of the daemon.

use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind, ErrorCode,
};
use virtwire::{BlockJob, Evidence, Outcome, Readiness, Verdict, remote};
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
