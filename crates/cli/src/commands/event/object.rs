//! Finding what events are to be about, as virsh does.

use virtwire::constants::ErrorCode;
use virtwire::{Connection, Error, Network, NodeDevice, Secret, StoragePool, Uuid};

use crate::failure::Failure;

/// Finds a network by UUID, then by name.
pub(super) async fn network(connection: &Connection, text: &str) -> Result<Network, Failure> {
    if let Some(uuid) = dashed_uuid(text) {
        let found = connection.lookup_network_by_uuid(uuid).await;
        if let Some(network) = unless(ErrorCode::NO_NETWORK, found, "network", text)? {
            return Ok(network);
        }
    }
    let found = connection.lookup_network_by_name(text).await;
    found.map_err(not_found("network", text))
}

/// Finds a storage pool by UUID, then by name.
pub(super) async fn storage_pool(
    connection: &Connection,
    text: &str,
) -> Result<StoragePool, Failure> {
    if let Some(uuid) = dashed_uuid(text) {
        let found = connection.lookup_storage_pool_by_uuid(uuid).await;
        if let Some(pool) = unless(ErrorCode::NO_STORAGE_POOL, found, "pool", text)? {
            return Ok(pool);
        }
    }
    let found = connection.lookup_storage_pool_by_name(text).await;
    found.map_err(not_found("pool", text))
}

/// Finds a node device by name.
pub(super) async fn node_device(
    connection: &Connection,
    text: &str,
) -> Result<NodeDevice, Failure> {
    let found = connection.lookup_node_device_by_name(text).await;
    found.map_err(not_found("device", text))
}

/// Finds a secret by UUID.
pub(super) async fn secret(connection: &Connection, text: &str) -> Result<Secret, Failure> {
    let uuid =
        Uuid::parse(text).map_err(|error| Failure::Usage(format!("--secret {text}: {error}")))?;
    let found = connection.lookup_secret_by_uuid(uuid).await;
    found.map_err(not_found("secret", text))
}

/// virsh takes a UUID only with its dashes, so 32 hex digits can be a name.
fn dashed_uuid(text: &str) -> Option<Uuid> {
    Uuid::parse(text).ok().filter(|_| text.contains('-'))
}

/// Nothing where the daemon says that there is no such thing.
fn unless<T>(
    missing: ErrorCode,
    found: Result<T, Error>,
    what: &str,
    text: &str,
) -> Result<Option<T>, Failure> {
    match found {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.has_code(missing) => Ok(None),
        Err(error) => Err(not_found(what, text)(error)),
    }
}

fn not_found(what: &str, text: &str) -> impl FnOnce(Error) -> Failure + use<> {
    Failure::doing(format!("failed to get {what} '{text}'"))
}
