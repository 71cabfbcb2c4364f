//! Domains: the guests of a host.

mod backup;
pub mod block_job;
mod checkpoint;
mod disk;
mod disk_size;
mod filesystem;
mod info;
mod list;
mod pace;
mod snapshot;
mod xml;

pub use backup::{
    Backup, BackupEvidence, BackupFailure, BackupJob, BackupMode, BackupObstacle, BackupOutcome,
    BackupPlan, BackupProgress, BackupServer, BackupStats, BackupXml, PlannedDisk, PullBackup,
    PullDisk, PushBackup, PushDisk,
};
pub use block_job::{
    BlockCopy, BlockJob, BlockJobInfo, CommitActive, CommitBase, CommitInner, Convergence,
    CopyDestination, DiskEnd, Evidence, JobAfterwards, JobFailure, JobSet, JobStart, NextStart,
    Obstacle, Outcome, Plan, Progress, ProgressStream, Pull, Readiness, RunningBlockJob, SetEnd,
    SetNotStarted, VanishedReason, Verdict,
};
pub use checkpoint::{
    Checkpoint, CheckpointDescription, CheckpointDisk, CheckpointXml, NewCheckpoint,
};
pub use disk::{BlockInfo, Disk};
pub use info::{DomainInfo, DomainStatus};
pub use list::ListedDomain;
pub use snapshot::{DiskSnapshot, Overlay, Snapshot};
pub use xml::*;

use std::fmt;
use std::future::Future;

use virtwire_protocol::constants::{
    DomainCreateFlags, DomainDefineFlags, DomainDestroyFlags, DomainShutdownFlags,
    DomainUndefineFlags, DomainXmlFlags,
};
use virtwire_protocol::{Procedure, remote};
use virtwire_xdr::Str;

use crate::{Connection, Error, Reply, Uuid};

/// A domain on a host: its identity and the connection to ask about it.
///
/// A handle is a name for a domain, not the domain: holding one keeps nothing alive on the host,
/// and a domain that is gone answers with `NO_DOMAIN`. The daemon finds a domain by its UUID
/// alone; the name and the ID are those of the moment the handle was made.
#[derive(Clone)]
#[doc(alias = "virDomain")]
pub struct Domain {
    connection: Connection,
    name: String,
    uuid: Uuid,
    id: Option<u32>,
}

impl Domain {
    pub(crate) fn from_wire(connection: &Connection, wire: &remote::NonnullDomain<'_>) -> Self {
        Self {
            connection: connection.clone(),
            name: wire.name.to_string_lossy().into_owned(),
            uuid: Uuid::from(wire.uuid),
            id: u32::try_from(wire.id).ok(),
        }
    }

