//! The client and a scripted daemon: everything that can happen on a connection, without libvirt.

#![cfg(test)]

mod auth;
mod call;
mod cancel;
mod close;
mod connect;
mod event;
mod hostile;
mod keepalive;
mod memory;
mod session;

use virtwire::{BlockJob, Connection, Error, remote};
use virtwire_tests::peer::Peer;

/// A call whose answer is the number that was asked with.
async fn ask(connection: &Connection, number: i32) -> Result<i32, Error> {
    let args = remote::ConnectSupportsFeatureArgs { feature: number };
    let reply = connection
        .call::<remote::ConnectSupportsFeature>(args)
        .await?;
    Ok(reply.decode()?.supported)
}

/// A task that asks.
fn asker(connection: &Connection, number: i32) -> tokio::task::JoinHandle<Result<i32, Error>> {
    let connection = connection.clone();
    tokio::spawn(async move { ask(&connection, number).await })
}

/// A pull on the disk of the peer's guest.
async fn start_pull(connection: &Connection) -> Result<BlockJob, Error> {
    let guest = connection.lookup_domain_by_name("guest").await?;
    guest.disk("vda").pull().start().await
}

/// A pull that the peer has agreed to.
async fn started_pull(connection: &Connection, peer: &mut Peer) -> BlockJob {
    let (job, _) = tokio::join!(
        start_pull(connection),
        peer.until::<remote::DomainBlockPull>()
    );
    job.unwrap()
}
