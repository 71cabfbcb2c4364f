//! Devices of the host: so far what names them.

use std::fmt;

use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Connection, Error};

/// A device of a host.
///
/// A handle is a name, not the thing: holding one keeps nothing alive on the host.
#[derive(Clone)]
#[doc(alias = "virNodeDevice")]
pub struct NodeDevice {
    connection: Connection,
    name: String,
}

impl NodeDevice {
    pub(crate) fn from_wire(connection: &Connection, wire: &remote::NonnullNodeDevice<'_>) -> Self {
        Self {
            connection: connection.clone(),
            name: wire.name.to_string_lossy().into_owned(),
        }
    }

    /// The connection that this handle asks.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The name, which is unique on its host.
    #[must_use]
    #[doc(alias = "virNodeDeviceGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Connection {
    /// The device of this name.
    ///
    /// # Errors
    ///
    /// `NO_NODE_DEVICE` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virNodeDeviceLookupByName")]
    pub async fn lookup_node_device_by_name(&self, name: &str) -> Result<NodeDevice, Error> {
        let args = remote::NodeDeviceLookupByNameArgs {
            name: Str::from(name),
        };
        let reply = self.call::<remote::NodeDeviceLookupByName>(args).await?;
        Ok(NodeDevice::from_wire(self, &reply.decode()?.dev))
    }
}

impl fmt::Debug for NodeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDevice")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