    pub(crate) fn wire(&self) -> remote::NonnullDomain<'_> {
        remote::NonnullDomain {
            name: Str::from(&self.name),
            uuid: *self.uuid.as_bytes(),
            id: self.id.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1),
        }
    }

    /// Calls a procedure about this domain, which errors name.
    pub(crate) fn call<P: Procedure>(
        &self,
        args: &P::Args<'_>,
    ) -> impl Future<Output = Result<Reply<P>, Error>> + Send + use<'_, P> {
        self.connection
            .call_about::<P, _>(args, || Some(self.name.clone()))
    }

    /// The connection that this handle asks.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The name at the time the handle was made.
    #[must_use]
    #[doc(alias = "virDomainGetName")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The UUID, which never changes.
    #[must_use]
    #[doc(alias = "virDomainGetUUID")]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The ID at the time the handle was made; `None` when the domain was not running.
    #[must_use]
    #[doc(alias = "virDomainGetID")]
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// The same domain asked for over another connection, for example one with a deadline.
    #[must_use]
    pub fn with_connection(&self, connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            ..self.clone()
        }
    }

    /// Starts the defined domain and returns a handle with its new ID.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when it runs already.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainCreateWithFlags")]
    pub async fn create(&self, flags: DomainCreateFlags) -> Result<Self, Error> {
        let args = remote::DomainCreateWithFlagsArgs {
            dom: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCreateWithFlags>(&args).await?;
        Ok(Self::from_wire(&self.connection, &reply.decode()?.dom))
    }

    /// Pauses the guest's processors.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run.
    #[doc(alias = "virDomainSuspend")]
    pub async fn suspend(&self) -> Result<(), Error> {
        let args = remote::DomainSuspendArgs { dom: self.wire() };
        self.call::<remote::DomainSuspend>(&args).await.map(drop)
    }

    /// Lets paused processors run again.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run.
    #[doc(alias = "virDomainResume")]
    pub async fn resume(&self) -> Result<(), Error> {
        let args = remote::DomainResumeArgs { dom: self.wire() };
        self.call::<remote::DomainResume>(&args).await.map(drop)
    }

    /// Asks the guest to shut down and returns before it has.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run.
    #[doc(alias = "virDomainShutdownFlags")]
    pub async fn shutdown(&self, flags: DomainShutdownFlags) -> Result<(), Error> {
        let args = remote::DomainShutdownFlagsArgs {
            dom: self.wire(),
            flags: flags.bits(),
        };
        self.call::<remote::DomainShutdownFlags>(&args)
            .await
            .map(drop)
    }

    /// Stops the domain at once, as pulling the plug would. A block job of its disks ends without
    /// an event.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run.
    #[doc(alias = "virDomainDestroyFlags")]
    pub async fn destroy(&self, flags: DomainDestroyFlags) -> Result<(), Error> {
        let args = remote::DomainDestroyFlagsArgs {
            dom: self.wire(),
            flags: flags.bits(),
        };
        self.call::<remote::DomainDestroyFlags>(&args)
            .await
            .map(drop)
    }

    /// Removes the definition; a running domain becomes transient.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain is transient or the flags do not cover what it has
    /// (a managed save image, snapshots, NVRAM).
    #[doc(alias = "virDomainUndefineFlags")]
    pub async fn undefine(&self, flags: DomainUndefineFlags) -> Result<(), Error> {
        let args = remote::DomainUndefineFlagsArgs {
            dom: self.wire(),
            flags: flags.bits(),
        };
        self.call::<remote::DomainUndefineFlags>(&args)
            .await
            .map(drop)
    }

    /// The XML description, live unless the flags ask for the inactive one.
    ///
    /// # Errors
    ///
    /// `OPERATION_DENIED` for `SECURE` over a read-only connection.
    #[doc(alias = "virDomainGetXMLDesc")]
    pub async fn xml(&self, flags: DomainXmlFlags) -> Result<String, Error> {
        let args = remote::DomainGetXmlDescArgs {
            dom: self.wire(),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainGetXmlDesc>(&args).await?;
        Ok(reply.decode()?.xml.to_string_lossy().into_owned())
    }

    /// The disks of the XML description that the flags choose, with their backing chains.
    ///
    /// # Errors
    ///
    /// Those of [`xml`](Self::xml), and kind `Protocol` when the XML cannot be read.
    pub async fn disks(&self, flags: DomainXmlFlags) -> Result<Vec<DiskDescription>, Error> {
        let xml = self.xml(flags).await?;
        disks_from_xml(&xml).map_err(|error| crate::error::Cause::Xml(error).into())
    }

    /// One disk, by its target name (`vda`) or by an unambiguous source path. Nothing is sent.
    #[must_use]
    pub fn disk(&self, path: impl Into<String>) -> Disk {
        Disk::new(self.clone(), path.into())
    }
}

impl PartialEq for Domain {
    /// Two handles are equal when they name the same domain.
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl Eq for Domain {}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Finds a domain by name.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when there is none.
    #[doc(alias = "virDomainLookupByName")]
    pub async fn lookup_domain_by_name(&self, name: &str) -> Result<Domain, Error> {
        let args = remote::DomainLookupByNameArgs {
            name: Str::from(name),
        };
        let reply = self.call::<remote::DomainLookupByName>(args).await?;
        Ok(Domain::from_wire(self, &reply.decode()?.dom))
    }

    /// Finds a domain by UUID.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when there is none.
    #[doc(alias = "virDomainLookupByUUID")]
    pub async fn lookup_domain_by_uuid(&self, uuid: Uuid) -> Result<Domain, Error> {
        let args = remote::DomainLookupByUuidArgs {
            uuid: *uuid.as_bytes(),
        };
        let reply = self.call::<remote::DomainLookupByUuid>(args).await?;
        Ok(Domain::from_wire(self, &reply.decode()?.dom))
    }

    /// Finds a running domain by ID.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when there is none.
    #[doc(alias = "virDomainLookupByID")]
    pub async fn lookup_domain_by_id(&self, id: u32) -> Result<Domain, Error> {
        let id = i32::try_from(id).map_err(|_| crate::error::Cause::InvalidInput {
            what: "a domain ID",
            limit: "at most 2147483647",
            given: id.to_string(),
        })?;
        let args = remote::DomainLookupByIdArgs { id };
        let reply = self.call::<remote::DomainLookupById>(args).await?;
        Ok(Domain::from_wire(self, &reply.decode()?.dom))
    }

    /// Defines a persistent domain, or redefines it, without starting it.
    ///
    /// # Errors
    ///
    /// `XML_ERROR` and its kin when the daemon cannot use the XML.
    #[doc(alias = "virDomainDefineXMLFlags")]
    pub async fn define_domain(
        &self,
        xml: &str,
        flags: DomainDefineFlags,
    ) -> Result<Domain, Error> {
        let args = remote::DomainDefineXmlFlagsArgs {
            xml: Str::from(xml),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainDefineXmlFlags>(args).await?;
        Ok(Domain::from_wire(self, &reply.decode()?.dom))
    }

    /// Starts a domain from XML: a transient one, unless it is defined already.
    ///
    /// # Errors
    ///
    /// `OPERATION_FAILED` when a domain of that name or UUID runs, and what the hypervisor says.
    #[doc(alias = "virDomainCreateXML")]
    pub async fn create_domain(
        &self,
        xml: &str,
        flags: DomainCreateFlags,
    ) -> Result<Domain, Error> {
        let args = remote::DomainCreateXmlArgs {
            xml_desc: Str::from(xml),
            flags: flags.bits(),
        };
        let reply = self.call::<remote::DomainCreateXml>(args).await?;
        Ok(Domain::from_wire(self, &reply.decode()?.dom))
    }
}
