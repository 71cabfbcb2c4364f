//! Backups of a running domain's disks, of one moment: a job of the whole domain.
//!
//! In push mode the hypervisor writes the data where it is told to; in pull mode it offers the data
//! by the protocol NBD until somebody ends the backup. [`Domain::backup`] begins either and gives a
//! [`BackupJob`], which learns how the backup ended from what the daemon says of its success: a
//! backup that is gone may have completed, failed or been cancelled, and one that is fetched ends
//! as every cancelled job does, and is told so by its disks. Where nobody says any more how it
//! ended, the outcome is [`BackupOutcome::Vanished`].
//!
//! Events are asked for before the backup begins, so one that is over before the answer to its
//! start is no less certain. If an event was lost, the daemon's own record of the last backup of the
//! domain stands in for it, provided that it began when ours did; it is not taken from those who ask
//! for it later.

mod description;
mod identity;
mod monitor;
mod outcome;
mod plan;
mod progress;
mod start;
mod stats;

pub use description::{BackupServer, BackupXml, PullBackup, PullDisk, PushBackup, PushDisk};
pub use outcome::{BackupEvidence, BackupFailure, BackupOutcome};
pub use plan::{BackupObstacle, BackupPlan, PlannedDisk};
pub use progress::BackupProgress;
pub use start::Backup;
pub use stats::BackupStats;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use virtwire_protocol::constants::{DomainGetJobStatsFlags, ErrorCode};
use virtwire_protocol::remote;

use self::monitor::BackupState;
use self::stats::{DomainJob, domain_job};
use super::pace::Pace;
use crate::domain::xml::Element;
use crate::error::Cause;
use crate::{Domain, Error, VanishedReason};

/// How long a backup may go on after the daemon refused to end it, before the refusal counts.
/// Longer than the monitor takes to notice that a backup is gone without an event.
const ENDING_GRACE: Duration = Duration::from_secs(5);

/// Who moves the data of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackupMode {
    /// The hypervisor writes it.
    Push,
    /// Somebody fetches it.
    Pull,
}

impl BackupMode {
    /// The name in the XML.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }

    fn of(xml: &BackupXml) -> Self {
        let root = Element::parse(xml.as_str(), "domainbackup");
        match root {
            Ok(root) if root.attribute("mode") == Some("pull") => Self::Pull,
            _ => Self::Push,
        }
    }
}

impl fmt::Display for BackupMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A backup that is under way: one that this process [started](Backup::start) or
/// [found](Domain::backup_job).
///
/// Clones are handles to the same backup. Dropping them all leaves it running.
#[derive(Debug, Clone)]
pub struct BackupJob {
    domain: Domain,
    mode: BackupMode,
    state: watch::Receiver<BackupState>,
    pace: Arc<Pace>,
}

impl BackupJob {
    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Who moves the data.
    #[must_use]
    pub fn mode(&self) -> BackupMode {
        self.mode
    }

    /// What the daemon says of the backup now; `None` when it is over or about to be, which says
    /// nothing about how: that is what [`wait`](Self::wait) is for.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when the domain does not run any more.
    #[doc(alias = "virDomainGetJobStats")]
    pub async fn stats(&self) -> Result<Option<BackupStats>, Error> {
        let job = domain_job(&self.domain, DomainGetJobStatsFlags::empty()).await?;
        Ok(job.and_then(DomainJob::backup))
    }

    /// The backup's progress: an item at once if there are figures, then one each time that the
    /// daemon was asked, twice a second, until the backup is over.
    #[must_use]
    pub fn progress(&self) -> BackupProgress {
        self.progress_every(Duration::from_millis(500))
    }

    /// As [`progress`](Self::progress), with the daemon asked at the given interval (at least a
    /// millisecond). Of several streams of one backup the most impatient sets the pace.
    #[must_use]
    pub fn progress_every(&self, interval: Duration) -> BackupProgress {
        BackupProgress::new(self.state.clone(), self.pace.quicken(interval))
    }

    /// The XML of the backup, with what the daemon has added: names of files and exports.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_BACKUP` when it is over.
    #[doc(alias = "virDomainBackupGetXMLDesc")]
    pub async fn xml(&self) -> Result<String, Error> {
        self.domain.backup_xml().await
    }

    /// Ends a backup in pull mode, which is how one completes: to be called when everything has
    /// been fetched. Waits until it is over.
    ///
    /// # Errors
    ///
    /// Kind `InvalidInput` in push mode, where it would cancel the backup: nothing is sent. When
    /// the daemon refuses, other than because the backup is over.
    ///
    /// # Cancel safety
    ///
    /// Once the request is sent the backup will be ended whether or not anybody waits.
    #[doc(alias = "virDomainAbortJob")]
    pub async fn finish(&self) -> Result<BackupOutcome, Error> {
        if self.mode == BackupMode::Push {
            return Err(Error::new(Cause::InvalidInput {
                what: "finishing a backup",
                limit: "one in pull mode",
                given: "one in push mode".to_owned(),
            }));
        }
        self.end().await
    }

