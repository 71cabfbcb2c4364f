//! A guest's filesystems are frozen around the short step of a set of jobs, and only then.

use std::sync::{Arc, Mutex};

use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::remote::{DomainFsfreeze, DomainFsfreezeRet, DomainFsthaw, DomainFsthawRet};
use virtwire::{Connection, JobSet, Outcome, RemoteError};
use virtwire_lab::guest::{self, DomainType};
use virtwire_sim::{Image, Simulator};
use virtwire_tests::deadline;

use crate::served::Served;

const DISKS: [&str; 2] = ["vda", "vdb"];

/// What was asked of the agent, and the disks that had been pivoted by then.
type Log = Arc<Mutex<Vec<(&'static str, Vec<&'static str>)>>>;

/// A host with a guest of two disks, whose agent answers as it is told to.
struct Host {
    served: Served,
    log: Log,
}

impl Host {
    fn new(freezes: bool, thaws: bool) -> Self {
        let log = Log::default();
        let simulator: Arc<Mutex<Option<Simulator>>> = Arc::default();
        let note = |what: &'static str| {
            let (log, simulator) = (Arc::clone(&log), Arc::clone(&simulator));
            move || {
                let simulator = simulator.lock().unwrap().clone().unwrap();
                let guest = simulator.domain("guest").unwrap();
                let is_pivoted = |disk: &&str| {
                    let (path, _) = guest.disk(*disk).image().unwrap();
                    path.ends_with("-copy")
                };
                let pivoted = DISKS.into_iter().filter(is_pivoted).collect();
                log.lock().unwrap().push((what, pivoted));
            }
        };
        let answer = |does: bool| {
            let refusal =
                RemoteError::new(ErrorCode::AGENT_UNRESPONSIVE, ErrorDomain::QEMU, "no agent");
            if does { Ok(1) } else { Err(refusal) }
        };
        let (frozen, thawed) = (note("freeze"), note("thaw"));
        let mut builder = Simulator::builder()
            .on::<DomainFsfreeze>(move |_, _| {
                frozen();
                answer(freezes).map(|filesystems| DomainFsfreezeRet { filesystems })
            })
            .on::<DomainFsthaw>(move |_, _| {
                thawed();
                answer(thaws).map(|filesystems| DomainFsthawRet { filesystems })
            });
        let mut disks = Vec::new();
        for disk in DISKS {
            let path = format!("/images/{disk}");
            builder = builder.image(&path, Image::qcow2(4 << 20).with_data(1 << 20));
            disks.push(guest::Disk::new(disk, path));
        }
        let xml = guest::xml("guest", DomainType::Qemu, &disks);
        let started = builder.domain(&xml).unwrap().start();
        *simulator.lock().unwrap() = Some(started.clone());
        Self {
            served: Served::new(started),
            log,
        }
    }

    /// Copies of both disks, which freeze the guest when they are pivoted.
    async fn copies(&self) -> JobSet {
        let connection = Connection::open(&self.served.uri("qemu")).await.unwrap();
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        let copies = DISKS.map(|disk| {
            let copy = domain.disk(disk).copy(format!("/images/{disk}-copy"));
            copy.transient_job()
        });
        let set = JobSet::start(copies).await.unwrap().freeze_filesystems();
        set.wait_ready().await.unwrap();
        assert!(self.log().is_empty(), "not while the data is copied");
        set
    }

    fn log(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        self.log.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn filesystems_are_frozen_while_the_disks_are_pivoted() {
    deadline(async {
        let host = Host::new(true, true);
        let end = host.copies().await.pivot().await.unwrap();
        assert!(end.is_success() && end.thaw_error().is_none());
        assert_eq!(host.log(), [("freeze", vec![]), ("thaw", DISKS.to_vec())]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_pivoted_when_the_agent_does_not_freeze() {
    deadline(async {
        let host = Host::new(false, true);
        let set = host.copies().await;
        let error = set.pivot().await.unwrap_err();
        assert!(error.has_code(ErrorCode::AGENT_UNRESPONSIVE));
        // It may have frozen them without saying so.
        assert_eq!(host.log(), [("freeze", vec![]), ("thaw", vec![])]);
        assert!(set.jobs().iter().all(virtwire::BlockJob::is_ready));
        let end = set.cancel().await;
        assert!(
            end.disks()
                .iter()
                .all(|disk| matches!(disk.end, Ok(Outcome::Cancelled)))
        );
    })
    .await;
}

#[tokio::test]
async fn agent_that_does_not_thaw_is_told_of() {
    deadline(async {
        let host = Host::new(true, false);
        let end = host.copies().await.pivot().await.unwrap();
        assert!(end.is_success());
        let error = end.thaw_error().unwrap();
        assert!(error.has_code(ErrorCode::AGENT_UNRESPONSIVE));
    })
    .await;
}

#[tokio::test]
async fn filesystems_are_thawed_though_nobody_waits_and_a_pivot_fails() {
    deadline(async {
        let host = Host::new(true, true);
        let set = host.copies().await;
        let refusal = RemoteError::new(ErrorCode::OPERATION_FAILED, ErrorDomain::QEMU, "no");
        type Abort = virtwire::remote::DomainBlockJobAbort;
        host.served.simulator.fail_next::<Abort>(refusal);
        let given_up = virtwire_tests::poll::polled(1, set.pivot()).await;
        assert!(given_up.is_none());
        let end = set.wait().await;
        assert!(
            end.disks()
                .iter()
                .all(|disk| matches!(disk.end, Ok(Outcome::Cancelled)))
        );
        assert_eq!(end.pivoted().count(), 0);
        assert_eq!(host.log(), [("freeze", vec![]), ("thaw", vec![])]);
    })
    .await;
}
