//! Subscriptions to events.

mod flood;
mod legacy;
mod storm;
mod subscription;

use std::path::Path;

use virtwire::constants::DomainDefineFlags;
use virtwire::{Connection, Domain};
use virtwire_lab::Driver;
use virtwire_tests::relay::Relay;

use crate::Stage;

/// A relay before the stage's daemon, and a connection through it to one of its drivers.
async fn through_a_relay(stage: &Stage, driver: Driver) -> (Relay, Connection) {
    let relay = Relay::start(stage.socket());
    let connection = Connection::open(&by(stage, driver, &relay.socket())).await;
    (relay, connection.unwrap())
}

/// The URI of a driver by another socket.
fn by(stage: &Stage, driver: Driver, socket: &Path) -> String {
    let daemon = stage.socket().display().to_string();
    let uri = stage.uri(driver);
    uri.replace(&daemon, &socket.display().to_string())
}

async fn define(stage: &Stage, name: &str) -> Domain {
    let xml = format!(
        "<domain type='test'><name>{name}</name><memory>1024</memory>\
         <os><type>hvm</type></os></domain>"
    );
    let defined = stage
        .connection
        .define_domain(&xml, DomainDefineFlags::empty());
    defined.await.unwrap()
}
