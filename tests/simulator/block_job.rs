//! Block jobs of simulated guests under the paused clock: how they go, what they say of themselves
//! and what is told of them.

use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::{
    DomainBlockCommitFlags, DomainBlockCopyFlags, DomainBlockJobAbortFlags as Abort,
    DomainBlockJobType, DomainXmlFlags, ErrorCode,
};
use virtwire::{Bandwidth, Connection, Outcome, VanishedReason, remote};
use virtwire_sim::{Image, Simulator};
use virtwire_tests::paused_deadline;
use virtwire_xdr::Str;

use crate::guest::{Guest, LATENCY, MIB, MID, SECOND, SIZE, TOP, images, xml};

const CHAIN: [&str; 3] = ["/vda-top", "/vda-mid", "/vda-base"];

const TRANSIENT: u32 = DomainBlockCopyFlags::TRANSIENT_JOB.bits();

#[tokio::test(start_paused = true)]
async fn pull_takes_its_time_and_flattens_the_chain() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let start = Instant::now();
        guest.pull(1).await.unwrap();
        guest.pass(SECOND * 384).await;
        let (cur, end) = guest.figures().await;
        assert_eq!(end, SIZE);
        assert!(cur.abs_diff(SIZE / 2) < 4 * MIB, "{cur}");
        assert_eq!(guest.chain(0).await, CHAIN);
        assert!(guest.events().is_empty());

        guest.pass(SECOND * 385).await;
        let told = ["/vda-top PULL COMPLETED", "vda PULL COMPLETED"];
        assert_eq!(guest.events(), told);
        assert!(start.elapsed() < SECOND * 770);
        assert_eq!(guest.info().await.found, 0);
        assert_eq!(guest.chain(0).await, ["/vda-top"]);
        let image = guest.simulator.image("/vda-top").unwrap();
        assert_eq!(
            (image.data(), image.backing()),
            (TOP + MID + 512 * MIB, None)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn limit_changes_take_effect_at_once() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        guest.pass(SECOND).await;
        guest.set_speed(64).await.unwrap();
        assert_eq!(guest.info().await.bandwidth, 64 * MIB);
        guest.pass(SECOND * 11).await;
        assert!(guest.events().is_empty());
        guest.pass(SECOND * 2).await;
        assert_eq!(guest.events().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pull_down_to_a_base_keeps_the_base() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let args = remote::DomainBlockRebaseArgs {
            dom: guest.dom.clone(),
            path: Str::from("vda"),
            base: Some(Str::from("/vda-base")),
            bandwidth: 0,
            flags: 0,
        };
        guest.ok::<remote::DomainBlockRebase>(args).await;
        guest.pass(SECOND).await;
        let told = ["/vda-top PULL COMPLETED", "vda PULL COMPLETED"];
        assert_eq!(guest.events(), told);
        assert_eq!(guest.chain(0).await, ["/vda-top", "/vda-base"]);
        let top = guest.simulator.image("/vda-top").unwrap();
        assert_eq!((top.data(), top.backing()), (TOP + MID, Some("/vda-base")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn active_commit_becomes_ready_and_waits_for_its_pivot() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.active_commit(32).await.unwrap();
        assert_eq!(
            guest.mirror().await.as_deref(),
            Some("<mirror type='file' job='active-commit'>")
        );
        guest.pass(SECOND * 11).await;
        let told = ["/vda-top ACTIVE_COMMIT READY", "vda ACTIVE_COMMIT READY"];
        assert_eq!(guest.events(), told);
        assert_eq!(guest.figures().await, (TOP + MID, TOP + MID));
        guest.pass(SECOND * 3600).await;
        assert!(guest.events().is_empty(), "it stays so");
        let mirror = guest.mirror().await.unwrap();
        assert!(
            mirror.ends_with("job='active-commit' ready='yes'>"),
            "{mirror}"
        );

        guest.abort(Abort::PIVOT).await.unwrap();
        let everything = guest.everything();
        // The event names the image that the guest writes to now, and comes before the answer.
        let end = [
            "/vda-base ACTIVE_COMMIT COMPLETED",
            "vda ACTIVE_COMMIT COMPLETED",
            "answer",
        ];
        assert!(
            everything.ends_with(&end.map(str::to_owned)),
            "{everything:?}"
        );
        assert_eq!(guest.mirror().await, None);
        assert_eq!(guest.chain(0).await, ["/vda-base"]);
        let inactive = DomainXmlFlags::INACTIVE.bits();
        assert_eq!(guest.chain(inactive).await, ["/vda-base"]);
        let base = guest.simulator.image("/vda-base").unwrap();
        assert_eq!(base.data(), 512 * MIB + TOP + MID);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn inner_commit_ends_by_itself() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let mut args = guest.commit_args(DomainBlockCommitFlags::DELETE, 0);
        args.top = Some(Str::from("vda[5]"));
        guest.ok::<remote::DomainBlockCommit>(args).await;
        assert_eq!(guest.mirror().await, None);
        guest.pass(SECOND).await;
        let told = ["/vda-top COMMIT COMPLETED", "vda COMMIT COMPLETED"];
        assert_eq!(guest.events(), told);
        assert_eq!(guest.chain(0).await, ["/vda-top", "/vda-base"]);
        assert_eq!(
            guest.simulator.image("/vda-mid"),
            None,
            "it was to be deleted"
        );
        let top = guest.simulator.image("/vda-top").unwrap();
        assert_eq!(top.backing(), Some("/vda-base"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn copy_pivots_to_its_destination() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.copy(TRANSIENT).await.unwrap();
        guest.pass(SECOND * 5).await;
        let told = ["/vda-top COPY READY", "vda COPY READY"];
        assert_eq!(guest.events(), told);
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(
            guest.events(),
            ["/copy COPY COMPLETED", "vda COPY COMPLETED"]
        );
        assert_eq!(guest.chain(0).await, ["/copy"]);
        let inactive = DomainXmlFlags::INACTIVE.bits();
        assert_eq!(guest.chain(inactive).await, ["/copy"]);
        let copy = guest.simulator.image("/copy").unwrap();
        assert_eq!((copy.data(), copy.backing()), (TOP + MID + 512 * MIB, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shallow_copy_stands_on_the_same_image() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest
            .copy(DomainBlockCopyFlags::SHALLOW.bits())
            .await
            .unwrap();
        guest.pass(SECOND).await;
        assert_eq!(guest.figures().await, (TOP, TOP));
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(guest.chain(0).await, ["/copy", "/vda-mid", "/vda-base"]);
        let copy = guest.simulator.image("/copy").unwrap();
        assert_eq!(copy.backing(), Some("/vda-mid"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_copy_leaves_the_guest_where_it_was() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.copy(0).await.unwrap();
        guest.pass(SECOND * 5).await;
        guest.events();
        guest.abort(Abort::empty()).await.unwrap();
        // Even though all was copied.
        assert_eq!(
            guest.events(),
            ["/vda-top COPY CANCELED", "vda COPY CANCELED"]
        );
        assert_eq!(guest.chain(0).await, CHAIN);
        assert_eq!(guest.mirror().await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_pull_leaves_the_chain() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        guest.pass(SECOND * 10).await;
        guest.abort(Abort::empty()).await.unwrap();
        assert_eq!(
            guest.events(),
            ["/vda-top PULL CANCELED", "vda PULL CANCELED"]
        );
        assert_eq!(guest.chain(0).await, CHAIN);
        assert_eq!(guest.info().await.found, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn jobs_on_two_disks_do_not_know_each_other() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(0).await.unwrap();
        let mut args = guest.pull_args(0);
        args.path = Str::from("vdb");
        guest.ok::<remote::DomainBlockPull>(args).await;
        guest.pass(SECOND * 3).await;
        let mut events = guest.events();
        events.sort();
        let told = [
            "/vda-top PULL COMPLETED",
            "/vdb-top PULL COMPLETED",
            "vda PULL COMPLETED",
            "vdb PULL COMPLETED",
        ];
        assert_eq!(events, told);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn figures_before_the_hypervisor_begins_say_nothing() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        assert_eq!(guest.figures().await, (0, 0));
        guest.abort(Abort::empty()).await.unwrap();
        guest.active_commit(1).await.unwrap();
        assert_eq!(guest.figures().await, (0, 1), "of a job that can be ready");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn mirror_that_is_not_ready_never_shows_all_done() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let size = TOP + MID;
        guest.active_commit(32).await.unwrap();
        // A call that holds the domain keeps libvirt from taking note that it is ready.
        let mut last = (0, 1);
        while guest.events().is_empty() {
            last = guest.figures().await;
            let mirror = guest.mirror().await.unwrap();
            assert!(last.0 < last.1 || mirror.contains("ready"), "{last:?}");
            guest.pass(Duration::from_millis(10)).await;
        }
        assert!(last.0 > size - 2 * MIB, "{last:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn empty_overlay_is_ready_with_one_of_one() {
    paused_deadline(async {
        let builder = images(Simulator::builder())
            .image("/vda-mid", Image::qcow2(SIZE).on("/vda-base"))
            .image("/vda-top", Image::qcow2(SIZE).on("/vda-mid"));
        let mut guest = Guest::on(builder.start(), &xml()).await;
        guest.active_commit(0).await.unwrap();
        assert_eq!(guest.figures().await, (0, 1));
        guest.pass(SECOND).await;
        assert_eq!(guest.figures().await, (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn guest_that_writes_faster_keeps_a_commit_from_becoming_ready() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().set_guest_writes(10 * MIB).unwrap();
        guest.active_commit(5).await.unwrap();
        guest.pass(SECOND * 60).await;
        let (cur, end) = guest.figures().await;
        assert!(end > TOP + MID + 590 * MIB, "the end moves away: {end}");
        assert!(end - cur > TOP + MID + 290 * MIB, "{cur}");
        assert!(guest.events().is_empty());
        guest.disk().set_guest_writes(0).unwrap();
        guest.set_speed(0).await.unwrap();
        guest.pass(SECOND * 2).await;
        assert_eq!(guest.events().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn synchronous_writes_let_a_copy_converge() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().set_guest_writes(10 * MIB).unwrap();
        let mut args = guest.copy_args("/copy", DomainBlockCopyFlags::SYNCHRONOUS_WRITES.bits());
        let limit = remote::TypedParam::new("bandwidth", 5 * MIB).unwrap();
        args.params.push(limit);
        guest.ok::<remote::DomainBlockCopy>(args).await;
        guest.pass(SECOND * 200).await;
        assert_eq!(guest.events(), ["/vda-top COPY READY", "vda COPY READY"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn asynchronous_pivot_is_answered_first_and_shows_its_teardown() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.active_commit(0).await.unwrap();
        guest.pass(SECOND).await;
        guest.events();
        guest.abort(Abort::PIVOT | Abort::ASYNC).await.unwrap();
        let mirror = guest.mirror().await.unwrap();
        assert!(mirror.ends_with("ready='pivot'>"), "{mirror}");
        assert_eq!(guest.chain(0).await, CHAIN);
        // Once the hypervisor has switched, the old element stands there empty for a moment.
        guest.pass(LATENCY + LATENCY / 2).await;
        assert_eq!(
            guest.mirror().await.as_deref(),
            Some("<mirror type='file' job=''>")
        );
        assert_eq!(guest.chain(0).await, ["/vda-base"]);
        assert_eq!(guest.info().await.found, 1);
        assert!(guest.events().is_empty());
        guest.pass(LATENCY).await;
        let told = [
            "/vda-base ACTIVE_COMMIT COMPLETED",
            "vda ACTIVE_COMMIT COMPLETED",
        ];
        assert_eq!(guest.events(), told);
        assert_eq!(guest.mirror().await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ending_a_job_twice_is_refused_in_two_ways() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        guest.pass(SECOND).await;
        guest.abort(Abort::ASYNC).await.unwrap();
        let error = guest.abort(Abort::ASYNC).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_INVALID);
        let text = error.message.unwrap();
        assert!(
            text.ends_with("block job on disk 'vda' is still being ended"),
            "{text}"
        );
        guest.pass(SECOND).await;
        let error = guest.abort(Abort::ASYNC).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID_ARG);
        let text = error.message.unwrap();
        assert!(
            text.ends_with("disk vda does not have an active block job"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn synchronous_end_holds_the_domain() {
    paused_deadline(async {
        let builder = images(Simulator::builder()).block_job_latency(SECOND * 40);
        let mut guest = Guest::on(builder.start(), &xml()).await;
        guest.pull(1).await.unwrap();
        guest.pass(SECOND * 50).await;
        let args = guest.abort_args(Abort::empty());
        let ending = guest.start::<remote::DomainBlockJobAbort>(args).await;
        guest.pass(SECOND).await;
        let args = guest.info_args();
        let error = guest
            .call::<remote::DomainGetBlockJobInfo>(args)
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_TIMEOUT);
        let text = error.message.unwrap();
        assert!(
            text.ends_with(
                "cannot acquire state change lock \
                 (held by monitor=remoteDispatchDomainBlockJobAbort)"
            ),
            "{text}"
        );
        guest
            .answer::<remote::DomainBlockJobAbort>(ending)
            .await
            .unwrap();
        assert_eq!(guest.info().await.found, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn network_disk_is_told_of_by_its_target_only() {
    paused_deadline(async {
        let simulator = Simulator::builder()
            .image("nbd://store:10809/base", Image::raw(SIZE).with_data(MID))
            .image(
                "nbd://store:10809/top",
                Image::qcow2(SIZE).on("nbd://store:10809/base"),
            )
            .start();
        let top = "<disk type='network' device='disk'><driver name='qemu' type='qcow2'/>\
                   <source protocol='nbd' name='top'><host name='store' port='10809'/></source>\
                   <target dev='vda' bus='virtio'/></disk>";
        let start = xml().find("<disk").unwrap();
        let xml = format!("{}{top}</devices></domain>", &xml()[..start]);
        let mut guest = Guest::on(simulator, &xml).await;
        let xml = guest.xml(0).await;
        let backing = "<backingStore type='network' index='2'>";
        assert!(xml.contains(backing), "{xml}");
        guest.pull(0).await.unwrap();
        guest.pass(SECOND).await;
        assert_eq!(guest.events(), ["vda PULL COMPLETED"]);
        let xml = guest.xml(0).await;
        assert!(!xml.contains("<backingStore type"), "{xml}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroyed_domain_takes_its_jobs_along_without_a_word() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.active_commit(1).await.unwrap();
        guest.pass(SECOND * 10).await;
        guest.destroy().await;
        guest.pass(SECOND * 3600).await;
        let events = guest.events();
        assert!(
            events.iter().all(|event| event.starts_with("lifecycle")),
            "{events:?}"
        );
        let args = guest.info_args();
        let error = guest
            .call::<remote::DomainGetBlockJobInfo>(args)
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_INVALID);
        guest.domain().start().unwrap();
        assert_eq!(guest.chain(0).await, CHAIN);
        assert_eq!(guest.mirror().await, None);
        assert_eq!(guest.info().await.found, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn restarted_daemon_has_its_jobs_and_not_the_events_meanwhile() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.active_commit(32).await.unwrap();
        guest.pass(SECOND).await;
        guest.simulator.restart();
        tokio::time::sleep(SECOND * 60).await;
        guest.reconnect().await;
        guest.pass(SECOND).await;
        assert!(
            guest.events().is_empty(),
            "nobody was there when it became ready"
        );
        let mirror = guest.mirror().await.unwrap();
        assert!(mirror.contains("ready='yes'"), "{mirror}");
        assert_eq!(
            guest.info().await.type_,
            DomainBlockJobType::ACTIVE_COMMIT.0
        );
        guest.abort(Abort::PIVOT).await.unwrap();
        assert_eq!(guest.chain(0).await, ["/vda-base"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn jobs_end_with_the_simulator() {
    paused_deadline(async {
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let before = tasks();
        let mut guest = Guest::new().await;
        guest.pull(1).await.unwrap();
        let mut args = guest.commit_args(DomainBlockCommitFlags::ACTIVE, 0);
        args.disk = Str::from("vdb");
        guest.ok::<remote::DomainBlockCommit>(args).await;
        guest.pass(SECOND).await;
        assert!(tasks() > before);
        drop(guest);
        tokio::time::sleep(SECOND).await;
        assert_eq!(tasks(), before);
    })
    .await;
}

async fn client(simulator: &Simulator) -> Connection {
    let builder = Connection::builder().uri("qemu:///system");
    let connected = builder.connect_with_io(simulator.connect()).await;
    let (connection, driver) = connected.unwrap();
    tokio::spawn(driver);
    connection
}

#[tokio::test(start_paused = true)]
async fn our_client_follows_a_pull_of_ten_minutes_in_no_time() {
    paused_deadline(async {
        let guest = Guest::new().await;
        let connection = client(&guest.simulator).await;
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        let limit = Bandwidth::mib_per_s(1).unwrap();
        let start = Instant::now();
        let pull = domain.disk("vda").pull().bandwidth(limit);
        let job = pull.start().await.unwrap();
        let mut progress = job.progress_every(SECOND * 60);
        let mut seen = Vec::new();
        while let Some(now) = progress.next().await {
            seen.push(now.current);
        }
        assert!(seen.is_sorted() && seen.len() > 10, "{seen:?}");
        assert_eq!(job.wait().await, Outcome::Completed);
        assert!(start.elapsed() > SECOND * 600);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_client_sees_a_cancelled_and_a_destroyed_pull() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let connection = client(&guest.simulator).await;
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        let limit = Bandwidth::mib_per_s(1).unwrap();
        let pull = || domain.disk("vda").pull().bandwidth(limit);
        let job = pull().start().await.unwrap();
        assert_eq!(job.cancel().await.unwrap(), Outcome::Cancelled);
        let job = pull().start().await.unwrap();
        guest.destroy().await;
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("nothing is told of a job on a domain that is destroyed");
        };
        assert!(
            matches!(evidence.reason, VanishedReason::DomainStopped { .. }),
            "{evidence:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_of_an_earlier_job_looks_like_that_of_the_next() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let late = virtwire_sim::BlockJobFault::DelayEvent(SECOND);
        guest.disk().plan(late).unwrap();
        guest.pull(1).await.unwrap();
        guest.abort(Abort::empty()).await.unwrap();
        guest.pull(1).await.unwrap();
        guest.pass(SECOND * 2).await;
        assert_eq!(
            guest.events(),
            ["/vda-top PULL CANCELED", "vda PULL CANCELED"]
        );
        assert_eq!(guest.info().await.found, 1, "and yet the second one runs");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn source_path_names_the_disk_until_it_pivots() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let mut args = guest.commit_args(DomainBlockCommitFlags::ACTIVE, 0);
        args.disk = Str::from("/vda-top");
        guest.ok::<remote::DomainBlockCommit>(args).await;
        guest.pass(SECOND).await;
        let mut args = guest.abort_args(Abort::PIVOT);
        args.path = Str::from("/vda-top");
        guest.ok::<remote::DomainBlockJobAbort>(args).await;
        let mut args = guest.info_args();
        args.path = Str::from("/vda-top");
        let info = guest.call::<remote::DomainGetBlockJobInfo>(args).await;
        let text = info.unwrap_err().message.unwrap();
        assert!(
            text.ends_with("disk '/vda-top' not found in domain"),
            "{text}"
        );
        let mut args = guest.info_args();
        args.path = Str::from("/vda-base");
        guest.ok::<remote::DomainGetBlockJobInfo>(args).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_keeps_saving_away_and_pivoted_disks_survive_it() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        let save = |guest: &Guest| remote::DomainManagedSaveArgs {
            dom: guest.dom.clone(),
            flags: 0,
        };
        guest.active_commit(0).await.unwrap();
        guest.pass(SECOND).await;
        let args = save(&guest);
        let answer = guest.call::<remote::DomainManagedSave>(args).await;
        let error = answer.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_INVALID);
        guest.abort(Abort::PIVOT).await.unwrap();
        let args = save(&guest);
        guest.ok::<remote::DomainManagedSave>(args).await;
        guest.domain().start().unwrap();
        assert_eq!(guest.chain(0).await, ["/vda-base"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn chain_of_the_definition_is_kept_in_step() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let layer = |path: &str, below: &str| {
            format!(
                "<backingStore type='file'><format type='qcow2'/><source file='{path}'/>\
                 {below}</backingStore>"
            )
        };
        let chain = layer("/vda-mid", &layer("/vda-base", "<backingStore/>"));
        let source = "<source file='/vda-top'/>";
        let uuid: String = guest
            .dom
            .uuid
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let xml = xml()
            .replace(source, &format!("{source}{chain}"))
            .replace("<memory>", &format!("<uuid>{uuid}</uuid><memory>"));
        let args = remote::DomainDefineXmlFlagsArgs {
            xml: Str::from(xml),
            flags: 0,
        };
        guest.ok::<remote::DomainDefineXmlFlags>(args).await;
        let inactive = DomainXmlFlags::INACTIVE.bits();
        assert_eq!(guest.chain(inactive).await, CHAIN);
        let mut args = guest.commit_args(DomainBlockCommitFlags::empty(), 0);
        args.top = Some(Str::from("/vda-mid"));
        guest.ok::<remote::DomainBlockCommit>(args).await;
        guest.pass(SECOND).await;
        assert_eq!(guest.chain(inactive).await, ["/vda-top", "/vda-base"]);
        guest.pull(0).await.unwrap();
        guest.pass(SECOND * 3).await;
        assert_eq!(guest.chain(inactive).await, ["/vda-top"]);
        let xml = guest.xml(inactive).await;
        assert!(xml.contains("<backingStore/>"), "{xml}");
    })
    .await;
}