    /// Asks the daemon to cancel the backup and waits until it is over. A backup that won the race
    /// has another outcome than `Cancelled`. In pull mode this is the same as
    /// [`finish`](Self::finish), and the daemon calls the backup completed.
    ///
    /// # Errors
    ///
    /// When the daemon refuses, other than because the backup is over.
    ///
    /// # Cancel safety
    ///
    /// Once the request is sent the backup will be ended whether or not anybody waits.
    #[doc(alias = "virDomainAbortJob")]
    pub async fn cancel(&self) -> Result<BackupOutcome, Error> {
        self.end().await
    }

    async fn end(&self) -> Result<BackupOutcome, Error> {
        loop {
            let gone = self.state.borrow().gone;
            if gone || self.outcome().is_some() {
                return Ok(self.wait().await);
            }
            let Err(refusal) = self.domain.abort_job().await else {
                return Ok(self.wait().await);
            };
            self.pace.hurry();
            // The connection was lost over it, and nobody knows whether the daemon has heard it: a
            // backup that is still there has to be ended once more.
            let asked_again = refusal.is_closed() && matches!(self.stats().await, Ok(Some(_)));
            if !asked_again {
                return self.end_despite(refusal).await;
            }
        }
    }

    /// A backup may end while we ask to end it: then there is no job to be ended.
    async fn end_despite(&self, refusal: Error) -> Result<BackupOutcome, Error> {
        if refusal.has_code(ErrorCode::OPERATION_INVALID) || refusal.is_closed() {
            return Ok(self.wait().await);
        }
        timeout(ENDING_GRACE, self.wait())
            .await
            .map_err(|_| refusal)
    }

    /// The outcome, if the backup is over.
    #[must_use]
    pub fn outcome(&self) -> Option<BackupOutcome> {
        self.state.borrow().outcome.clone()
    }

    /// Waits until the backup is over and says how it ended. May be called any number of times. A
    /// backup in pull mode is not over before somebody [ends](Self::finish) it.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost by dropping the future.
    pub async fn wait(&self) -> BackupOutcome {
        let mut state = self.state.clone();
        let outcome = match state.wait_for(|state| state.outcome.is_some()).await {
            Ok(state) => state.outcome.clone(),
            Err(_) => self.outcome(),
        };
        outcome.unwrap_or_else(|| {
            let stats = self.state.borrow().stats.clone();
            let evidence = BackupEvidence::new(VanishedReason::Unwatched, stats);
            BackupOutcome::Vanished(Box::new(evidence))
        })
    }
}

impl Domain {
    /// A backup of the disks, not begun yet.
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::{BackupOutcome, NewCheckpoint, PushBackup, PushDisk};
    ///
    /// // What was written to vda since Monday, and a checkpoint for the next time.
    /// let changes = PushBackup::new()
    ///     .disk("vda", PushDisk::file("/backup/guest-vda.tuesday"))
    ///     .incremental("monday");
    /// let job = guest
    ///     .backup(changes)
    ///     .checkpoint(NewCheckpoint::named("tuesday").disk("vda"))
    ///     .start()
    ///     .await?;
    /// let mut progress = job.progress();
    /// while let Some(now) = progress.next().await {
    ///     println!("{:.0} %", now.percent());
    /// }
    /// match job.wait().await {
    ///     BackupOutcome::Completed => println!("done"),
    ///     other => println!("the backup {other}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// In pull mode the data is to be fetched before the backup is ended:
    ///
    /// ```no_run
    /// # async fn fetch() {}
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::{BackupServer, PullBackup, PullDisk};
    ///
    /// let server = BackupServer::unix("/run/backup.sock");
    /// let backup = PullBackup::new(server).disk("vda", PullDisk::scratch_file("/scratch/vda"));
    /// let job = guest.backup(backup).start().await?;
    /// fetch().await; // nbd+unix:///vda?socket=/run/backup.sock
    /// job.finish().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "virDomainBackupBegin")]
    pub fn backup(&self, backup: impl Into<BackupXml>) -> Backup {
        Backup::new(self, backup.into())
    }

    /// The XML of the backup that is under way, with what the daemon has added: names of files and
    /// exports.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN_BACKUP` when there is none.
    #[doc(alias = "virDomainBackupGetXMLDesc")]
    pub async fn backup_xml(&self) -> Result<String, Error> {
        let args = remote::DomainBackupGetXmlDescArgs {
            dom: self.wire(),
            flags: 0,
        };
        let reply = self.call::<remote::DomainBackupGetXmlDesc>(&args).await?;
        Ok(reply.decode()?.xml.to_string_lossy().into_owned())
    }

    /// Ends the job of the whole domain that is under way, whoever started it: a migration, a save,
    /// a dump or a backup. Returns before it is over.
    ///
    /// # Errors
    ///
    /// `OPERATION_INVALID` when there is none, when it cannot be ended, or when the domain does not
    /// run.
    ///
    /// # Cancel safety
    ///
    /// As every call: dropped before the answer, the daemon may still execute it.
    #[doc(alias = "virDomainAbortJob")]
    pub async fn abort_job(&self) -> Result<(), Error> {
        let args = remote::DomainAbortJobArgs { dom: self.wire() };
        self.call::<remote::DomainAbortJob>(&args).await.map(drop)
    }
}
