//! A copy to a block device of the host.

use std::path::Path;
use std::process::Command;

use virtwire::{CopyDestination, NextStart, Outcome, Source};
use virtwire_lab::{Driver, image};
use virtwire_tests::deadline;

use crate::Stage;
use crate::hypervisor::images::vda;

/// A file as a block device, detached when it is dropped.
struct Device(String);

impl Device {
    /// `None` where the machine has no such devices to give away.
    fn attach(file: &Path) -> Option<Self> {
        let mut losetup = Command::new("losetup");
        let output = losetup.args(["--find", "--show"]).arg(file).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(Self(
            String::from_utf8(output.stdout).ok()?.trim().to_owned(),
        ))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
    }
}

#[tokio::test]
async fn guest_is_pivoted_to_a_block_device() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("device", 4).await;
        let file = stage.images_dir().join("device.raw");
        std::fs::File::create(&file)
            .unwrap()
            .set_len(4 << 20)
            .unwrap();
        let Some(device) = Device::attach(&file) else {
            eprintln!("NOT RUN: a copy to a block device; this machine has no loop device to give");
            return;
        };
        stage.daemon.hand_over(Path::new(&device.0)).unwrap();
        let to = CopyDestination::block(&device.0).format("raw");
        let copy = guest.disk().copy(to);
        let plan = copy.plan().await.unwrap();
        assert!(plan.is_clear(), "{:?}", plan.obstacles);
        let job = copy.reuse_external().start().await.unwrap();
        let outcome = job.pivot().await.unwrap();
        assert_eq!(outcome, Outcome::Pivoted(NextStart::NoDefinition));
        let path = device.0.clone();
        let source = vda(&guest.domain).await.source;
        assert_eq!(source, Some(Source::Block { path }));
        let flags = virtwire::constants::DomainDestroyFlags::empty();
        guest.domain.destroy(flags).await.unwrap();
        assert!(image::compare(Path::new(&device.0), &guest.base).unwrap());
    })
    .await;
}
