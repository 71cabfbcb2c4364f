//! Virtual networks: so far what names them.

use std::fmt;

use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Connection, Error, Uuid};

/// A virtual network on a host.
///
/// A handle is a name, not the thing: holding one keeps nothing alive on the host. The daemon goes
/// by the UUID alone; the name is that of the moment the handle was made.
#[derive(Clone)]
#[doc(alias = "virNetwork")]
pub struct Network {
    connection: Connection,
    name: String,
    uuid: Uuid,
}

impl Network {
    pub(crate) fn from_wire(connection: &Connection, wire: &remote::NonnullNetwork<'_>) -> Self {
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
    #[doc(alias = "virNetworkGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The UUID, which never changes.
    #[must_use]
    #[doc(alias = "virNetworkGetUUID")]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl Connection {
    /// The virtual network of this name.
    ///
    /// # Errors
    ///
    /// `NO_NETWORK` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virNetworkLookupByName")]
    pub async fn lookup_network_by_name(&self, name: &str) -> Result<Network, Error> {
        let args = remote::NetworkLookupByNameArgs {
            name: Str::from(name),
        };
        let reply = self.call::<remote::NetworkLookupByName>(args).await?;
        Ok(Network::from_wire(self, &reply.decode()?.net))
    }

    /// The virtual network of this UUID.
    ///
    /// # Errors
    ///
    /// `NO_NETWORK` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virNetworkLookupByUUID")]
    pub async fn lookup_network_by_uuid(&self, uuid: Uuid) -> Result<Network, Error> {
        let args = remote::NetworkLookupByUuidArgs {
            uuid: *uuid.as_bytes(),
        };
        let reply = self.call::<remote::NetworkLookupByUuid>(args).await?;
        Ok(Network::from_wire(self, &reply.decode()?.net))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}
