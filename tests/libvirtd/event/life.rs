//! What happens in a domain's life.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use virtwire::Release;
use virtwire::constants::DomainCreateFlags;
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::machine::{self, Code};
use super::pair::life;
use super::{Pair, assert_has};

#[tokio::test]
async fn life_of_a_guest() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let images = pair.stage.images_dir();
        let image = images.join("guest.qcow2");
        virtwire_lab::image::create_empty(&image, 16 << 20).unwrap();
        let disk = format!(
            "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda' bus='virtio'/></disk>",
            image.display()
        );
        let file = images.join("guest.xml");
        std::fs::write(&file, machine::xml("guest", "", &disk)).unwrap();
        let script = format!(
            "define {file}; start guest; suspend guest; resume guest; reset guest; \
             save guest {saved}; restore {saved}; managedsave guest; start guest; \
             snapshot-create-as guest early; snapshot-revert guest early; \
             snapshot-delete guest early; dump guest {dumped} --memory-only; \
             desc guest --title something; destroy guest; start guest --paused; destroy guest; \
             undefine guest",
            file = file.display(),
            saved = images.join("saved").display(),
            dumped = images.join("dumped").display(),
        );
        pair.stage.virsh(Driver::Qemu, &[&script]).await;
        let undefined = json!({ "event": 1 });
        let events = pair.until("domain lifecycle", undefined).await;
        // From `virDomainEventType` and the types of its details.
        let wanted = [
            (0, 0), // defined: added
            (4, 0), // resumed: unpaused
            (2, 0), // started: booted
            (3, 0), // suspended: paused
            (5, 4), // stopped: saved
            (2, 2), // started: restored
            (4, 2), // resumed: from a snapshot
            (5, 6), // stopped: from a snapshot
            (2, 3), // started: from a snapshot
            (0, 3), // defined: from a snapshot
            (6, 2), // shut down: by the host
            (5, 1), // stopped: destroyed
            (1, 0), // undefined: removed
        ];
        let life = life(&events, "guest");
        for step in wanted {
            assert!(life.contains(&step), "no {step:?} in {life:?}");
        }
        assert_has(&events, "domain reboot", &json!({}));
        let release = pair.stage.connection.library_version().await.unwrap();
        // The QEMU beside libvirt 12.8.0 does not count what it does in one go.
        if release < Release::new(12, 0, 0) {
            let counted = json!({ "iteration": 1 });
            assert_has(&events, "domain migration-iteration", &counted);
        }
        assert_has(&events, "domain job-completed", &json!({}));
        assert_has(
            &events,
            "domain metadata-change",
            &json!({ "type": 1, "ns_uri": null }),
        );
        assert_has(
            &events,
            "qemu-monitor event",
            &json!({ "name": "DUMP_COMPLETED" }),
        );
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn ends_of_guests() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let images = pair.stage.images_dir();
        let panic = "<panic model='isa'/>";
        for (name, code, devices, end) in [
            // Shut down by the host, crashed by a panic, and failed.
            ("term", Code::new(), "", [(6, 2), (5, 0)]),
            (
                "panic",
                Code::new().out_byte(0x505, 1),
                panic,
                [(8, 0), (5, 2)],
            ),
            ("kill", Code::new(), "", [(2, 0), (5, 5)]),
        ] {
            let image = images.join(name);
            code.write(&image);
            let devices = format!("{}{devices}", machine::disk(&image, ""));
            let xml = machine::xml(name, "<on_crash>destroy</on_crash>", &devices);
            let created = pair
                .stage
                .connection
                .create_domain(&xml, DomainCreateFlags::empty());
            created.await.unwrap();
            let signal = match name {
                "term" => Some(Signal::TERM),
                "kill" => Some(Signal::KILL),
                _ => None,
            };
            for pid in pair.stage.daemon.qemu_pids() {
                if let Some(signal) = signal {
                    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
                }
            }
            let stopped = json!({ "event": 5 });
            let events = pair.until("domain lifecycle", stopped).await;
            let mut life = life(&events, name);
            if name == "panic" {
                // 11.3.0 and 12.8.0 may hear QEMU say that it is shut down, as it is told to end.
                life.retain(|step| *step != (6, 2));
            }
            assert!(life.ends_with(&end), "{name}: {life:?}");
        }
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn life_of_a_domain_of_the_test_driver() {
    deadline(async {
        let mut pair = Pair::new(Driver::Test).await;
        let images = pair.stage.images_dir();
        let file = images.join("domain.xml");
        let xml = "<domain type='test'><name>one</name><memory>1024</memory>\
                   <os><type>hvm</type></os></domain>";
        std::fs::write(&file, xml).unwrap();
        let script = format!(
            "define {file}; start one; suspend one; resume one; shutdown one; start one; \
             snapshot-create-as one early; snapshot-revert one early; \
             snapshot-delete one early; metadata one http://x.y/z --key k --set '<a/>'; \
             desc one something; save one {saved}; restore {saved}; managedsave one; start one; \
             destroy one; undefine one",
            file = file.display(),
            saved = images.join("saved").display(),
        );
        pair.stage.virsh(Driver::Test, &[&script]).await;
        let events = pair.until("domain lifecycle", json!({ "event": 1 })).await;
        let saved = [(5, 4), (2, 2), (5, 4), (2, 0), (5, 1), (1, 0)];
        let life = life(&events, "one");
        assert!(life.starts_with(&[(0, 0), (2, 0), (3, 0), (4, 0), (5, 0), (2, 0)]));
        assert!(life.ends_with(&saved), "{life:?}");
        let metadata = json!({ "type": 2, "ns_uri": "http://x.y/z" });
        assert_has(&events, "domain metadata-change", &metadata);
        pair.finish().await;
    })
    .await;
}
