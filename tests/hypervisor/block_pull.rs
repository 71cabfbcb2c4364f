//! Block pulls on a running guest: every way one can end, each with its exact outcome.

use std::time::{Duration, Instant};

use virtwire::constants::{
    DomainBlockJobType, DomainDestroyFlags, DomainState, DomainXmlFlags, ErrorCode,
};
use virtwire::{Bandwidth, BlockJob, CloseCause, Execution, Outcome, VanishedReason};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::images::chain;
use crate::{Guest, Stage};

fn mib(count: u64) -> Bandwidth {
    Bandwidth::mib_per_s(count).unwrap()
}

async fn slow_pull(guest: &Guest) -> BlockJob {
    guest.disk().pull().bandwidth(mib(2)).start().await.unwrap()
}

async fn until_percent(job: &BlockJob, percent: f64) {
    let mut progress = job.progress_every(Duration::from_millis(50));
    while let Some(now) = progress.next().await {
        if now.percent() >= percent {
            return;
        }
    }
    panic!("the job was over first: {}", job.wait().await);
}

#[tokio::test]
async fn pull_to_completion_flattens_the_chain() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("complete", 32).await;
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);

        let job = guest.disk().pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
        assert_eq!(job.outcome(), Some(Outcome::Completed));
        assert_eq!(job.info().await.unwrap(), None);
        assert!(chain(&guest).await.is_empty());
        assert_eq!(guest.backing_file(), None);

        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        assert!(guest.reads_as_base());
    })
    .await;
}

#[tokio::test]
async fn progress_moves_and_the_limit_can_be_raised() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("progress", 32).await;
        let job = slow_pull(&guest).await;
        let info = job.info().await.unwrap().unwrap();
        assert_eq!(info.kind, DomainBlockJobType::PULL);
        assert_eq!(info.bandwidth, mib(2));

        let mut progress = job.progress_every(Duration::from_millis(50));
        let mut seen = Vec::new();
        while let Some(now) = progress.next().await {
            seen.push(now);
            if seen.len() == 5 {
                job.set_speed(mib(64)).await.unwrap();
            }
        }
        assert!(
            progress.next().await.is_none(),
            "the stream stays at its end"
        );
        assert!(
            seen.windows(2)
                .all(|pair| pair[0].current <= pair[1].current)
        );
        assert!(seen.last().unwrap().current > seen.first().unwrap().current);
        assert_eq!(seen.last().unwrap().bandwidth, mib(64));
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn cancelled_pull_leaves_the_disk_chained() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("cancel", 32).await;
        let job = slow_pull(&guest).await;
        until_percent(&job, 5.0).await;
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
        assert_eq!(guest.backing_file(), Some(guest.base.clone()));

        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        assert!(guest.reads_as_base());
    })
    .await;
}

#[tokio::test]
async fn cancelling_a_job_that_is_over_tells_how_it_ended() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("late", 4).await;
        let job = guest.disk().pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
        assert_eq!(job.cancel().await.unwrap(), Outcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn cancelling_by_two_at_once_gives_both_the_outcome() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("twice", 32).await;
        let job = slow_pull(&guest).await;
        let (first, second) = tokio::join!(job.cancel(), job.cancel());
        assert_eq!(first.unwrap(), Outcome::Cancelled);
        assert_eq!(second.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn tiny_pulls_end_with_their_event_however_fast_they_are() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for round in 0..5 {
            let guest = stage.guest(&format!("tiny{round}"), 1).await;
            let job = guest.disk().pull().start().await.unwrap();
            assert_eq!(job.wait().await, Outcome::Completed, "round {round}");
        }
    })
    .await;
}

#[tokio::test]
async fn cancelling_at_the_finish_tells_the_truth_about_the_disk() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        for round in 0..12 {
            let guest = stage.guest(&format!("finish{round}"), 1).await;
            let job = guest.disk().pull().start().await.unwrap();
            // Spread over the milliseconds in which QEMU concludes the job and libvirt takes note.
            tokio::time::sleep(Duration::from_micros(400 * round)).await;
            let outcome = job.cancel().await.unwrap();
            let chained = guest.backing_file().is_some();
            assert_eq!(chained, !chain(&guest).await.is_empty(), "round {round}");
            let truth = if chained {
                Outcome::Cancelled
            } else {
                Outcome::Completed
            };
            assert_eq!(outcome, truth, "round {round}");
            guest
                .domain
                .destroy(DomainDestroyFlags::empty())
                .await
                .unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn pull_by_source_path_is_followed_by_target() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("path", 4).await;
        let disk = guest.domain.disk(guest.overlay.to_str().unwrap());
        let job = disk.pull().start().await.unwrap();
        assert_eq!(job.disk().path(), "vda");
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn pull_of_an_unknown_disk_is_refused_by_the_daemon() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("unknown", 4).await;
        let error = guest.domain.disk("vdz").pull().start().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_ARG), "{error}");
        assert_eq!(error.procedure(), Some("DOMAIN_BLOCK_PULL"));
        assert_eq!(error.execution(), Some(Execution::Rejected));
    })
    .await;
}

