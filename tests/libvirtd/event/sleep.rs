//! What guests do to their clocks, their memory and themselves.

use serde_json::json;
use virtwire::Domain;
use virtwire::constants::DomainCreateFlags;
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::machine::{self, Code};
use super::{Pair, assert_has};

/// Where the firmware puts the power management of this machine: what is written here makes it
/// sleep, in one of these ways.
const POWER: u16 = 0x604;
const SLEEP: u16 = 0x2400;
const SLEEP_ON_DISK: u16 = 0x2800;

const MAY_SLEEP: &str = "<pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='yes'/></pm>";

async fn start(pair: &Pair, name: &str, elements: &str, devices: &str, code: Code) -> Domain {
    let image = pair.stage.images_dir().join(name);
    code.write(&image);
    let devices = format!("{}{devices}", machine::disk(&image, ""));
    let xml = machine::xml(name, elements, &devices);
    let created = pair
        .stage
        .connection
        .create_domain(&xml, DomainCreateFlags::empty());
    created.await.unwrap()
}

#[tokio::test]
async fn guest_sleeps_and_is_woken() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let code = Code::new().out_word(POWER, SLEEP);
        let guest = start(&pair, "sleeper", MAY_SLEEP, "", code).await;
        let events = pair.until("domain lifecycle", json!({ "event": 7 })).await;
        assert_has(&events, "domain pm-suspend", &json!({ "reason": 0 }));
        assert_has(
            &events,
            "domain lifecycle",
            &json!({ "event": 7, "detail": 0 }),
        );
        let wake = ["dompmwakeup", guest.name()];
        pair.stage.virsh(Driver::Qemu, &wake).await;
        let events = pair.until("domain lifecycle", json!({ "event": 2 })).await;
        assert_has(&events, "domain pm-wakeup", &json!({ "reason": 0 }));
        assert_has(
            &events,
            "domain lifecycle",
            &json!({ "event": 2, "detail": 4 }),
        );
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn guest_sleeps_on_its_disk() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let code = Code::new().out_word(POWER, SLEEP_ON_DISK);
        start(&pair, "hibernator", MAY_SLEEP, "", code).await;
        let events = pair.until("domain lifecycle", json!({ "event": 5 })).await;
        assert_has(&events, "domain pm-suspend-disk", &json!({ "reason": 0 }));
        assert_has(
            &events,
            "domain lifecycle",
            &json!({ "event": 7, "detail": 1 }),
        );
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn guest_sets_its_clock_and_its_balloon_and_lets_its_watchdog_bark() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let code = Code::new()
            // The register of minutes.
            .out_byte(0x70, 2)
            .out_byte(0x71, 0x10)
            // As many pages as the guest says it has given, behind a header of 20 bytes and the
            // number that the host wishes for.
            .out_long_of_device(8, 24, 0x1000)
            // The shortest time.
            .out_byte(0x443, 0x0f);
        let devices = "<watchdog model='ib700' action='pause'/><memballoon model='virtio'>\
                       <address type='pci' slot='8'/></memballoon>";
        start(&pair, "busy", "", devices, code).await;
        let events = pair
            .until("qemu-monitor event", json!({ "name": "STOP" }))
            .await;
        assert_has(&events, "domain rtc-change", &json!({}));
        let actual = json!({ "actual": (32 - 16) << 10 });
        assert_has(&events, "domain balloon-change", &actual);
        assert_has(&events, "domain watchdog", &json!({ "action": 1 }));
        let suspended = json!({ "event": 3, "detail": 3 });
        assert_has(&events, "domain lifecycle", &suspended);
        pair.finish().await;
    })
    .await;
}
