//! Secrets: so far what names them.

use std::fmt;

use virtwire_protocol::constants::SecretUsageType;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use crate::{Connection, Error, Uuid};

/// A secret that a host keeps, such as the passphrase of a volume.
///
/// A handle is a name, not the thing: holding one keeps nothing alive on the host, and it has no
/// value in it. The daemon goes by the UUID alone.
#[derive(Clone)]
#[doc(alias = "virSecret")]
pub struct Secret {
    connection: Connection,
    uuid: Uuid,
    usage_type: SecretUsageType,
    usage_id: String,
}

impl Secret {
    pub(crate) fn from_wire(connection: &Connection, wire: &remote::NonnullSecret<'_>) -> Self {
        Self {
            connection: connection.clone(),
            uuid: Uuid::from(wire.uuid),
            usage_type: SecretUsageType(wire.usage_type),
            usage_id: wire.usage_id.to_string_lossy().into_owned(),
        }
    }

    /// The connection that this handle asks.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The UUID, which never changes.
    #[must_use]
    #[doc(alias = "virSecretGetUUID")]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// What the secret is for.
    #[must_use]
    #[doc(alias = "virSecretGetUsageType")]
    pub fn usage_type(&self) -> SecretUsageType {
        self.usage_type
    }

    /// What in particular it is for, such as the path of a volume; may be empty.
    #[must_use]
    #[doc(alias = "virSecretGetUsageID")]
    pub fn usage_id(&self) -> &str {
        &self.usage_id
    }
}

impl Connection {
    /// The secret of this UUID.
    ///
    /// # Errors
    ///
    /// `NO_SECRET` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virSecretLookupByUUID")]
    pub async fn lookup_secret_by_uuid(&self, uuid: Uuid) -> Result<Secret, Error> {
        let args = remote::SecretLookupByUuidArgs {
            uuid: *uuid.as_bytes(),
        };
        let reply = self.call::<remote::SecretLookupByUuid>(args).await?;
        Ok(Secret::from_wire(self, &reply.decode()?.secret))
    }

    /// The secret for this usage.
    ///
    /// # Errors
    ///
    /// `NO_SECRET` when there is none.
    ///
    /// # Cancel safety
    ///
    /// See [`Connection`].
    #[doc(alias = "virSecretLookupByUsage")]
    pub async fn lookup_secret_by_usage(
        &self,
        usage_type: SecretUsageType,
        usage_id: &str,
    ) -> Result<Secret, Error> {
        let args = remote::SecretLookupByUsageArgs {
            usage_type: usage_type.0,
            usage_id: Str::from(usage_id),
        };
        let reply = self.call::<remote::SecretLookupByUsage>(args).await?;
        Ok(Secret::from_wire(self, &reply.decode()?.secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("uuid", &self.uuid)
            .field("usage_type", &self.usage_type)
            .finish_non_exhaustive()
    }
}
