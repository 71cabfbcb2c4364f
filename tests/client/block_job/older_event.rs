//! `BLOCK_JOB`, the event that names an image, for daemons that lack the one that names the disk.

use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind, DomainEventId,
};
use virtwire::{NextStart, Outcome, Readiness, remote};
use virtwire_tests::paused_deadline;

use super::host::{Host, info, xml};
use super::{news, older_news};

/// The events that were asked for.
fn registered(host: &Host) -> Vec<i32> {
    let calls = host.taken::<remote::ConnectDomainEventCallbackRegisterAny>();
    calls.iter().map(|args| args.event_id).collect()
}

#[tokio::test(start_paused = true)]
async fn it_is_not_asked_for_where_there_is_a_better_one() {
    paused_deadline(async {
        let host = Host::connected().await;
        let job = host.disk().await.pull().start().await.unwrap();
        host.words().info = info(Kind::PULL, 1);
        let registered = registered(&host);
        assert!(registered.contains(&DomainEventId::BLOCK_JOB_2.0));
        assert!(!registered.contains(&DomainEventId::BLOCK_JOB.0));
        host.tell(news(Kind::PULL, Status::COMPLETED));
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pivot_is_announced_by_the_old_image_or_by_the_new_one() {
    paused_deadline(async {
        for named in ["/top", "/new"] {
            let host = Host::connected().await;
            host.words().lacks_second = true;
            let job = host.disk().await.copy("/new").start().await.unwrap();
            host.words().info = info(Kind::COPY, 99);
            assert!(registered(&host).contains(&DomainEventId::BLOCK_JOB.0));
            host.tell(older_news("/top", Kind::COPY, Status::READY));
            assert_eq!(job.wait_ready().await, Readiness::Ready);
            host.words().live = xml(&["/new"], "");
            host.words().definition = xml(&["/new"], "");
            host.tell(older_news(named, Kind::COPY, Status::COMPLETED));
            assert_eq!(job.wait().await, Outcome::Pivoted(NextStart::NewImage));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn news_of_other_images_and_other_jobs_are_none_of_ours() {
    paused_deadline(async {
        let host = Host::connected().await;
        host.words().lacks_second = true;
        let job = host.disk().await.pull().start().await.unwrap();
        host.words().info = info(Kind::PULL, 1);
        for event in [
            older_news("/other", Kind::PULL, Status::COMPLETED),
            older_news("/top", Kind::COMMIT, Status::COMPLETED),
            // In the way that was not asked for.
            news(Kind::PULL, Status::CANCELED),
        ] {
            host.tell(event);
        }
        host.tell(older_news("/top", Kind::PULL, Status::FAILED));
        assert!(matches!(job.wait().await, Outcome::Failed(_)));
    })
    .await;
}
