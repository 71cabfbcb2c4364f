//! What a daemon that was killed at the wrong moment gets wrong about a mirror afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtwire::constants::{ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainXmlFlags};
use virtwire::event::DomainEventKind;
use virtwire::remote::{
    DomainGetBlockJobInfo, DomainGetBlockJobInfoRet, DomainGetXmlDesc, DomainGetXmlDescRet,
};
use virtwire::{
    BackupOutcome, BackupServer, BlockJob, Connection, ConnectionState, Disk, MirrorReady, Outcome,
    PullBackup, Readiness, Reconnect, VanishedReason, Verdict,
};
use virtwire_lab::guest::{self, DomainType};
use virtwire_sim::{Image, Simulator};
use virtwire_tests::deadline;

use crate::served::Served;

const NOTHING: DomainGetBlockJobInfoRet = DomainGetBlockJobInfoRet {
    found: 0,
    type_: 0,
    bandwidth: 0,
    cur: 0,
    end: 0,
};

/// A host with a guest `guest`, whose daemon from a moment on says something else in its XML.
struct Host {
    served: Served,
    lies: Arc<AtomicBool>,
}

impl Host {
    fn new(lie: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        let simulator: Arc<Mutex<Option<Simulator>>> = Arc::default();
        let lies = Arc::new(AtomicBool::new(false));
        let (host, lying) = (Arc::clone(&simulator), Arc::clone(&lies));
        let xml = move || {
            let simulator = host.lock().unwrap().clone().unwrap();
            let xml = simulator.domain("guest").unwrap().xml().unwrap();
            if lying.load(Ordering::Relaxed) {
                lie(xml)
            } else {
                xml
            }
        };
        let disks = [guest::Disk::new("vda", "/images/top")];
        let started = Simulator::builder()
            .image("/images/base", Image::qcow2(1 << 20).with_data(1 << 20))
            .image("/images/top", Image::qcow2(1 << 20).on("/images/base"))
            .domain(&guest::xml("guest", DomainType::Qemu, &disks))
            .unwrap()
            .block_job_latency(Duration::from_secs(3))
            .on::<DomainGetXmlDesc>(move |_, _| {
                let xml = xml().into();
                Ok(DomainGetXmlDescRet { xml })
            })
            .start();
        *simulator.lock().unwrap() = Some(started.clone());
        Self {
            served: Served::new(started),
            lies,
        }
    }

    fn lie(&self) {
        self.lies.store(true, Ordering::Relaxed);
    }

    /// The disk, over a connection that is opened again when it is lost.
    async fn disk(&self) -> (Connection, Disk) {
        let policy = Reconnect::default().first_delay(Duration::from_millis(10));
        let builder = Connection::builder().uri(self.served.uri("qemu"));
        let connection = builder.reconnect(policy).connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        (connection, domain.disk("vda"))
    }
}

/// The XML without what is said of a mirror.
fn stripped(mut xml: String) -> String {
    if let (Some(start), Some(end)) = (xml.find("<mirror"), xml.find("</mirror>")) {
        xml.replace_range(start..end + "</mirror>".len(), "");
    }
    xml
}

#[tokio::test]
async fn mirror_that_the_daemon_has_forgotten_is_not_waited_for() {
    deadline(async {
        let host = Host::new(stripped);
        let (_connection, disk) = host.disk().await;
        let job = disk.commit_active().start().await.unwrap();
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        drop(job);

        host.lie();
        let found = BlockJob::attach(&disk).await.unwrap().unwrap();
        let _progress = found.progress_every(Duration::from_millis(50));
        let Readiness::Over(Outcome::Vanished(evidence)) = found.wait_ready().await else {
            panic!("it never can be known to be ready");
        };
        assert_eq!(evidence.reason, VanishedReason::HalfStarted);
        assert_eq!(evidence.resolve(), Verdict::Running);
    })
    .await;
}

/// QEMU says of a ready mirror that it has completed whether it was pivoted or cancelled, and a
/// daemon that was killed in between does not know which was asked for: it says what QEMU says, and
/// writes it into the XML.
#[tokio::test]
async fn cancellation_that_is_told_of_as_a_pivot_is_not_believed() {
    deadline(async {
        let host = Host::new(|xml| stripped(xml).replace("/images/top", "/images/base"));
        let (connection, disk) = host.disk().await;
        let job = disk.commit_active().start().await.unwrap();
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        let cancel = tokio::spawn({
            let job = job.clone();
            async move { job.cancel().await }
        });
        let is_taken = async || {
            let disks = disk.domain().disks(DomainXmlFlags::empty()).await.unwrap();
            let mirror = disks[0].mirror.as_ref();
            mirror.is_some_and(|mirror| mirror.ready == MirrorReady::Abort)
        };
        while !is_taken().await {}
        let mut state = connection.state();
        host.served.simulator.restart();
        host.lie();
        let lost = |state: &ConnectionState| matches!(state, ConnectionState::Lost(_));
        state.wait_for(lost).await.unwrap();
        // Answered when the events are registered again.
        disk.job_info().await.unwrap();
        let told = DomainEventKind::BlockJob2 {
            dst: "vda".to_owned(),
            kind: DomainBlockJobType::ACTIVE_COMMIT,
            status: ConnectDomainEventBlockJobStatus::COMPLETED,
        };
        let guest = host.served.simulator.domain("guest").unwrap();
        guest.emit(&told).unwrap();
        let Outcome::Vanished(evidence) = cancel.await.unwrap().unwrap() else {
            panic!("a cancellation is no pivot");
        };
        assert_eq!(evidence.reason, VanishedReason::Contradicted);
        assert!(evidence.cancel_asked && !evidence.pivot_asked);
        assert_eq!(evidence.resolve(), Verdict::Unknown);
    })
    .await;
}

#[tokio::test]
async fn backup_without_a_disk_at_work_is_not_waited_for() {
    deadline(async {
        let disks = [guest::Disk::new("vda", "/images/top")];
        let started = Simulator::builder()
            .image("/images/top", Image::qcow2(1 << 20).with_data(1 << 20))
            .domain(&guest::xml("guest", DomainType::Qemu, &disks))
            .unwrap()
            .on::<DomainGetBlockJobInfo>(|_, _| Ok(NOTHING))
            .start();
        let served = Served::new(started);
        let connection = Connection::open(&served.uri("qemu")).await.unwrap();
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        let server = BackupServer::unix("/run/backup.sock");
        let begun = domain
            .backup(PullBackup::new(server))
            .start()
            .await
            .unwrap();

        let found = domain.backup_job().await.unwrap().unwrap();
        let _progress = found.progress_every(Duration::from_millis(50));
        let BackupOutcome::Vanished(evidence) = found.wait().await else {
            panic!("nobody says that it is over");
        };
        assert_eq!(evidence.reason, VanishedReason::HalfStarted);
        // Who began it was told that it began, and goes on.
        assert!(begun.outcome().is_none());
        assert_eq!(begun.finish().await.unwrap(), BackupOutcome::Completed);
    })
    .await;
}
