//! A daemon that was killed while it started a mirror can know of the job and not of the mirror.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virtwire::remote::{DomainGetXmlDesc, DomainGetXmlDescRet};
use virtwire::{BlockJob, Connection, Outcome, Readiness, VanishedReason, Verdict};
use virtwire_lab::guest::{self, DomainType};
use virtwire_sim::{Image, Simulator};
use virtwire_tests::deadline;

use crate::served::Served;

/// The XML without what is said of a mirror.
fn stripped(mut xml: String) -> String {
    let start = xml.find("<mirror").unwrap();
    let end = xml.find("</mirror>").unwrap() + "</mirror>".len();
    xml.replace_range(start..end, "");
    xml
}

#[tokio::test]
async fn mirror_that_the_daemon_has_forgotten_is_not_waited_for() {
    deadline(async {
        let simulator: Arc<Mutex<Option<Simulator>>> = Arc::default();
        let forgets = Arc::new(AtomicBool::new(false));
        let (host, forgotten) = (Arc::clone(&simulator), Arc::clone(&forgets));
        let xml = move || {
            let simulator = host.lock().unwrap().clone().unwrap();
            let xml = simulator.domain("guest").unwrap().xml().unwrap();
            let forgotten = forgotten.load(Ordering::Relaxed);
            if forgotten { stripped(xml) } else { xml }
        };
        let disks = [guest::Disk::new("vda", "/images/top")];
        let started = Simulator::builder()
            .image("/images/base", Image::qcow2(1 << 20).with_data(1 << 20))
            .image("/images/top", Image::qcow2(1 << 20).on("/images/base"))
            .domain(&guest::xml("guest", DomainType::Qemu, &disks))
            .unwrap()
            .on::<DomainGetXmlDesc>(move |_, _| {
                let xml = xml().into();
                Ok(DomainGetXmlDescRet { xml })
            })
            .start();
        *simulator.lock().unwrap() = Some(started.clone());
        let served = Served::new(started);
        let connection = Connection::open(&served.uri("qemu")).await.unwrap();
        let domain = connection.lookup_domain_by_name("guest").await.unwrap();
        let disk = domain.disk("vda");
        let job = disk.commit_active().start().await.unwrap();
        assert_eq!(job.wait_ready().await, Readiness::Ready);
        drop(job);

        forgets.store(true, Ordering::Relaxed);
        let found = BlockJob::attach(&disk).await.unwrap().unwrap();
        let _progress = found.progress_every(Duration::from_millis(50));
        let Readiness::Over(Outcome::Vanished(evidence)) = found.wait_ready().await else {
            panic!("it never can be known to be ready");
        };
        assert_eq!(evidence.reason, VanishedReason::NoMirror);
        assert_eq!(evidence.resolve(), Verdict::Running);
    })
    .await;
}
