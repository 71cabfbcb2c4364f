//! Backups and checkpoints of simulated guests.

use std::time::Duration;

use tokio::time::Instant;
use virtwire::constants::{DomainJobType, ErrorCode};
use virtwire::remote;
use virtwire_protocol::RemoteError;
use virtwire_protocol::typed_param::TypedParams;
use virtwire_sim::BlockJobFault;
use virtwire_tests::paused_deadline;
use virtwire_xdr::Str;

use crate::guest::{Guest, MIB, SECOND, SIZE};

const PUSH: &str = "<domainbackup><disks><disk name='vda' backup='yes' type='file'>\
                    <target file='/backup'/></disk></disks></domainbackup>";

const PULL: &str = "<domainbackup mode='pull'><server transport='unix' socket='/nbd'/><disks>\
                    <disk name='vda' backup='yes' type='file'><scratch file='/scratch'/></disk>\
                    </disks></domainbackup>";

impl Guest {
    fn begin_args(
        &self,
        backup: &str,
        checkpoint: Option<&str>,
    ) -> remote::DomainBackupBeginArgs<'static> {
        remote::DomainBackupBeginArgs {
            dom: self.dom.clone(),
            backup_xml: Str::from(backup.to_owned()),
            checkpoint_xml: checkpoint.map(|xml| Str::from(xml.to_owned())),
            flags: 0,
        }
    }

    async fn begin(&mut self, backup: &str, checkpoint: Option<&str>) -> Result<(), RemoteError> {
        let args = self.begin_args(backup, checkpoint);
        self.call::<remote::DomainBackupBegin>(args).await
    }

    async fn job(&mut self, flags: u32) -> remote::DomainGetJobStatsRet<'static> {
        let args = remote::DomainGetJobStatsArgs {
            dom: self.dom.clone(),
            flags,
        };
        self.ok::<remote::DomainGetJobStats>(args).await
    }

    async fn abort_job(&mut self) -> Result<(), RemoteError> {
        let args = remote::DomainAbortJobArgs {
            dom: self.dom.clone(),
        };
        self.call::<remote::DomainAbortJob>(args).await
    }

    async fn backup_xml(&mut self) -> Result<String, RemoteError> {
        let args = remote::DomainBackupGetXmlDescArgs {
            dom: self.dom.clone(),
            flags: 0,
        };
        let ret = self.call::<remote::DomainBackupGetXmlDesc>(args).await?;
        Ok(ret.xml.to_string_lossy().into_owned())
    }

    async fn checkpoint(&mut self, name: &str) -> Result<(), RemoteError> {
        let args = remote::DomainCheckpointCreateXmlArgs {
            dom: self.dom.clone(),
            xml_desc: Str::from(checkpoint(name)),
            flags: 0,
        };
        let created = self.call::<remote::DomainCheckpointCreateXml>(args).await;
        created.map(drop)
    }

    async fn checkpoint_xml(&mut self, name: &str) -> String {
        let args = remote::DomainCheckpointGetXmlDescArgs {
            checkpoint: remote::NonnullDomainCheckpoint {
                name: Str::from(name.to_owned()),
                dom: self.dom.clone(),
            },
            // NO_DOMAIN and SIZE.
            flags: 6,
        };
        let ret = self.ok::<remote::DomainCheckpointGetXmlDesc>(args).await;
        ret.xml.to_string_lossy().into_owned()
    }
}

fn checkpoint(name: &str) -> String {
    format!("<domaincheckpoint><name>{name}</name></domaincheckpoint>")
}

/// Those of the job's figures that have this name.
fn figure(job: &remote::DomainGetJobStatsRet<'_>, name: &str) -> Option<u64> {
    TypedParams::new(&job.params).unsigned(name)
}

/// What is told of a push backup of `vda` that is done.
const PUSHED: [&str; 3] = [
    "job operation=Int(9) disk_total=Ullong(1073741824) disk_processed=Ullong(1073741824) \
     disk_remaining=Ullong(0) success=Boolean(1)",
    "/vda-top BACKUP COMPLETED",
    "vda BACKUP COMPLETED",
];

