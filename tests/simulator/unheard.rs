//! Requests to end a job that were lost together with the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use virtwire::constants::{ConnectDomainEventBlockJobStatus, DomainBlockJobType};
use virtwire::event::DomainEventKind;
use virtwire::remote::DomainBlockJobAbort;
use virtwire::{Bandwidth, BlockJob, Connection, Disk, Outcome, Reconnect, VanishedReason};
use virtwire_lab::guest::{self, DomainType};
use virtwire_sim::{Image, Simulator};
use virtwire_tests::deadline;

use crate::served::Served;

/// A host that never answers the first request to end a job, and takes all others.
struct Host {
    served: Served,
    requests: Arc<AtomicUsize>,
}

impl Host {
    fn new() -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let disks = [guest::Disk::new("vda", "/images/top")];
        let started = Simulator::builder()
            .image("/images/base", Image::qcow2(64 << 20).with_data(64 << 20))
            .image("/images/top", Image::qcow2(64 << 20).on("/images/base"))
            .domain(&guest::xml("guest", DomainType::Qemu, &disks))
            .unwrap()
            .on_async::<DomainBlockJobAbort, _>(move |_, _| {
                let number = count.fetch_add(1, Ordering::Relaxed);
                async move {
                    if number == 0 {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            })
            .start();
        Self {
            served: Served::new(started),
            requests,
        }
    }

    /// The disk, over a connection that is opened again after a delay when it is lost.
    async fn disk(&self, delay: Duration) -> Disk {
        let policy = Reconnect::default().first_delay(delay);
        let builder = Connection::builder().uri(self.served.uri("qemu"));
        let connection = builder.reconnect(policy).connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        domain.disk("vda")
    }

    async fn asked(&self, times: usize) {
        while self.requests.load(Ordering::Relaxed) < times {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn slow_pull(disk: &Disk) -> BlockJob {
    let slow = Bandwidth::mib_per_s(1).unwrap();
    disk.pull().bandwidth(slow).start().await.unwrap()
}

#[tokio::test]
async fn cancellation_that_was_lost_is_asked_for_once_more() {
    deadline(async {
        let host = Host::new();
        let job = slow_pull(&host.disk(Duration::from_millis(10)).await).await;
        let cancel = tokio::spawn({
            let job = job.clone();
            async move { job.cancel().await }
        });
        host.asked(1).await;
        host.served.simulator.restart();
        host.asked(2).await;
        let told = DomainEventKind::BlockJob2 {
            dst: "vda".to_owned(),
            kind: DomainBlockJobType::PULL,
            status: ConnectDomainEventBlockJobStatus::CANCELED,
        };
        let guest = host.served.simulator.domain("guest").unwrap();
        guest.emit(&told).unwrap();
        assert_eq!(cancel.await.unwrap().unwrap(), Outcome::Cancelled);
        assert_eq!(host.requests.load(Ordering::Relaxed), 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_asked_once_more_of_a_job_that_is_gone() {
    deadline(async {
        let host = Host::new();
        let job = slow_pull(&host.disk(Duration::from_secs(1)).await).await;
        let cancel = tokio::spawn({
            let job = job.clone();
            async move { job.cancel().await }
        });
        host.asked(1).await;
        host.served.simulator.restart();
        // Over before the client is there again.
        let other = host.disk(Duration::ZERO).await;
        other.set_job_speed(Bandwidth::UNLIMITED).await.unwrap();
        while other.job_info().await.unwrap().is_some() {}
        let Outcome::Vanished(evidence) = cancel.await.unwrap().unwrap() else {
            panic!("nobody heard how it ended");
        };
        assert_eq!(evidence.reason, VanishedReason::NoEvent);
        assert_eq!(host.requests.load(Ordering::Relaxed), 1);
    })
    .await;
}
