//! The same work on two guests of QEMU, by virsh on one and by the command on the other.

use std::fs;

use virtwire_lab::guest::{self, Disk};
use virtwire_lab::{Daemon, Driver, image};

use crate::twins::lines;
use crate::{Run, run_on, virsh};

/// What both disks of a guest hold.
const SIZE: u64 = 4 << 20;

/// A guest of a private daemon: each disk is an empty image on one with data.
struct Host {
    daemon: Daemon,
}

impl Host {
    fn start() -> Self {
        let host = Self {
            daemon: Daemon::start().unwrap(),
        };
        let images = host.daemon.images_dir();
        let disks = ["vda", "vdb"].map(|disk| {
            let (base, top) = (
                images.join(format!("{disk}-base")),
                images.join(format!("{disk}-top")),
            );
            image::create_base(&base, SIZE, 1).unwrap();
            image::create_overlay(&top, &base).unwrap();
            Disk::new(disk, &top)
        });
        let file = images.join("guest.xml");
        fs::write(&file, guest::xml("guest", guest::domain_type(), &disks)).unwrap();
        let backup = "<domainbackup><disks><disk name='vda' type='file'>\
                      <target file='IMAGES/backup'/><driver type='qcow2'/></disk>\
                      <disk name='vdb' backup='no'/></disks></domainbackup>";
        fs::write(images.join("backup.xml"), host.here(backup)).unwrap();
        host.run("define IMAGES/guest.xml").text();
        host.run("start guest").text();
        host
    }

    /// The line with this host's directory of images.
    fn here(&self, line: &str) -> String {
        line.replace("IMAGES", self.daemon.images_dir().to_str().unwrap())
    }

    /// What was said without the directory.
    fn anywhere(&self, text: &str) -> String {
        text.replace(self.daemon.images_dir().to_str().unwrap(), "IMAGES")
    }

    fn run(&self, line: &str) -> Run {
        let line = self.here(line);
        let words: Vec<_> = line.split_whitespace().collect();
        run_on(&self.daemon, Driver::Qemu, &words)
    }

    fn virsh(&self, line: &str) -> Run {
        let line = self.here(line);
        let words: Vec<_> = line.split_whitespace().collect();
        virsh(&self.daemon, Driver::Qemu, &words)
    }

    /// The images that the guest's disks stand on, from the top down.
    fn chains(&self) -> Vec<String> {
        let document = self.run("--json domblklist guest").json();
        let disks = document["disks"].as_array().unwrap();
        let chain = |path: &str| image::chain(path.as_ref()).unwrap();
        disks
            .iter()
            .flat_map(|disk| chain(disk["source"]["path"].as_str().unwrap()))
            .map(|image| self.anywhere(&format!("{} {}", image.path.display(), image.format)))
            .collect()
    }
}

const WORK: &str = "
    checkpoint-create-as guest one --diskspec vda --diskspec vdb,checkpoint=no
    checkpoint-list guest --name
    checkpoint-info guest one
    checkpoint-dumpxml guest two
    checkpoint-delete guest one
    checkpoint-list guest --tree
    blockcopy guest vda IMAGES/copy --format qcow2 --transient-job --wait --verbose
    blockjob guest vda --pivot
    blockcopy guest vdb IMAGES/other --format qcow2 --transient-job --finish --shallow
    blockcopy guest vdb IMAGES/third --format qcow2
    snapshot-create-as guest first --disk-only --no-metadata --atomic --diskspec vda,file=IMAGES/vda-1 --diskspec vdb,file=IMAGES/vdb-1
    snapshot-create-as guest second --disk-only --no-metadata vda,file=IMAGES/vda-2 vdb,snapshot=no
    domblklist guest
    blockcommit guest vda --top IMAGES/vda-1 --shallow --wait
    blockcommit guest vda --active --shallow --pivot --verbose --delete
    blockcommit guest vdb --active --keep-overlay
    blockcommit guest vdb --active --wait --bandwidth 100
    blockjob guest vdb --raw
    blockjob guest vdb --abort
    blockcommit guest vdb
    blockpull guest vdb --base IMAGES/vdb-base --wait
    blockpull guest vdb --wait --verbose
    blockresize guest vda 8M
    domblkthreshold guest vda 1M
    domblkthreshold guest nosuch 1M
    backup-begin guest IMAGES/backup.xml
    blockjob guest nosuch
    domblklist guest --details";

#[test]
fn the_same_work_ends_the_same() {
    let (ours, theirs) = (Host::start(), Host::start());
    for line in WORK.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (run, expected) = (ours.run(line), theirs.virsh(line));
        // Either has a word of its own for wrong usage, and we have a status for it.
        assert_eq!(
            run.status == 0,
            expected.status == 0,
            "{line}: {run:?} {expected:?}"
        );
        if run.status == 0 {
            let (run, expected) = (
                ours.anywhere(&run.stdout),
                theirs.anywhere(&expected.stdout),
            );
            assert_eq!(lines(&run), lines(&expected), "{line}");
        }
        assert_eq!(ours.chains(), theirs.chains(), "{line}");
    }
    for disk in ["vdb-base", "vdb-1"] {
        let (ours, theirs) = (ours.daemon.images_dir(), theirs.daemon.images_dir());
        assert!(
            image::compare(&ours.join(disk), &theirs.join(disk)).unwrap(),
            "{disk}"
        );
    }
}