#[tokio::test]
async fn pull_while_another_job_runs_is_refused_and_harms_nothing() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("busy", 32).await;
        let job = slow_pull(&guest).await;
        let error = guest.disk().pull().start().await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(ErrorCode::OPERATION_UNSUPPORTED),
            "{error}"
        );
        assert!(job.info().await.unwrap().is_some());
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn second_pull_after_a_cancelled_one_is_not_confused_by_its_event() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("again", 8).await;
        for _ in 0..5 {
            let job = slow_pull(&guest).await;
            // Asynchronous, and not waited for: the event of this job comes while the next starts.
            drop(job);
            let flags = virtwire::constants::DomainBlockJobAbortFlags::empty();
            guest.disk().abort_job(flags).await.unwrap();
        }
        let job = guest.disk().pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
        assert!(chain(&guest).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn domain_destroyed_during_a_pull_is_vanished_not_success() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("destroyed", 32).await;
        let job = slow_pull(&guest).await;
        until_percent(&job, 1.0).await;
        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("a destroyed domain announces nothing");
        };
        assert!(
            matches!(evidence.reason, VanishedReason::DomainStopped { .. }),
            "{evidence:?}"
        );
        assert!(evidence.last_info.unwrap().current > 0);
        // A transient domain is gone altogether.
        assert_eq!(evidence.domain, None);
    })
    .await;
}

#[tokio::test]
async fn daemon_killed_during_a_pull_ends_the_wait_and_not_the_job() {
    deadline(async {
        let mut stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("killed", 32).await;
        let job = slow_pull(&guest).await;
        until_percent(&job, 1.0).await;
        stage.kill();
        let killed = Instant::now();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nobody announces anything over a lost connection");
        };
        assert!(killed.elapsed() < Duration::from_secs(10));
        let VanishedReason::ConnectionLost(cause) = &evidence.reason else {
            panic!("{evidence:?}");
        };
        assert!(
            matches!(**cause, CloseCause::EndOfFile | CloseCause::Io(_)),
            "{cause:?}"
        );
        assert!(job.info().await.unwrap_err().is_closed());

        stage.restart();
        let uri = stage.uri(Driver::Qemu);
        let connection = virtwire::Connection::open(&uri).await.unwrap();
        let domain = guest.domain.with_connection(&connection);
        assert_eq!(domain.status().await.unwrap().state, DomainState::RUNNING);
        let info = domain.disk("vda").job_info().await.unwrap().unwrap();
        assert_eq!(info.kind, DomainBlockJobType::PULL);
    })
    .await;
}

#[tokio::test]
async fn hung_guest_does_not_keep_a_destroy_from_ending_the_wait() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("hung", 32).await;
        let job = slow_pull(&guest).await;
        until_percent(&job, 1.0).await;
        stage.freeze(&guest);
        // The monitor's question blocks now; the event of the destroy must come through.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(job.outcome(), None);
        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("a destroyed domain announces nothing");
        };
        assert!(
            matches!(evidence.reason, VanishedReason::DomainStopped { .. }),
            "{evidence:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn pull_that_meets_unreadable_data_has_failed() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest_on_unreadable_base("bad", 8).await;
        let job = guest.disk().pull().start().await.unwrap();
        let outcome = job.wait().await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert_eq!(chain(&guest).await, [guest.base.to_str().unwrap()]);
    })
    .await;
}

#[tokio::test]
async fn pull_on_a_stopped_domain_is_refused() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("stopped", 4).await;
        let xml = guest.domain.xml(DomainXmlFlags::empty()).await.unwrap();
        guest
            .domain
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap();
        let error = guest.disk().pull().start().await.unwrap_err();
        assert!(error.is_not_found(), "{error}");

        let flags = virtwire::constants::DomainDefineFlags::empty();
        let defined = stage.connection.define_domain(&xml, flags).await.unwrap();
        let error = defined.disk("vda").pull().start().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_INVALID), "{error}");
    })
    .await;
}
