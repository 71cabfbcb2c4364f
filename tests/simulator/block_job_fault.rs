//! What can be made to go wrong with the block jobs of simulated guests.

use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::{DomainBlockJobAbortFlags as Abort, ErrorCode, ErrorDomain};
use virtwire::{Connection, Outcome, VanishedReason, remote};
use virtwire_protocol::RemoteError;
use virtwire_sim::{BlockJobFault, Simulator};
use virtwire_tests::paused_deadline;

use crate::guest::{Guest, MIB, MID, SECOND, TOP};

const CHAIN: [&str; 3] = ["/vda-top", "/vda-mid", "/vda-base"];

async fn client(simulator: &Simulator) -> Connection {
    let builder = Connection::builder().uri("qemu:///system");
    let connected = builder.connect_with_io(simulator.connect()).await;
    let (connection, driver) = connected.unwrap();
    tokio::spawn(driver);
    connection
}

#[tokio::test(start_paused = true)]
async fn full_storage_fails_a_copy_halfway() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().plan(BlockJobFault::no_space_at(0.4)).unwrap();
        guest.copy(0).await.unwrap();
        guest.pass(SECOND).await;
        assert_eq!(guest.events(), ["/vda-top COPY FAILED", "vda COPY FAILED"]);
        assert_eq!(guest.mirror().await, None);
        assert_eq!(guest.chain(0).await, CHAIN);
        assert_eq!(guest.info().await.found, 0);
        let copied = guest.simulator.image("/copy").unwrap().data();
        let part = (TOP + MID + 512 * MIB) / 10 * 4;
        assert!(copied.abs_diff(part) < 4 * MIB, "{copied}");
        // The next one is not affected.
        guest
            .simulator
            .put_image("/copy", virtwire_sim::Image::qcow2(0))
            .unwrap();
        let args = guest.copy_args("/other", 0);
        guest.ok::<remote::DomainBlockCopy>(args).await;
        guest.pass(SECOND * 3).await;
        assert_eq!(guest.events(), ["/vda-top COPY READY", "vda COPY READY"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn full_storage_fails_pulls_and_commits_too() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().plan(BlockJobFault::no_space_at(1.0)).unwrap();
        guest.pull(0).await.unwrap();
        guest.pass(SECOND * 3).await;
        assert_eq!(guest.events(), ["/vda-top PULL FAILED", "vda PULL FAILED"]);
        guest.disk().plan(BlockJobFault::io_error_at(0.0)).unwrap();
        guest.active_commit(0).await.unwrap();
        guest.pass(SECOND * 3).await;
        let told = ["/vda-top ACTIVE_COMMIT FAILED", "vda ACTIVE_COMMIT FAILED"];
        assert_eq!(guest.events(), told);
        assert_eq!(guest.chain(0).await, CHAIN);
        assert_eq!(guest.mirror().await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destination_can_fail_while_the_copy_is_ready() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let fault = BlockJobFault::FailWhenReady {
            after: SECOND * 30,
            error: String::from("Input/output error"),
        };
        guest.disk().plan(fault).unwrap();
        guest.copy(0).await.unwrap();
        guest.pass(SECOND * 20).await;
        assert_eq!(guest.events(), ["/vda-top COPY READY", "vda COPY READY"]);
        guest.pass(SECOND * 20).await;
        assert_eq!(guest.events(), ["/vda-top COPY FAILED", "vda COPY FAILED"]);
        let error = guest.abort(Abort::PIVOT).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID_ARG, "the job is gone");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refused_start_leaves_nothing_behind() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let refusal = RemoteError::new(
            ErrorCode::INTERNAL_ERROR,
            ErrorDomain::QEMU,
            "internal error: unable to execute QEMU command 'block-stream': Could not open",
        );
        let fault = BlockJobFault::Refuse(refusal.clone());
        guest.disk().plan(fault).unwrap();
        let error = guest.pull(0).await.unwrap_err();
        assert_eq!((error.code, error.message), (refusal.code, refusal.message));
        assert_eq!(guest.info().await.found, 0);
        guest.pull(0).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pivot_that_is_refused_can_be_tried_again() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().plan(BlockJobFault::RefusePivot).unwrap();
        guest.active_commit(0).await.unwrap();
        guest.pass(SECOND).await;
        guest.events();
        let error = guest.abort(Abort::PIVOT).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
        let mirror = guest.mirror().await.unwrap();
        assert!(mirror.contains("ready='yes'"), "{mirror}");
        assert!(guest.events().is_empty());
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(guest.chain(0).await, ["/vda-base"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_can_fail_while_it_pivots() {
    paused_deadline(async {
        for flags in [Abort::PIVOT, Abort::PIVOT | Abort::ASYNC] {
            let mut guest = Guest::new().await;
            let error = String::from("Input/output error");
            guest
                .disk()
                .plan(BlockJobFault::FailPivot { error })
                .unwrap();
            guest.active_commit(0).await.unwrap();
            guest.pass(SECOND).await;
            guest.events();
            let answer = guest.abort(flags).await;
            match flags {
                Abort::PIVOT => {
                    let error = answer.unwrap_err();
                    assert_eq!(error.code, ErrorCode::OPERATION_FAILED);
                    let text = error.message.unwrap();
                    assert!(
                        text.ends_with("failed while pivoting: Input/output error"),
                        "{text}"
                    );
                }
                // Only the event says it.
                _ => answer.unwrap(),
            }
            guest.pass(SECOND).await;
            let told = ["/vda-top ACTIVE_COMMIT FAILED", "vda ACTIVE_COMMIT FAILED"];
            assert_eq!(guest.events(), told);
            assert_eq!(guest.chain(0).await, CHAIN);
            assert_eq!(guest.mirror().await, None);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn quick_job_is_over_before_its_start_is_answered() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.everything();
        guest.disk().plan(BlockJobFault::CompleteFirst).unwrap();
        guest.pull(0).await.unwrap();
        let told = ["/vda-top PULL COMPLETED", "vda PULL COMPLETED", "answer"];
        assert_eq!(guest.everything(), told);
        assert_eq!(guest.chain(0).await, ["/vda-top"]);
        guest.everything();
        let mut args = guest.copy_args("/copy", 0);
        args.path = "vda".into();
        guest.disk().plan(BlockJobFault::CompleteFirst).unwrap();
        guest.ok::<remote::DomainBlockCopy>(args).await;
        let told = ["/vda-top COPY READY", "vda COPY READY", "answer"];
        assert_eq!(guest.everything(), told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_can_be_gone_before_its_event() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest
            .disk()
            .plan(BlockJobFault::DelayEvent(SECOND * 5))
            .unwrap();
        guest.pull(0).await.unwrap();
        guest.pass(SECOND * 3).await;
        assert_eq!(guest.info().await.found, 0);
        assert!(guest.events().is_empty());
        guest.pass(SECOND * 5).await;
        assert_eq!(
            guest.events(),
            ["/vda-top PULL COMPLETED", "vda PULL COMPLETED"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_client_does_not_take_a_lost_event_for_success() {
    paused_deadline(async {
        let guest = Guest::new().await;
        let connection = client(&guest.simulator).await;
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        guest.disk().plan(BlockJobFault::LoseEvent).unwrap();
        let job = domain.disk("vda").pull().start().await.unwrap();
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nobody told how it ended");
        };
        assert!(
            matches!(evidence.reason, VanishedReason::NoEvent),
            "{evidence:?}"
        );
        assert!(evidence.disk.unwrap().backing.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_client_hears_of_quick_and_of_failed_jobs() {
    paused_deadline(async {
        let guest = Guest::new().await;
        let connection = client(&guest.simulator).await;
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        guest.disk().plan(BlockJobFault::io_error_at(0.9)).unwrap();
        let job = domain.disk("vda").pull().start().await.unwrap();
        assert!(matches!(job.wait().await, Outcome::Failed(_)));
        guest.disk().plan(BlockJobFault::CompleteFirst).unwrap();
        let job = domain.disk("vda").pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stalled_job_moves_nothing_and_can_be_cancelled() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().plan(BlockJobFault::Stall).unwrap();
        guest.active_commit(0).await.unwrap();
        guest.pass(SECOND * 3600).await;
        assert_eq!(guest.figures().await, (0, TOP + MID));
        guest.abort(Abort::empty()).await.unwrap();
        let told = [
            "/vda-top ACTIVE_COMMIT CANCELED",
            "vda ACTIVE_COMMIT CANCELED",
        ];
        assert_eq!(guest.events(), told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn frozen_hypervisor_answers_nobody_and_can_be_destroyed() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        guest.pass(SECOND).await;
        guest.events();
        guest.domain().freeze().unwrap();
        let args = guest.info_args();
        let first = guest
            .start::<remote::DomainGetBlockJobInfo>(args.clone())
            .await;
        guest.pass(Duration::from_millis(10)).await;
        let start = Instant::now();
        // The one in front has the domain's turn, so this one waits for that.
        let second = guest.call::<remote::DomainGetBlockJobInfo>(args).await;
        assert_eq!(second.unwrap_err().code, ErrorCode::OPERATION_TIMEOUT);
        assert_eq!(start.elapsed(), SECOND * 30);
        guest.destroy().await;
        let first = guest.answer::<remote::DomainGetBlockJobInfo>(first).await;
        let error = first.unwrap_err();
        assert_eq!(error.code, ErrorCode::SYSTEM_ERROR);
        let text = error.message.unwrap();
        assert_eq!(
            text,
            "Unable to read from monitor: Connection reset by peer"
        );
        guest.pass(SECOND).await;
        let events = guest.events();
        assert!(
            events.iter().all(|event| event.starts_with("lifecycle")),
            "{events:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn thawed_hypervisor_goes_on_where_it_was() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.active_commit(32).await.unwrap();
        guest.pass(SECOND * 5).await;
        guest.domain().freeze().unwrap();
        guest.pass(SECOND * 100).await;
        assert!(guest.events().is_empty());
        guest.domain().thaw().unwrap();
        let (cur, _) = guest.figures().await;
        assert!(cur.abs_diff(160 * MIB) < 2 * MIB, "{cur}");
        guest.pass(SECOND * 6).await;
        assert_eq!(guest.events().len(), 2);
    })
    .await;
}
