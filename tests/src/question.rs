//! Calls that tests make, and jobs that they start.

use tokio::task::JoinHandle;
use virtwire::{BlockJob, Connection, Error, remote};

use crate::peer::{Guest as _, Peer};

/// How many ordinary calls a connection has in flight by default: of four places one is kept for
/// those that end other work.
pub const PLACES: usize = 3;

/// A call whose answer is the number that was asked with.
///
/// # Errors
///
/// When the call fails.
pub async fn ask(connection: &Connection, number: i32) -> Result<i32, Error> {
    let args = remote::ConnectSupportsFeatureArgs { feature: number };
    let reply = connection
        .call::<remote::ConnectSupportsFeature>(args)
        .await?;
    Ok(reply.decode()?.supported)
}

/// A task that asks.
pub fn asker(connection: &Connection, number: i32) -> JoinHandle<Result<i32, Error>> {
    let connection = connection.clone();
    tokio::spawn(async move { ask(&connection, number).await })
}

/// A pull on the disk of the peer's guest.
///
/// # Errors
///
/// When it cannot be started.
pub async fn start_pull(connection: &Connection) -> Result<BlockJob, Error> {
    let guest = connection.lookup_domain_by_name("guest").await?;
    guest.disk("vda").pull().start().await
}

/// A pull that the peer has agreed to.
///
/// # Panics
///
/// When it is not started.
pub async fn started_pull(connection: &Connection, peer: &mut Peer) -> BlockJob {
    let (job, _) = tokio::join!(
        start_pull(connection),
        peer.until::<remote::DomainBlockPull>()
    );
    job.expect("the pull starts")
}
