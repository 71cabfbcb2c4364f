//! What becomes of a guest's disks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use virtwire::constants::DomainCreateFlags;
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::machine::{self, Code};
use super::{Pair, assert_has};
use crate::Stage;

#[tokio::test]
async fn disk_is_full() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let full = full_directory(&pair.stage);
        let image = full.image("guest");
        let driver = "error_policy='stop' cache='writethrough'";
        let xml = machine::xml("guest", "", &machine::disk(&image, driver));
        let created = pair
            .stage
            .connection
            .create_domain(&xml, DomainCreateFlags::empty());
        created.await.unwrap();
        let suspended = json!({ "event": 3, "detail": 2 });
        let events = pair.until("domain lifecycle", suspended).await;
        let mut what = json!({ "source": image, "device": "virtio-disk0", "action": 1 });
        assert_has(&events, "domain io-error", &what);
        what["reason"] = json!("enospc");
        assert_has(&events, "domain io-error-reason", &what);
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn chain_is_pulled_committed_and_saved() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let guest = pair.stage.guest("guest", 4).await;
        let images = pair.stage.images_dir();
        let (snapshot, copy) = (images.join("snapshot"), images.join("copy"));
        let backup = images.join("backup.xml");
        let xml = format!(
            "<domainbackup><disks><disk name='vda' type='file'><target file='{}'/>\
             <driver type='qcow2'/></disk></disks></domainbackup>",
            copy.display()
        );
        std::fs::write(&backup, xml).unwrap();

        let script = "domblkthreshold guest vda 500000; blockpull guest vda --wait";
        pair.stage.virsh(Driver::Qemu, &[script]).await;
        let done = json!({ "path": "vda", "type": 1, "status": 0 });
        let events = pair.until("domain block-job-2", done).await;
        let done = json!({ "path": guest.overlay, "type": 1, "status": 0 });
        assert_has(&events, "domain block-job", &done);
        // Once for the disk, and once for the image by its number in the chain.
        let thresholds = events
            .iter()
            .filter(|event| event["event"] == "block-threshold");
        let thresholds: Vec<_> = thresholds.map(|event| &event["fields"]).collect();
        assert_eq!(thresholds.len(), 2);
        assert_eq!(thresholds[0]["device"], "vda");
        assert_eq!(thresholds[1]["threshold"], 500_000);
        assert_eq!(thresholds[1]["path"], json!(guest.overlay));

        let script = format!(
            "snapshot-create-as guest --disk-only --no-metadata --diskspec vda,file={}; \
             blockcommit guest vda --active --wait --pivot; backup-begin guest {}",
            snapshot.display(),
            backup.display()
        );
        pair.stage.virsh(Driver::Qemu, &[&script]).await;
        let done = json!({ "path": "vda", "type": 5, "status": 0 });
        let events = pair.until("domain block-job-2", done).await;
        for (path, status) in [(&snapshot, 3), (&guest.overlay, 0)] {
            let committed = json!({ "path": path, "type": 4, "status": status });
            assert_has(&events, "domain block-job", &committed);
        }
        let completed = events
            .iter()
            .find(|event| event["event"] == "job-completed");
        let params = &completed.unwrap()["fields"]["params"];
        assert_eq!(params["operation"], 9);
        assert_eq!(params["disk_total"], 4 << 20);
        assert_eq!(params["success"], true);
        pair.finish().await;
    })
    .await;
}

/// A directory of the daemon's own mount namespace without room for anything more.
struct Full {
    /// As the daemon sees it.
    inside: PathBuf,
    /// As we see it.
    outside: PathBuf,
}

fn full_directory(stage: &Stage) -> Full {
    let inside = stage.images_dir().join("full");
    std::fs::create_dir(&inside).unwrap();
    let pid = stage.daemon.pid().unwrap();
    let mut mount = Command::new("nsenter");
    mount.args(["--mount", "--root", "--target", &pid.to_string()]);
    mount.args(["mount", "-t", "tmpfs", "-o", "size=64k", "none"]);
    assert!(mount.arg(&inside).status().unwrap().success());
    let outside = Path::new("/proc").join(pid.to_string()).join("root");
    let outside = outside.join(inside.strip_prefix("/").unwrap());
    Full { inside, outside }
}

impl Full {
    /// A guest's disk, of which no more than the first sector is there; the guest writes another.
    fn image(&self, name: &str) -> PathBuf {
        Code::new().write_sector().write(&self.outside.join(name));
        let filled = std::fs::write(self.outside.join("filling"), [1; 64 << 10]);
        assert_eq!(filled.unwrap_err().kind(), ErrorKind::StorageFull);
        self.inside.join(name)
    }
}
