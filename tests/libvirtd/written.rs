//! Guests that write while their disks are worked on: nothing that was acknowledged is lost.

use std::path::PathBuf;
use std::time::Duration;

use virtwire::constants::{DomainDestroyFlags, DomainXmlFlags};
use virtwire::{Bandwidth, CopyDestination, ErrorKind, NextStart, Outcome, Readiness, Source};
use virtwire_lab::monitor::Write;
use virtwire_lab::{Chain, Driver, Monitor, image};
use virtwire_tests::deadline;
use virtwire_tests::stage::layered::{LAYERS, LayeredDisk, LayeredGuest, Life, copy_inside};
use virtwire_tests::stage::real::Stage;
use virtwire_tests::writer::{Content, Fate, Writer};

const SIZE: u64 = 2 << 20;
const CLUSTER: u64 = 64 << 10;

fn chain(stage: &Stage) -> Chain {
    let dir = stage.images_dir().join("template");
    Chain::create(&dir, &LAYERS, SIZE, 7).unwrap()
}

async fn guest(stage: &Stage, life: Life, template: &Chain, disks: u8) -> LayeredGuest {
    let disk = |number| {
        let dir = stage.images_dir().join(format!("disk{number}"));
        LayeredDisk::number(number, template.copy_to(&dir).unwrap())
    };
    let disks = (0..disks).map(disk).collect();
    let started = LayeredGuest::start(&stage.daemon, &stage.connection, "guest", life, disks);
    started.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_during_a_pull_is_in_the_image() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let template = chain(&stage);
        let before = Content::new(image::content(&template.active()).unwrap());
        let guest = guest(&stage, Life::Persistent, &template, 2).await;
        let targets = guest.disks.iter().map(|disk| disk.target.clone()).collect();
        let pause = Duration::from_millis(1);
        let writer = Writer::start(&guest.monitor, targets, SIZE, 3, pause);
        for number in 0..2 {
            let slow = Bandwidth::mib_per_s(4).unwrap();
            let job = guest.disk(number).pull().bandwidth(slow).start();
            let job = job.await.unwrap();
            assert_eq!(job.wait().await, Outcome::Completed);
        }
        let log = writer.stop();
        let none = DomainDestroyFlags::empty();
        guest.domain.destroy(none).await.unwrap();
        assert!(log.len() >= 4, "{} writes", log.len());
        assert!(log.iter().all(|entry| entry.fate == Fate::Acknowledged));
        let inactive = guest.domain.disks(DomainXmlFlags::INACTIVE).await.unwrap();
        for (number, disk) in guest.disks.iter().enumerate() {
            let named = inactive[number].source.as_ref().unwrap().path().unwrap();
            assert_eq!(named, disk.chain.active().to_str().unwrap());
            let mut expected = before.clone();
            expected.apply(&log, number);
            let found = image::content(&disk.chain.active()).unwrap();
            assert_eq!(expected.difference(&found), None);
            assert_ne!(before.difference(&found), None);
        }
    })
    .await;
}

/// Writes before, during and after a pivot, each acknowledged, are all in the image that the guest
/// uses then, whether it is the base of a commit or the destination of a copy.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_around_a_pivot_is_in_the_new_image() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let template = chain(&stage);
        let mut before = Content::new(image::content(&template.active()).unwrap());
        let guest = guest(&stage, Life::Persistent, &template, 2).await;
        let targets: Vec<_> = guest.disks.iter().map(|disk| disk.target.clone()).collect();
        let pause = Duration::from_millis(1);
        let writer = Writer::start(&guest.monitor, targets, SIZE, 5, pause);

        let commit = guest.disk(0).commit_active().start().await.unwrap();
        let copied = guest.disks[1].chain.image("copy");
        let to = CopyDestination::file(copied.to_str().unwrap()).format("qcow2");
        let copy = guest.disk(1).copy(to).transient_job().synchronous_writes();
        let copy = copy.start().await.unwrap();
        for job in [&commit, &copy] {
            let pivoted = Outcome::Pivoted(NextStart::NewImage);
            assert_eq!(job.pivot().await.unwrap(), pivoted);
        }
        // Some are written afterwards.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let log = writer.stop();
        let none = DomainDestroyFlags::empty();
        guest.domain.destroy(none).await.unwrap();
        assert!(log.iter().all(|entry| entry.fate == Fate::Acknowledged));

        let inactive = guest.domain.disks(DomainXmlFlags::INACTIVE).await.unwrap();
        let named = |number: usize| {
            let source: &Source = inactive[number].source.as_ref().unwrap();
            PathBuf::from(source.path().unwrap())
        };
        assert_eq!(named(0), guest.disks[0].chain.image("base"));
        assert_eq!(named(1), copied);
        for number in 0..2 {
            let mut expected = before.clone();
            expected.apply(&log, number);
            let found = image::content(&named(number)).unwrap();
            assert_eq!(expected.difference(&found), None);
            assert_ne!(before.difference(&found), None);
        }
        // What the copy has left behind is older.
        before.apply(&log, 1);
        let left = image::content(&guest.disks[1].chain.active()).unwrap();
        assert_ne!(before.difference(&left), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_into_a_full_file_system_has_failed() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let template = chain(&stage);
        // The images fit, and what is pulled does not.
        let dir = stage.daemon.mount("small").unwrap();
        let chain = copy_inside(&stage.daemon, &template, &dir).unwrap();
        stage.daemon.leave_room(&dir, 256 << 10).unwrap();
        let disks = vec![LayeredDisk::number(0, chain)];
        let (daemon, connection) = (&stage.daemon, &stage.connection);
        let started = LayeredGuest::start(daemon, connection, "guest", Life::Transient, disks);
        let guest = started.await.unwrap();
        let job = guest.disk(0).pull().start().await.unwrap();
        let outcome = job.wait().await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    })
    .await;
}

