//! Storage pools: so far what names them.

use std::fmt;

use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Connection, Error, Uuid};

/// A storage pool on a host.
///
/// A handle is a name, not the thing: holding one keeps nothing alive on the host. The daemon goes
/// by the UUID alone; the name is that of the moment the handle was made.
#[derive(Clone)]
#[doc(alias = "virStoragePool")]
pub struct StoragePool {
    connection: Connection,
    name: String,
    uuid: Uuid,
}

impl StoragePool {
    pub(crate) fn from_wire(
        connection: &Connection,
        wire: &remote::NonnullStoragePool<'_>,
    ) -> Self {
        Self {
            connection: connection.clone(),
            name: wire.name.to_string_lossy().into_owned(),
            uuid: Uuid::from(wire.uuid),
        }
    }

    /// The connection that this handle asks.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The name at the time the handle was made.
    #[must_use]
    #[doc(alias = "virStoragePoolGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The UUID, which never changes.
    #[must_use]
    #[doc(alias = "virStoragePoolGetUUID")]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl Connection {
    /// The storage pool of this name.
    ///
    /// # Errors
    ///
    /// `NO_STORAGE_POOL` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virStoragePoolLookupByName")]
    pub async fn lookup_storage_pool_by_name(&self, name: &str) -> Result<StoragePool, Error> {
        let args = remote::StoragePoolLookupByNameArgs {
            name: Str::from(name),
        };
        let reply = self.call::<remote::StoragePoolLookupByName>(args).await?;
        Ok(StoragePool::from_wire(self, &reply.decode()?.pool))
    }

    /// The storage pool of this UUID.
    ///
    /// # Errors
    ///
    /// `NO_STORAGE_POOL` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virStoragePoolLookupByUUID")]
    pub async fn lookup_storage_pool_by_uuid(&self, uuid: Uuid) -> Result<StoragePool, Error> {
        let args = remote::StoragePoolLookupByUuidArgs {
            uuid: *uuid.as_bytes(),
        };
        let reply = self.call::<remote::StoragePoolLookupByUuid>(args).await?;
        Ok(StoragePool::from_wire(self, &reply.decode()?.pool))
    }
}

impl fmt::Debug for StoragePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoragePool")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}
