use tokio::time::Instant;
use virtwire_protocol::constants::DomainBackupBeginFlags;
use virtwire_protocol::remote;
use virtwire_xdr::Str;

use super::monitor::Monitor;
use super::{BackupJob, BackupMode, BackupPlan, BackupXml};
use crate::{CheckpointXml, Domain, Error};

/// A backup that is not begun yet. Made by [`Domain::backup`].
#[derive(Debug, Clone)]
#[must_use = "a backup does nothing until it is started"]
pub struct Backup {
    domain: Domain,
    xml: BackupXml,
    checkpoint: Option<CheckpointXml>,
    flags: DomainBackupBeginFlags,
}

impl Backup {
    pub(super) fn new(domain: &Domain, xml: BackupXml) -> Self {
        Self {
            domain: domain.clone(),
            xml,
            checkpoint: None,
            flags: DomainBackupBeginFlags::empty(),
        }
    }

    /// Makes a checkpoint of the same moment, from which the next backup can go on.
    ///
    /// It stays when the backup does not complete: then delete it, or what was written between the
    /// last good backup and this one will be missing from the next.
    pub fn checkpoint(mut self, checkpoint: impl Into<CheckpointXml>) -> Self {
        self.checkpoint = Some(checkpoint.into());
        self
    }

    /// The files are there already, of the right size and format: the daemon neither makes nor
    /// removes them.
    #[doc(alias = "VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL")]
    pub fn reuse_external(mut self) -> Self {
        self.flags |= DomainBackupBeginFlags::REUSE_EXTERNAL;
        self
    }

    /// Keeps the domain until the backup is over, paused, when the guest shuts down. Since libvirt
    /// 11.10.0; an older daemon refuses the backup.
    #[doc(alias = "VIR_DOMAIN_BACKUP_BEGIN_PRESERVE_SHUTDOWN_DOMAIN")]
    pub fn preserve_shutdown_domain(mut self) -> Self {
        self.flags |= DomainBackupBeginFlags::PRESERVE_SHUTDOWN_DOMAIN;
        self
    }

    /// The XML that is sent.
    #[must_use]
    pub fn xml(&self) -> &BackupXml {
        &self.xml
    }

    /// Finds out what the backup would do and what stands in its way, without beginning it.
    ///
    /// Worth it because of one obstacle above all: while a backup or another job of the whole
    /// domain is under way, the daemon does not refuse another but has it wait, half a minute by
    /// default, before it gives up.
    ///
    /// What it says may be out of date as soon as it is said, and that there is no obstacle is no
    /// promise: whether the host has room and the hypervisor's user may write there, only the
    /// backup tells.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone, and those of any call. What would have the daemon
    /// refuse the backup is no error here but an [obstacle](crate::BackupObstacle).
    pub async fn plan(&self) -> Result<BackupPlan, Error> {
        BackupPlan::make(&self.domain, &self.xml, self.checkpoint.as_ref()).await
    }

    /// Begins the backup.
    ///
    /// The events that announce its end are asked for first, so none can be missed.
    ///
    /// # Errors
    ///
    /// `OPERATION_UNSUPPORTED` when the domain does not run; `OPERATION_TIMEOUT`, after half a
    /// minute by default, when another job of the whole domain is under way; `INTERNAL_ERROR` or
    /// `BLOCK_COPY_ACTIVE` when a block job runs on one of the disks; `NO_DOMAIN_CHECKPOINT` or
    /// `CHECKPOINT_INCONSISTENT` when it cannot be incremental; `INVALID_ARG` when a file is there
    /// that is not to be reused; `XML_ERROR`, `CONFIG_UNSUPPORTED` and the hypervisor's words for
    /// the rest. After an error whose [`execution`](Error::execution) is `MaybeExecuted` the backup
    /// may run nonetheless: [`Domain::backup_job`] tells.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the backup may or may not have begun: [`Domain::backup_job`]
    /// tells.
    #[doc(alias = "virDomainBackupBegin")]
    pub async fn start(self) -> Result<BackupJob, Error> {
        let monitor = Monitor::prepare(&self.domain).await?;
        let args = remote::DomainBackupBeginArgs {
            dom: self.domain.wire(),
            backup_xml: Str::from(self.xml.as_str()),
            checkpoint_xml: self.checkpoint.as_ref().map(|xml| Str::from(xml.as_str())),
            flags: self.flags.bits(),
        };
        let asked = Instant::now();
        self.domain.call::<remote::DomainBackupBegin>(&args).await?;
        Ok(monitor.started(BackupMode::of(&self.xml), Some(asked)))
    }
}
