//! A daemon that has a connection of its own, to another daemon.

use serde_json::json;
use virtwire::constants::ErrorCode;
use virtwire::{Connection, Release};
use virtwire_lab::{Daemon, Driver};
use virtwire_tests::deadline;

use super::Pair;
use crate::Stage;

#[tokio::test]
async fn daemon_loses_its_own_connection() {
    deadline(async {
        let mut farther = Daemon::builder().tcp().start().unwrap();
        let stage = Box::pin(Stage::new(Driver::Test)).await;
        let beyond = farther.tcp_uri(Driver::Test).unwrap();
        let name = beyond.replace('+', "%2B");
        let uri = format!("{}&name={name}", stage.uri(Driver::Test));
        if stage.connection.library_version().await.unwrap() >= Release::new(12, 0, 0) {
            // 12.8.0 lets nobody send it to another daemon.
            let refused = Connection::open(&uri).await.unwrap_err();
            assert_eq!(refused.code(), Some(ErrorCode::OPERATION_DENIED));
            return;
        }
        let mut pair = Box::pin(Pair::listening(stage, &uri)).await;
        // What happens on the farther daemon is told by both.
        farther.virsh(Driver::Test, &["suspend", "test"]).unwrap();
        pair.until("domain lifecycle", json!({ "event": 3 })).await;
        farther.kill().unwrap();
        pair.until("connection closed", json!({ "reason": 0 }))
            .await;
        // The one that we are connected to is still there.
        pair.finish().await;
    })
    .await;
}
