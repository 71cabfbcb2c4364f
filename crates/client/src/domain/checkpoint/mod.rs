//! Checkpoints: moments since when the changes to disks are kept track of, so that a backup can
//! move what has changed and nothing else.

mod description;
mod new;

pub use description::{CheckpointDescription, CheckpointDisk};
pub use new::{CheckpointXml, NewCheckpoint};

use std::future::Future;

use virtwire_protocol::constants::{
    DomainCheckpointCreateFlags, DomainCheckpointDeleteFlags, DomainCheckpointListFlags,
    DomainCheckpointXmlFlags, ErrorCode,
};
use virtwire_protocol::{Procedure, remote};
use virtwire_xdr::Str;

use crate::error::Cause;
use crate::{Domain, Error, Reply};

/// A checkpoint of a domain: its name and the domain.
///
/// A handle is a name, not the checkpoint: one that is gone answers with `NO_DOMAIN_CHECKPOINT`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "virDomainCheckpoint")]
pub struct Checkpoint {
    domain: Domain,
    name: String,
}

impl Checkpoint {
    fn from_wire(domain: &Domain, wire: &remote::NonnullDomainCheckpoint<'_>) -> Self {
        Self {
            domain: domain.clone(),
            name: wire.name.to_string_lossy().into_owned(),
        }
    }

