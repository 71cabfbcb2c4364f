//! What happens to networks, storage pools, devices of the host and secrets.

use serde_json::{Value, json};
use virtwire_lab::Driver;
use virtwire_tests::{deadline, uevent};

use super::Pair;

/// The numbers of lifecycle events, and none of others.
fn steps(events: &[Value]) -> Vec<Option<i64>> {
    events
        .iter()
        .map(|event| event["fields"]["event"].as_i64())
        .collect()
}

#[tokio::test]
async fn network_is_defined_started_stopped_and_undefined() {
    deadline(async {
        for driver in [Driver::Qemu, Driver::Test] {
            let mut pair = Pair::new(driver).await;
            let file = pair.stage.images_dir().join("network.xml");
            let xml =
                "<network><name>one</name><forward mode='bridge'/><bridge name='lo'/></network>";
            std::fs::write(&file, xml).unwrap();
            let script = format!(
                "net-define {file}; net-start one; net-destroy one; net-undefine one; \
                 net-create {file}; net-destroy one; net-define {file}; net-undefine one",
                file = file.display()
            );
            pair.stage.virsh(driver, &[&script]).await;
            let mut events = pair.until("network lifecycle", json!({ "event": 1 })).await;
            assert_eq!(steps(&events), [0, 2, 3, 1].map(Some));
            events = pair.until("network lifecycle", json!({ "event": 1 })).await;
            assert_eq!(steps(&events), [2, 3, 0, 1].map(Some));
            pair.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn storage_pool_is_built_filled_and_deleted() {
    deadline(async {
        for driver in [Driver::Qemu, Driver::Test] {
            let mut pair = Pair::new(driver).await;
            let target = pair.stage.images_dir().join("pool");
            let script = format!(
                "pool-define-as one dir --target {}; pool-build one; pool-start one; \
                 pool-refresh one; pool-destroy one; pool-delete one; pool-undefine one",
                target.display()
            );
            pair.stage.virsh(driver, &[&script]).await;
            let undefined = json!({ "event": 1 });
            let events = pair.until("storage-pool lifecycle", undefined).await;
            let wanted = [Some(0), Some(4), Some(2), None, Some(3), Some(5), Some(1)];
            assert_eq!(steps(&events), wanted);
            pair.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn secret_is_defined_told_and_undefined() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let file = pair.stage.images_dir().join("secret.xml");
        let uuid = "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4a";
        let xml = format!(
            "<secret ephemeral='no' private='no'><uuid>{uuid}</uuid>\
             <usage type='ceph'><name>client.x secret</name></usage></secret>"
        );
        std::fs::write(&file, xml).unwrap();
        let script = format!(
            "secret-define {}; secret-set-value {uuid} --base64 aGk=; secret-undefine {uuid}",
            file.display()
        );
        pair.stage.virsh(Driver::Qemu, &[&script]).await;
        let events = pair.until("secret lifecycle", json!({ "event": 1 })).await;
        assert_eq!(steps(&events), [Some(0), None, Some(1)]);
        let subject = json!({ "uuid": uuid, "usage_type": 2, "usage_id": "client.x secret" });
        assert!(events.iter().all(|event| event["subject"] == subject));
        pair.finish().await;
    })
    .await;
}

#[tokio::test]
async fn device_of_the_host_goes_comes_and_changes() {
    deadline(async {
        let mut pair = Pair::new(Driver::Qemu).await;
        let name = "net_lo_00_00_00_00_00_00";
        for (action, kind, fields) in [
            ("change", "node-device update", json!({})),
            (
                "remove",
                "node-device lifecycle",
                json!({ "event": 1, "detail": 0 }),
            ),
            (
                "add",
                "node-device lifecycle",
                json!({ "event": 0, "detail": 0 }),
            ),
        ] {
            uevent::announce_loopback(action);
            let events = pair.until(kind, fields).await;
            let last = events.last().unwrap();
            assert_eq!(last["subject"], json!({ "name": name }), "{action}");
        }
        pair.finish().await;
    })
    .await;
}
