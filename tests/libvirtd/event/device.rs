//! What becomes of a guest's devices and settings.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::machine::{self, Code};
use super::{Pair, assert_has};

#[tokio::test]
async fn devices_come_and_go_and_settings_change() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let images = pair.stage.images_dir();
        let (disc, missing) = (images.join("disc.iso"), images.join("missing.iso"));
        std::fs::write(&disc, [0; 4096]).unwrap();
        let (main, tablet) = (images.join("main"), images.join("tablet.xml"));
        Code::new().write(&main);
        std::fs::write(&tablet, "<input type='tablet' bus='usb'/>").unwrap();
        let devices = format!(
            "{}<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>\
             <source file='{}' startupPolicy='optional'/><target dev='hdc' bus='ide'/>\
             <readonly/></disk><controller type='usb' model='piix3-uhci'/>\
             <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
            machine::disk(&main, ""),
            missing.display(),
        );
        let file = images.join("guest.xml");
        std::fs::write(&file, machine::xml("guest", "", &devices)).unwrap();
        let script = format!(
            "create {file} --paused; change-media guest hdc {disc} --insert; \
             change-media guest hdc --eject; attach-device guest {tablet}; \
             detach-device guest {tablet}; \
             blkdeviotune guest vda --total-bytes-sec 1000000 --total-iops-sec 77; \
             vcpupin guest 0 0; metadata guest http://x.y/z --key k --set '<a/>'; desc guest words; \
             destroy guest",
            file = file.display(),
            disc = disc.display(),
            tablet = tablet.display(),
        );
        pair.stage.virsh(Driver::Qemu, &[&script]).await;
        let events = pair.until("domain lifecycle", json!({ "event": 5 })).await;
        let changed = json!({ "old_source": missing, "new_source": null, "reason": 0 });
        assert_has(&events, "domain disk-change", &changed);
        for reason in [0, 1] {
            let moved = json!({ "device": "ide0-1-0", "reason": reason });
            assert_has(&events, "domain tray-change", &moved);
        }
        for kind in ["domain device-added", "domain device-removed"] {
            assert_has(&events, kind, &json!({ "device": "input2" }));
        }
        let agent = json!({ "state": 2, "reason": 1 });
        assert_has(&events, "domain agent-lifecycle", &agent);
        let tuned = json!({ "params": {
            "blkdeviotune.disk": "vda",
            "blkdeviotune.total_bytes_sec": 1_000_000,
            "blkdeviotune.total_iops_sec": 77,
        } });
        assert_has(&events, "domain tunable", &tuned);
        let pinned = json!({ "params": { "cputune.vcpupin0": "0" } });
        assert_has(&events, "domain tunable", &pinned);
        for (kind, ns_uri) in [(2, json!("http://x.y/z")), (0, Value::Null)] {
            let changed = json!({ "type": kind, "ns_uri": ns_uri });
            assert_has(&events, "domain metadata-change", &changed);
        }
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn somebody_looks_at_the_screen() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let screen = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>";
        let file = pair.stage.images_dir().join("guest.xml");
        std::fs::write(&file, machine::xml("guest", "", screen)).unwrap();
        let create = ["create", file.to_str().unwrap(), "--paused"];
        pair.stage.virsh(Driver::Qemu, &create).await;
        let display = pair.stage.virsh(Driver::Qemu, &["vncdisplay", "guest"]).await;
        let number: u16 = display.trim().rsplit_once(':').unwrap().1.parse().unwrap();
        let viewer = tokio::task::spawn_blocking(move || look(5900 + number));
        let port = viewer.await.unwrap();
        let events = pair.until("domain graphics", json!({ "phase": 2 })).await;
        for phase in 0..=2 {
            let seen = json!({
                "phase": phase,
                "local": { "family": 0, "node": "127.0.0.1", "service": (5900 + number).to_string() },
                "remote": { "family": 0, "node": "127.0.0.1", "service": port.to_string() },
                "auth_scheme": "none",
                "subject": [],
            });
            assert_has(&events, "domain graphics", &seen);
        }
        pair.finish().await;
    })
    .await;
}

/// Connects as a viewer does, as far as the size of the screen; returns the viewer's port.
fn look(port: u16) -> u16 {
    let mut screen = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut hear = |said: &[u8], length: usize| {
        screen.write_all(said).unwrap();
        screen.read_exact(&mut vec![0; length]).unwrap();
        screen.local_addr().unwrap().port()
    };
    // RFC 6143, section 7: version, security types, no security, shared.
    hear(b"", 12);
    hear(b"RFB 003.008\n", 2);
    hear(&[1], 4);
    hear(&[1], 24)
}
