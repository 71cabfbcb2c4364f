//! What newer daemons may say of jobs, and what says nothing.

use std::time::Duration;

use tokio::time::sleep;
use virtwire::constants::{ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind};
use virtwire::{BlockJob, ErrorKind, Outcome, Readiness};
use virtwire_tests::paused_deadline;

use super::host::{Host, Info, info, xml};
use super::news;

/// Kinds and statuses that there are not yet.
const NEWER: Kind = Kind(77);
const STRANGE: Status = Status(4711);

#[tokio::test(start_paused = true)]
async fn job_of_an_unknown_kind_is_followed_like_any_other() {
    paused_deadline(async {
        let host = Host::connected().await;
        host.words().info = info(NEWER, 1);
        let found = BlockJob::attach(&host.disk().await).await.unwrap();
        let job = found.unwrap();
        assert_eq!(job.kind(), NEWER);
        assert_eq!(
            job.pivot().await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        host.tell(news(NEWER, Status::READY));
        host.tell(news(NEWER, STRANGE));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(job.outcome(), None);
        assert!(!job.is_ready());
        host.tell(news(NEWER, Status::COMPLETED));
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_status_and_the_news_of_an_unknown_kind_end_nothing() {
    paused_deadline(async {
        let host = Host::connected().await;
        let job = host.disk().await.pull().start().await.unwrap();
        host.words().info = info(Kind::PULL, 1);
        for event in [
            news(Kind::PULL, STRANGE),
            news(Kind::PULL, Status(-1)),
            news(NEWER, Status::COMPLETED),
        ] {
            host.tell(event);
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(job.outcome(), None);
        host.tell(news(Kind::PULL, Status::CANCELED));
        assert_eq!(job.wait().await, Outcome::Cancelled);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_job_is_no_error_and_its_figures_are_none() {
    paused_deadline(async {
        let host = Host::connected().await;
        let disk = host.disk().await;
        for rest in [Info::default(), info(Kind::COPY, 99)] {
            host.words().info = Info { found: 0, ..rest };
            assert_eq!(disk.job_info().await.unwrap(), None);
            assert!(BlockJob::attach(&disk).await.unwrap().is_none());
            assert!(disk.domain().block_jobs().await.unwrap().is_empty());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn figures_make_no_mirror_ready_and_the_xml_does() {
    paused_deadline(async {
        let host = Host::connected().await;
        let mirror = |ready: &str| {
            let mirror = "<mirror type='file' job='copy'";
            let source = "<source file='/new'/></mirror>";
            xml(
                &["/top", "/mid", "/base"],
                &format!("{mirror}{ready}>{source}"),
            )
        };
        let job = host.disk().await.copy("/new").start().await.unwrap();
        host.words().live = mirror("");
        for figures in [(0, 0), (0, 1), (1, 1), (100, 100)] {
            host.words().info = Info {
                cur: figures.0,
                end: figures.1,
                ..info(Kind::COPY, 0)
            };
            sleep(Duration::from_secs(30)).await;
            assert!(!job.is_ready(), "{figures:?}");
        }
        // The event was missed.
        host.words().live = mirror(" ready='yes'");
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        assert_eq!(job.outcome(), None);
    })
    .await;
}
