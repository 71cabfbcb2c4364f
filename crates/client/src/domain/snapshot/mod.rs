//! Snapshots: moments that a guest's disks can be brought back to.
//!
//! What is made in types here is the external snapshot of disks, the first half of a cycle whose
//! second half is a commit of the active image. Others can be made of raw XML.

mod disk_snapshot;

pub use disk_snapshot::{DiskSnapshot, Overlay};

use std::future::Future;

use virtwire_protocol::constants::{
    DomainSnapshotCreateFlags, DomainSnapshotDeleteFlags, DomainSnapshotListFlags,
    DomainSnapshotXmlFlags, ErrorCode,
};
use virtwire_protocol::{Procedure, remote};
use virtwire_xdr::Str;

use crate::{Domain, Error, Reply};

/// A snapshot of a domain: its name and the domain.
///
/// A handle is a name, not the snapshot: one that is gone, or that the daemon keeps no record of,
/// answers with `NO_DOMAIN_SNAPSHOT`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "virDomainSnapshot")]
pub struct Snapshot {
    domain: Domain,
    name: String,
}

impl Snapshot {
    fn from_wire(domain: &Domain, wire: &remote::NonnullDomainSnapshot<'_>) -> Self {
        Self {
            domain: domain.clone(),
            name: wire.name.to_string_lossy().into_owned(),
        }
    }

    fn wire(&self) -> remote::NonnullDomainSnapshot<'_> {
        remote::NonnullDomainSnapshot {
            name: Str::from(&self.name),
            dom: self.domain.wire(),
        }
    }

    /// Calls a procedure about this snapshot, which errors name.
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
    #[doc(alias = "virDomainSnapshotGetDomain")]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The name.
    #[must_use]
    #[doc(alias = "virDomainSnapshotGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The XML description, with that of the domain at the time.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when it is gone.
    #[doc(alias = "virDomainSnapshotGetXMLDesc")]
    pub async fn xml(&self, flags: DomainSnapshotXmlFlags) -> Result<String, Error> {
        let args = remote::DomainSnapshotGetXmlDescArgs {
            snap: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainSnapshotGetXmlDesc>(&args).await?;
        Ok(reply.decode()?.xml.to_string_lossy().into_owned())
    }

    /// The snapshot before this one; `None` for the first.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when this one is gone.
    #[doc(alias = "virDomainSnapshotGetParent")]
    pub async fn parent(&self) -> Result<Option<Self>, Error> {
        let args = remote::DomainSnapshotGetParentArgs {
            snap: self.wire(),
            flags: 0,
        };
        match self.call::<remote::DomainSnapshotGetParent>(&args).await {
            Ok(reply) => Ok(Some(Self::from_wire(&self.domain, &reply.decode()?.snap))),
            // The daemon says the same of a snapshot without a parent and of none at all.
            Err(error) if error.has_code(ErrorCode::NO_DOMAIN_SNAPSHOT) => {
                let found = self.domain.lookup_snapshot(&self.name).await;
                found.map(|_| None)
            }
            Err(error) => Err(error),
        }
    }

    /// The snapshots after this one: the next ones, or with `DESCENDANTS` all.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when it is gone.
    #[doc(alias = "virDomainSnapshotListAllChildren")]
    pub async fn children(&self, flags: DomainSnapshotListFlags) -> Result<Vec<Self>, Error> {
        let args = remote::DomainSnapshotListAllChildrenArgs {
            snapshot: self.wire(),
            need_results: 1,
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainSnapshotListAllChildren>(&args);
        let reply = reply.await?;
        let listed = reply.decode()?.snapshots;
        let listed = listed.iter().map(|one| Self::from_wire(&self.domain, one));
        Ok(listed.collect())
    }

    /// Whether it is the one that the next snapshot follows.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when it is gone.
    #[doc(alias = "virDomainSnapshotIsCurrent")]
    pub async fn is_current(&self) -> Result<bool, Error> {
        let args = remote::DomainSnapshotIsCurrentArgs {
            snap: self.wire(),
            flags: 0,
        };
        let reply = self.call::<remote::DomainSnapshotIsCurrent>(&args).await?;
        Ok(reply.decode()?.current != 0)
    }

    /// Deletes the snapshot. With `METADATA_ONLY` the daemon forgets it and the images stay as they
    /// are, which is the way after a commit has brought the overlays back.
    ///
    /// Without that flag daemons before 9.9.0 refuse to delete an external snapshot, and newer ones
    /// run a commit of their own.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when it is gone; `CONFIG_UNSUPPORTED` or `OPERATION_UNSUPPORTED` for an
    /// external snapshot that the daemon cannot delete.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainSnapshotDelete")]
    pub async fn delete(&self, flags: DomainSnapshotDeleteFlags) -> Result<(), Error> {
        let args = remote::DomainSnapshotDeleteArgs {
            snap: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainSnapshotDelete>(&args).await;
        reply.map(drop)
    }
}

impl Domain {
    /// A snapshot of the disks, external, that is not taken yet.
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::Overlay;
    ///
    /// guest
    ///     .disk_snapshot()
    ///     .disk("vda", Overlay::file("/images/guest.overlay"))
    ///     .exclude("vdb")
    ///     .no_metadata()
    ///     .create()
    ///     .await?;
    /// // What was the image of vda can be read by anybody now, until the overlay is committed.
    /// # Ok(()) }
    /// ```
    #[doc(alias = "virDomainSnapshotCreateXML")]
    pub fn disk_snapshot(&self) -> DiskSnapshot {
        DiskSnapshot::new(self)
    }

    /// Takes a snapshot that XML describes, of any kind that the daemon knows.
    ///
    /// # Errors
    ///
    /// `XML_ERROR` and its kin when the daemon cannot use the XML, and what
    /// [`DiskSnapshot::create`] lists.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the answer, the daemon may still take it.
    #[doc(alias = "virDomainSnapshotCreateXML")]
    pub async fn create_snapshot(
        &self,
        xml: &str,
        flags: DomainSnapshotCreateFlags,
    ) -> Result<Snapshot, Error> {
        let args = remote::DomainSnapshotCreateXmlArgs {
            dom: self.wire(),
            xml_desc: Str::from(xml),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainSnapshotCreateXml>(&args).await?;
        Ok(Snapshot::from_wire(self, &reply.decode()?.snap))
    }

    /// The snapshots that match: flags of one group (external, internal, …) add up, groups narrow
    /// each other; with `TOPOLOGICAL` each comes behind the one before it.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainListAllSnapshots")]
    pub async fn snapshots(&self, flags: DomainSnapshotListFlags) -> Result<Vec<Snapshot>, Error> {
        let args = remote::DomainListAllSnapshotsArgs {
            dom: self.wire(),
            need_results: 1,
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainListAllSnapshots>(&args).await?;
        let listed = reply.decode()?.snapshots;
        let listed = listed.iter().map(|one| Snapshot::from_wire(self, one));
        Ok(listed.collect())
    }

    /// Finds a snapshot by name.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_SNAPSHOT` when there is none.
    #[doc(alias = "virDomainSnapshotLookupByName")]
    pub async fn lookup_snapshot(&self, name: &str) -> Result<Snapshot, Error> {
        let args = remote::DomainSnapshotLookupByNameArgs {
            dom: self.wire(),
            name: Str::from(name),
            flags: 0,
        };
        let reply = self.call::<remote::DomainSnapshotLookupByName>(&args);
        let reply = reply.await?;
        Ok(Snapshot::from_wire(self, &reply.decode()?.snap))
    }
}
