//! What a connection keeps when nothing happens on it.

use std::sync::mpsc;
use std::thread;

use virtwire::Connection;
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use crate::served::Served;

/// How many connections there are.
const CONNECTIONS: usize = 64;

/// How much of the heap one may keep.
const LIMIT: usize = 16 << 10;

#[test]
fn idle_connection_keeps_little() {
    let (sender, uri) = mpsc::channel();
    // Memory is counted for each thread, and the daemon has one of its own.
    thread::spawn(move || {
        runtime().block_on(async {
            let served = Served::new(Simulator::builder().start());
            sender.send(served.uri("test")).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let uri = uri.recv().unwrap();
    let runtime = runtime();
    let mut connections = Vec::new();
    let kept = allocation_counter::measure(|| {
        connections = runtime.block_on(deadline(connect(&uri)));
    });
    let each = usize::try_from(kept.bytes_current).unwrap() / CONNECTIONS;
    assert!((1 << 10..LIMIT).contains(&each), "{each} bytes each");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap()
}

/// Opens connections, and makes a call on each.
async fn connect(uri: &str) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = Connection::open(uri).await.unwrap();
        connection.hostname().await.unwrap();
        connections.push(connection);
    }
    connections
}