#[tokio::test(start_paused = true)]
async fn push_backup_ends_by_itself_and_leaves_its_result() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.begin(PUSH, None).await.unwrap();
        let xml = guest.backup_xml().await.unwrap();
        let disk = "<disk name='vda' backup='yes' type='file' backupmode='full' index='7'>";
        assert!(xml.contains(disk), "{xml}");
        assert!(xml.contains("<disk name='vdb' backup='no'/>"), "{xml}");
        guest.pass(SECOND).await;
        let job = guest.job(0).await;
        assert_eq!(job.type_, DomainJobType::UNBOUNDED.0);
        let (done, total) = (figure(&job, "disk_processed"), figure(&job, "disk_total"));
        assert_eq!(total, Some(SIZE));
        assert!(done > Some(SIZE / 2) && done < total, "{done:?}");
        assert_eq!(guest.info().await.type_, 5);

        guest.pass(SECOND).await;
        assert_eq!(guest.events(), PUSHED);
        assert_eq!(guest.job(0).await.type_, 0);
        let kept = guest.job(3).await;
        assert_eq!(kept.type_, DomainJobType::COMPLETED.0);
        assert_eq!(guest.job(1).await, kept);
        assert_eq!(guest.job(1).await.type_, 0, "it is said once");
        assert_eq!(guest.simulator.image("/backup").unwrap().backing(), None);
        let error = guest.backup_xml().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NO_DOMAIN_BACKUP);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pull_backup_is_completed_by_its_abortion() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.begin(PULL, Some(&checkpoint("one"))).await.unwrap();
        let xml = guest.backup_xml().await.unwrap();
        assert!(
            xml.contains("backupmode='full' exportname='vda' index='7'"),
            "{xml}"
        );
        guest.disk().set_guest_writes(MIB).unwrap();
        guest.pass(SECOND * 10).await;
        let job = guest.job(0).await;
        assert_eq!(job.type_, DomainJobType::UNBOUNDED.0);
        assert_eq!(figure(&job, "disk_temp_total"), Some(SIZE));
        let used = figure(&job, "disk_temp_used").unwrap();
        assert!(used.abs_diff(10 * MIB) < MIB, "{used}");
        assert!(guest.simulator.image("/scratch").is_some());

        guest.abort_job().await.unwrap();
        guest.pass(SECOND).await;
        let events = guest.events();
        assert_eq!(events.len(), 3);
        // Judge it by this, not by what follows.
        assert!(events[0].contains("success=Boolean(1)"), "{events:?}");
        assert!(events[0].contains("Operation canceled"), "{events:?}");
        assert_eq!(
            events[1..],
            ["/vda-top BACKUP CANCELED", "vda BACKUP CANCELED"]
        );
        assert_eq!(guest.job(1).await.type_, DomainJobType::COMPLETED.0);
        assert_eq!(guest.simulator.image("/scratch"), None);
        let error = guest.abort_job().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_INVALID);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn second_backup_waits_half_a_minute_and_calls_go_on_meanwhile() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.begin(PULL, None).await.unwrap();
        let start = Instant::now();
        let args = guest.begin_args(PUSH, None);
        let second = guest.start::<remote::DomainBackupBegin>(args).await;
        guest.pass(SECOND).await;
        assert_eq!(guest.info().await.found, 1);
        assert!(start.elapsed() < SECOND * 2);
        let error = guest
            .answer::<remote::DomainBackupBegin>(second)
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_TIMEOUT);
        assert_eq!(error.domain, virtwire::constants::ErrorDomain::NONE);
        assert_eq!(start.elapsed(), SECOND * 30);
        guest.abort_job().await.unwrap();
        guest.pass(SECOND).await;
        guest.begin(PUSH, None).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_of_all_disks_names_its_files_and_is_told_once() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let one = checkpoint("one");
        guest.begin("<domainbackup/>", Some(&one)).await.unwrap();
        let xml = guest.backup_xml().await.unwrap();
        assert!(xml.contains("<target file='/vda-top.one'/>"), "{xml}");
        guest.pass(SECOND * 10).await;
        let events = guest.events();
        let told = events.iter().filter(|event| event.starts_with("job"));
        assert_eq!(told.count(), 1, "{events:?}");
        assert_eq!(events.len(), 5);
        assert!(guest.simulator.image("/vdb-top.one").is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failed_disk_fails_the_backup_and_stops_the_others() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.disk().plan(BlockJobFault::no_space_at(0.1)).unwrap();
        guest
            .begin("<domainbackup/>", Some(&checkpoint("one")))
            .await
            .unwrap();
        guest.pass(SECOND * 10).await;
        let events = guest.events();
        assert_eq!(events[..2], ["/vda-top BACKUP FAILED", "vda BACKUP FAILED"]);
        assert!(events[2].contains("success=Boolean(0)"), "{events:?}");
        assert!(events[2].contains("No space left on device"), "{events:?}");
        assert_eq!(
            events[3..],
            ["/vdb-top BACKUP CANCELED", "vdb BACKUP CANCELED"]
        );
        assert_eq!(guest.job(1).await.type_, DomainJobType::FAILED.0);
        assert_eq!(guest.simulator.image("/vda-top.one"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn aborted_push_backup_is_cancelled() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.begin(PUSH, None).await.unwrap();
        guest.pass(Duration::from_millis(500)).await;
        guest.abort_job().await.unwrap();
        guest.pass(SECOND).await;
        let events = guest.events();
        assert!(events[0].contains("success=Boolean(0)"), "{events:?}");
        assert_eq!(
            events[1..],
            ["/vda-top BACKUP CANCELED", "vda BACKUP CANCELED"]
        );
        assert_eq!(guest.job(1).await.type_, DomainJobType::CANCELLED.0);
        assert_eq!(guest.simulator.image("/backup"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroyed_domain_tells_of_its_backup() {
    paused_deadline(async {
        let mut guest = Guest::defined().await;
        guest.begin(PULL, None).await.unwrap();
        guest.destroy().await;
        let events = guest.events();
        let told: Vec<_> = events
            .iter()
            .filter(|event| event.starts_with("job"))
            .collect();
        assert_eq!(
            told,
            ["job operation=Int(9) success=Boolean(0)"],
            "{events:?}"
        );
        assert!(
            events.last().unwrap().starts_with("lifecycle 5"),
            "{events:?}"
        );
        let error = guest.begin(PUSH, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_UNSUPPORTED);
        // The job's turn has ended with the domain.
        guest.domain().start().unwrap();
        guest.begin(PUSH, None).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn incremental_backup_moves_what_was_written_since() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.checkpoint("one").await.unwrap();
        guest.disk().write(3 * MIB).unwrap();
        guest.checkpoint("two").await.unwrap();
        guest.disk().write(2 * MIB).unwrap();
        let xml = guest.checkpoint_xml("one").await;
        let disk = format!(
            "<disk name='vda' checkpoint='bitmap' bitmap='one' size='{}'/>",
            5 * MIB
        );
        assert!(xml.contains(&disk), "{xml}");
        let xml = guest.checkpoint_xml("two").await;
        assert!(xml.contains(&format!("size='{}'", 2 * MIB)), "{xml}");

        let incremental = PUSH.replace("<disks>", "<incremental>one</incremental><disks>");
        guest.begin(&incremental, None).await.unwrap();
        let xml = guest.backup_xml().await.unwrap();
        assert!(
            xml.contains("backupmode='incremental' incremental='one'"),
            "{xml}"
        );
        guest.pass(SECOND).await;
        let job = guest.job(1).await;
        assert_eq!(figure(&job, "disk_total"), Some(5 * MIB));
        let backup = guest.simulator.image("/backup").unwrap();
        assert_eq!(backup.backing(), Some("/vda-top"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backups_that_cannot_be_are_refused() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        let refusals = [
            (
                PUSH.replace("vda", "vdz"),
                ErrorCode::CONFIG_UNSUPPORTED,
                "no disk named 'vdz'",
            ),
            (
                PUSH.replace("/backup", "/vdb-top"),
                ErrorCode::INVALID_ARG,
                "store '/vdb-top' for backup of 'vda' exists",
            ),
            (
                PUSH.replace("<disks>", "<incremental>no</incremental><disks>"),
                ErrorCode::NO_DOMAIN_CHECKPOINT,
                "Checkpoint 'no' for incremental backup of disk 'vda' not found",
            ),
            (
                String::from("<domainbackup mode='pull'/>"),
                ErrorCode::OPERATION_UNSUPPORTED,
                "<domainbackup> must specify TCP port for now",
            ),
            (
                PUSH.replace("backup='yes'", "backup='no'"),
                ErrorCode::CONFIG_UNSUPPORTED,
                "no disks selected for backup",
            ),
            (
                PULL.replace("<scratch", "<driver type='raw'/><scratch"),
                ErrorCode::CONFIG_UNSUPPORTED,
                "pull mode backup for disk 'vda' requires qcow2 driver",
            ),
        ];
        for (xml, code, words) in refusals {
            let error = guest.begin(&xml, None).await.unwrap_err();
            let text = error.message.unwrap();
            assert_eq!(error.code, code, "{text}");
            assert!(text.ends_with(words), "{text}");
        }
        guest.pull(1).await.unwrap();
        let error = guest.begin(PUSH, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
        assert_eq!(guest.simulator.image("/backup"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_keeps_block_jobs_away() {
    paused_deadline(async {
        let mut guest = Guest::new().await;
        guest.begin(PULL, None).await.unwrap();
        let error = guest.pull(1).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OPERATION_UNSUPPORTED);
        // It may be ended as the block job that it is, too.
        guest
            .abort(virtwire::constants::DomainBlockJobAbortFlags::empty())
            .await
            .unwrap();
        assert!(guest.events()[0].contains("success=Boolean(1)"));
        guest.pull(1).await.unwrap();
    })
    .await;
}