    fn wire(&self) -> remote::NonnullDomainCheckpoint<'_> {
        remote::NonnullDomainCheckpoint {
            name: Str::from(&self.name),
            dom: self.domain.wire(),
        }
    }

    /// Calls a procedure about this checkpoint, which errors name.
    fn call<P: Procedure>(
        &self,
        args: &P::Args<'_>,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + Send + use<'_, P> {
        let object = || Some(format!("{} of {}", self.name, self.domain.name()));
        let connection = self.domain.connection();
        connection.call_about::<P, _>(args, object)
    }

    /// The domain.
    #[must_use]
    #[doc(alias = "virDomainCheckpointGetDomain")]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The name.
    #[must_use]
    #[doc(alias = "virDomainCheckpointGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The XML description, with that of the domain unless the flags leave it out.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when it is gone; for `SIZE` also `OPERATION_INVALID` when the domain
    /// does not run.
    #[doc(alias = "virDomainCheckpointGetXMLDesc")]
    pub async fn xml(&self, flags: DomainCheckpointXmlFlags) -> Result<String, Error> {
        let args = remote::DomainCheckpointGetXmlDescArgs {
            checkpoint: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCheckpointGetXmlDesc>(&args);
        let reply = reply.await?;
        Ok(reply.decode()?.xml.to_string_lossy().into_owned())
    }

    /// The description, without sizes.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when it is gone, and kind `Protocol` when the XML cannot be read.
    pub async fn description(&self) -> Result<CheckpointDescription, Error> {
        self.described(DomainCheckpointXmlFlags::NO_DOMAIN).await
    }

    /// The disks, each with how much has been written to it since, in bytes. The daemon asks the
    /// hypervisor, so the domain must run.
    ///
    /// # Errors
    ///
    /// Those of [`description`](Self::description); `OPERATION_INVALID` when the domain does not
    /// run.
    #[doc(alias = "VIR_DOMAIN_CHECKPOINT_XML_SIZE")]
    pub async fn sizes(&self) -> Result<Vec<CheckpointDisk>, Error> {
        let flags = DomainCheckpointXmlFlags::NO_DOMAIN | DomainCheckpointXmlFlags::SIZE;
        Ok(self.described(flags).await?.disks)
    }

    async fn described(
        &self,
        flags: DomainCheckpointXmlFlags,
    ) -> Result<CheckpointDescription, Error> {
        let xml = self.xml(flags).await?;
        CheckpointDescription::parse(&xml).map_err(|error| Cause::Xml(error).into())
    }

    /// The checkpoint before this one; `None` for the first.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when this one is gone.
    #[doc(alias = "virDomainCheckpointGetParent")]
    pub async fn parent(&self) -> Result<Option<Self>, Error> {
        let args = remote::DomainCheckpointGetParentArgs {
            checkpoint: self.wire(),
            flags: 0,
        };
        let reply = self.call::<remote::DomainCheckpointGetParent>(&args);
        match reply.await {
            Ok(reply) => {
                let parent = &reply.decode()?.parent;
                Ok(Some(Self::from_wire(&self.domain, parent)))
            }
            // The daemon says the same of a checkpoint without a parent and of none at all.
            Err(error) if error.has_code(ErrorCode::NO_DOMAIN_CHECKPOINT) => {
                let found = self.domain.lookup_checkpoint(&self.name).await;
                found.map(|_| None)
            }
            Err(error) => Err(error),
        }
    }

    /// The checkpoints after this one: the next ones, or with `DESCENDANTS` all.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when it is gone.
    #[doc(alias = "virDomainCheckpointListAllChildren")]
    pub async fn children(&self, flags: DomainCheckpointListFlags) -> Result<Vec<Self>, Error> {
        let args = remote::DomainCheckpointListAllChildrenArgs {
            checkpoint: self.wire(),
            need_results: 1,
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCheckpointListAllChildren>(&args);
        let reply = reply.await?;
        let listed = reply.decode()?.checkpoints;
        let listed = listed.iter().map(|one| Self::from_wire(&self.domain, one));
        Ok(listed.collect())
    }

    /// Forgets the checkpoint: what was written since counts as written since the one before it.
    /// With `METADATA_ONLY` the daemon forgets it and the images keep its bitmaps.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when it is gone; `OPERATION_UNSUPPORTED` when the domain does not run,
    /// unless only the daemon is to forget it; the hypervisor's refusal while a backup needs it.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainCheckpointDelete")]
    pub async fn delete(&self, flags: DomainCheckpointDeleteFlags) -> Result<(), Error> {
        let args = remote::DomainCheckpointDeleteArgs {
            checkpoint: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCheckpointDelete>(&args);
        reply.await.map(drop)
    }
}

impl Domain {
    /// Makes a checkpoint of the running domain. To make one and a backup of the same moment, use
    /// [`Backup::checkpoint`](crate::Backup::checkpoint).
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::NewCheckpoint;
    ///
    /// let monday = guest.create_checkpoint(NewCheckpoint::named("monday")).await?;
    /// // … a day later …
    /// for disk in monday.sizes().await? {
    ///     println!("{}: {} bytes", disk.target, disk.size.unwrap_or_default());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `OPERATION_UNSUPPORTED` when the domain does not run; `CONFIG_UNSUPPORTED` for a disk that
    /// it does not have, that the guest cannot write, or whose image is not qcow2; `OPERATION_FAILED`
    /// when there is a checkpoint of that name.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainCheckpointCreateXML")]
    pub async fn create_checkpoint(
        &self,
        checkpoint: impl Into<CheckpointXml>,
    ) -> Result<Checkpoint, Error> {
        let flags = DomainCheckpointCreateFlags::empty();
        self.create_checkpoint_with(checkpoint.into(), flags).await
    }

    /// As [`create_checkpoint`](Self::create_checkpoint), with flags: `REDEFINE` tells the daemon
    /// of a checkpoint that the images have and it has forgotten, by the XML that
    /// [`Checkpoint::xml`] gave; the domain need not run. `REDEFINE_VALIDATE` has it look whether
    /// the images do have it.
    ///
    /// # Errors
    ///
    /// Those of [`create_checkpoint`](Self::create_checkpoint); `CHECKPOINT_INCONSISTENT` for
    /// `REDEFINE_VALIDATE` where an image lacks it.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainCheckpointCreateXML")]
    pub async fn create_checkpoint_with(
        &self,
        checkpoint: impl Into<CheckpointXml>,
        flags: DomainCheckpointCreateFlags,
    ) -> Result<Checkpoint, Error> {
        let xml = checkpoint.into();
        let args = remote::DomainCheckpointCreateXmlArgs {
            dom: self.wire(),
            xml_desc: Str::from(xml.as_str()),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCheckpointCreateXml>(&args);
        let reply = reply.await?;
        Ok(Checkpoint::from_wire(self, &reply.decode()?.checkpoint))
    }

    /// The checkpoints that match: with `ROOTS` those that have none before them, with `LEAVES`
    /// those that have none after them; with `TOPOLOGICAL` each comes behind the one before it.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainListAllCheckpoints")]
    pub async fn checkpoints(
        &self,
        flags: DomainCheckpointListFlags,
    ) -> Result<Vec<Checkpoint>, Error> {
        let args = remote::DomainListAllCheckpointsArgs {
            dom: self.wire(),
            need_results: 1,
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainListAllCheckpoints>(&args);
        let reply = reply.await?;
        let listed = reply.decode()?.checkpoints;
        let listed = listed.iter().map(|one| Checkpoint::from_wire(self, one));
        Ok(listed.collect())
    }

    /// Finds a checkpoint by name.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_CHECKPOINT` when there is none.
    #[doc(alias = "virDomainCheckpointLookupByName")]
    pub async fn lookup_checkpoint(&self, name: &str) -> Result<Checkpoint, Error> {
        let args = remote::DomainCheckpointLookupByNameArgs {
            dom: self.wire(),
            name: Str::from(name),
            flags: 0,
        };
        let reply = self.call::<remote::DomainCheckpointLookupByName>(&args);
        let reply = reply.await?;
        Ok(Checkpoint::from_wire(self, &reply.decode()?.checkpoint))
    }
}
