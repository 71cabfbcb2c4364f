//! What the monitor of QEMU says, and that it says no more.

use serde_json::json;
use virtwire::constants::DomainCreateFlags;
use virtwire::event::{EventStream, MonitorFilter, QemuMonitorEvent};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use super::machine;
use super::{Pair, assert_has};
use crate::Stage;

#[tokio::test]
async fn monitor_is_lost() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let xml = machine::xml("guest", "", "");
        let created = pair
            .stage
            .connection
            .create_domain(&xml, DomainCreateFlags::PAUSED);
        created.await.unwrap();
        // libvirt reads no answer of more than 10 MiB: with such a one the monitor has failed.
        let script = "qemu-monitor-command guest --hmp 'xp /1600000xb 0'; domid guest";
        pair.stage.virsh(Driver::Qemu, &[script]).await;
        let events = pair.until("domain control-error", json!({})).await;
        assert_has(&events, "domain lifecycle", &json!({ "event": 2 }));
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn daemon_picks_out_what_was_asked_for_of_a_monitor() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let subscribe = async |filter| {
            let builder = stage.connection.events().qemu_monitor(filter);
            builder.subscribe_as::<QemuMonitorEvent>().await.unwrap()
        };
        let mut all = subscribe(MonitorFilter::all()).await;
        let mut named = subscribe(MonitorFilter::name("STOP")).await;
        let mut unlike = subscribe(MonitorFilter::name("stop")).await;
        let mut nocase = subscribe(MonitorFilter::name("stop").ignore_case()).await;
        let mut matching = subscribe(MonitorFilter::regex("^R.*E$")).await;
        let guest = stage.guest("guest", 1).await;
        for _ in 0..2 {
            guest.domain.suspend().await.unwrap();
            guest.domain.resume().await.unwrap();
        }
        let (stop, resume) = ("STOP", "RESUME");
        let wanted = [resume, stop, resume, stop, resume];
        assert_eq!(names(&mut all, 5).await, wanted);
        assert_eq!(names(&mut named, 2).await, [stop, stop]);
        assert_eq!(names(&mut nocase, 2).await, [stop, stop]);
        assert_eq!(names(&mut matching, 3).await, [resume, resume, resume]);
        assert!(unlike.try_recv().is_none());
    })
    .await;
}

async fn names(events: &mut EventStream<QemuMonitorEvent>, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(events.recv().await.unwrap().event.name);
    }
    names
}