/// Beside a write there is what was there before, in a copy of any kind, also where the guest's own
/// image had nothing. The one kind of copy of which QEMU makes something else is refused.
#[tokio::test(flavor = "multi_thread")]
async fn writes_into_a_part_of_each_cluster_leave_the_rest_in_every_copy() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let template = chain(&stage);
        let guest = guest(&stage, Life::Transient, &template, 8).await;
        let mut monitor = Monitor::connect(&guest.monitor).unwrap();
        for (number, disk) in guest.disks.iter().enumerate() {
            let [shallow, existing, synchronous] = kind_of_copy(number);
            let path = disk.chain.image("copy");
            match (existing, shallow) {
                (true, true) => image::create_overlay(&path, &disk.chain.image("mid")).unwrap(),
                (true, false) => image::create_empty(&path, SIZE).unwrap(),
                (false, _) => {}
            }
            let to = CopyDestination::file(path.to_str().unwrap()).format("qcow2");
            let mut copy = guest.disk(number).copy(to);
            if shallow {
                copy = copy.shallow();
            }
            if existing {
                copy = copy.reuse_external();
            }
            if synchronous {
                copy = copy.synchronous_writes();
            }
            let started = copy.start().await;
            if shallow && existing && synchronous {
                let refused = started.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
                assert_eq!(refused.procedure(), None);
                continue;
            }
            let job = started.unwrap();
            assert_eq!(job.wait_ready().await, Readiness::Ready);
            for cluster in 0..SIZE / CLUSTER {
                let write = Write::new(cluster * CLUSTER + 8192, 4096, 200);
                assert!(monitor.write(&disk.target, write).unwrap());
            }
            assert!(job.pivot().await.unwrap().is_pivoted());
        }
        let none = DomainDestroyFlags::empty();
        guest.domain.destroy(none).await.unwrap();
        for (number, disk) in guest.disks.iter().enumerate() {
            let path = disk.chain.image("copy");
            if kind_of_copy(number) == [true; 3] {
                continue;
            }
            let same = image::compare(&disk.chain.active(), &path).unwrap();
            assert!(same, "{:?}", kind_of_copy(number));
        }
    })
    .await;
}

/// Whether it is shallow, goes into an existing image, and has synchronous writes.
fn kind_of_copy(number: usize) -> [bool; 3] {
    [1, 2, 4].map(|bit| number & bit != 0)
}

/// What is complete may be in QEMU's memory alone, until it writes it down when the guest is
/// suspended: a QEMU that dies then takes nothing of it along.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_complete_is_safe_once_the_guest_was_suspended() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let template = chain(&stage);
        let before = image::content(&template.active()).unwrap();
        let guest = guest(&stage, Life::Persistent, &template, 3).await;
        let path = |layer| {
            let image = guest.disks[2].chain.image(layer);
            image.to_str().unwrap().to_owned()
        };
        // One after the other: QEMU 10.0.2 does not bear more at a time.
        let pull = guest.disk(0).pull().start().await.unwrap();
        assert_eq!(pull.wait().await, Outcome::Completed);
        let commit = guest.disk(2).commit_inner(path("mid"), path("base"));
        let commit = commit.start().await.unwrap();
        assert_eq!(commit.wait().await, Outcome::Completed);
        let commit = guest.disk(1).commit_active().start().await.unwrap();
        assert!(commit.pivot().await.unwrap().is_pivoted());
        guest.domain.suspend().await.unwrap();
        guest.domain.resume().await.unwrap();
        stage.daemon.kill_guest(guest.domain.name()).unwrap();
        while !stage.daemon.qemu_pids().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for (number, layer) in [(0, "top"), (1, "base"), (2, "top")] {
            let found = image::content(&guest.disks[number].chain.image(layer)).unwrap();
            assert!(found == before, "disk {number}");
        }
    })
    .await;
}
