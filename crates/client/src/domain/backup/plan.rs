//! What a backup would do, and what stands in its way.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::future::try_join_all;
use virtwire_protocol::constants::{
    DomainGetJobStatsFlags, DomainJobOperation, DomainXmlFlags, ErrorCode,
};

use super::stats::domain_job;
use super::{BackupMode, BackupXml};
use crate::domain::xml::Element;
use crate::{
    BlockJobInfo, CheckpointDescription, CheckpointXml, DiskDescription, Domain, Error, XmlError,
};

/// What a backup would do, as [`Backup::plan`](crate::Backup::plan) gives it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackupPlan {
    /// Who would move the data.
    pub mode: BackupMode,
    /// The disks of which the backup would be.
    pub disks: Vec<PlannedDisk>,
    /// The name of the checkpoint that would be made; `None` when there is to be none, or the
    /// daemon names it.
    pub checkpoint: Option<String>,
    /// What stands in the way.
    pub obstacles: Vec<BackupObstacle>,
}

/// What a backup would do with one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedDisk {
    /// The disk's target.
    pub target: String,
    /// The checkpoint since which it would be; `None` for everything.
    pub incremental: Option<String>,
    /// Where the data would go, or the scratch data in pull mode; `None` when the daemon names the
    /// file.
    pub path: Option<String>,
}

/// What stands in the way of a backup.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BackupObstacle {
    /// The domain does not run.
    NotRunning,
    /// A job of the whole domain is under way, for example another backup. The daemon would wait
    /// for its end, half a minute by default, and then refuse.
    JobOfDomain {
        /// What it does.
        operation: DomainJobOperation,
    },
    /// A block job runs on a disk.
    JobOfDisk {
        /// The disk's target.
        disk: String,
        /// The job.
        job: BlockJobInfo,
    },
    /// The domain has no such disk.
    NoSuchDisk {
        /// The name that was given.
        disk: String,
    },
    /// The same disk is named twice.
    NamedTwice {
        /// The disk's target.
        disk: String,
    },
    /// There is no medium in the drive.
    NoMedium {
        /// The disk's target.
        disk: String,
    },
    /// There is no disk left of which the backup would be.
    NoDisks,
    /// The domain has no such checkpoint.
    NoSuchCheckpoint {
        /// The checkpoint since which the backup was to be.
        checkpoint: String,
    },
    /// A checkpoint does not keep track of a disk.
    NotTracked {
        /// The disk's target.
        disk: String,
        /// The checkpoint since which its backup was to be.
        checkpoint: String,
    },
    /// The domain has a checkpoint of the name that the new one was to have.
    CheckpointExists {
        /// The name.
        checkpoint: String,
    },
    /// The image of a disk cannot keep track of changes, so there can be no checkpoint of it.
    NotQcow2 {
        /// The disk's target.
        disk: String,
    },
    /// The XML of the backup or the checkpoint cannot be read.
    Unreadable(XmlError),
}

impl BackupPlan {
    /// Whether nothing is known to stand in the way.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.obstacles.is_empty()
    }

    pub(super) async fn make(
        domain: &Domain,
        backup: &BackupXml,
        checkpoint: Option<&CheckpointXml>,
    ) -> Result<Self, Error> {
        let mut plan = Self {
            mode: BackupMode::of(backup),
            disks: Vec::new(),
            checkpoint: None,
            obstacles: Vec::new(),
        };
        let disks = domain.disks(DomainXmlFlags::empty()).await?;
        match Element::parse(backup.as_str(), "domainbackup") {
            Ok(root) => plan.select(&root, &disks),
            Err(error) => plan.obstacles.push(BackupObstacle::Unreadable(error)),
        }
        plan.check_jobs(domain).await?;
        plan.check_incremental(domain).await?;
        if let Some(checkpoint) = checkpoint {
            plan.check_checkpoint(domain, checkpoint, &disks).await?;
        }
        Ok(plan)
    }

    /// Finds the disks of which the backup would be.
    fn select(&mut self, root: &Element, disks: &[DiskDescription]) {
        let since = root
            .child_text("incremental")
            .filter(|name| !name.is_empty());
        if root.disks().next().is_none() {
            let all = disks.iter().filter(|disk| is_writable(disk));
            self.disks = all
                .map(|disk| PlannedDisk {
                    target: disk.target.clone(),
                    incremental: since.map(str::to_owned),
                    path: None,
                })
                .collect();
        }
        let mut named = BTreeSet::new();
        for one in root.disks() {
            let target = one.attribute("name").unwrap_or_default();
            let found = disks.iter().find(|disk| disk.target == target);
            let included = one.attribute("backup") != Some("no");
            let disk = target.to_owned();
            match found {
                None => self.obstacles.push(BackupObstacle::NoSuchDisk { disk }),
                Some(_) if !named.insert(target) => {
                    self.obstacles.push(BackupObstacle::NamedTwice { disk });
                }
                Some(found) if included && found.source.is_none() => {
                    self.obstacles.push(BackupObstacle::NoMedium { disk });
                }
                Some(_) if included => self.disks.push(PlannedDisk::read(one, since)),
                Some(_) => {}
            }
        }
        if self.disks.is_empty() && self.obstacles.is_empty() {
            self.obstacles.push(BackupObstacle::NoDisks);
        }
    }

    /// Looks for jobs that are under way.
    async fn check_jobs(&mut self, domain: &Domain) -> Result<(), Error> {
        if !domain.is_active().await? {
            self.obstacles.push(BackupObstacle::NotRunning);
            return Ok(());
        }
        let job = domain_job(domain, DomainGetJobStatsFlags::empty()).await?;
        let operation = job.map(|job| job.operation());
        let found = operation.map(|operation| BackupObstacle::JobOfDomain { operation });
        self.obstacles.extend(found);
        let questions = self.disks.iter().map(|planned| async {
            let job = domain.disk(&planned.target).job_info().await?;
            let disk = planned.target.clone();
            Ok::<_, Error>(job.map(|job| BackupObstacle::JobOfDisk { disk, job }))
        });
        let found = try_join_all(questions).await?;
        self.obstacles.extend(found.into_iter().flatten());
        Ok(())
    }

    /// Looks whether the backup can be incremental.
    async fn check_incremental(&mut self, domain: &Domain) -> Result<(), Error> {
        let wanted = self
            .disks
            .iter()
            .filter_map(|disk| disk.incremental.clone());
        let wanted: BTreeSet<String> = wanted.collect();
        let checkpoints = wanted.into_iter().map(async |name: String| {
            let found = describe(domain, &name).await?;
            Ok::<_, Error>((name, found))
        });
        for (checkpoint, found) in try_join_all(checkpoints).await? {
            let Some(found) = found else {
                let missing = BackupObstacle::NoSuchCheckpoint { checkpoint };
                self.obstacles.push(missing);
                continue;
            };
            let since = Some(checkpoint.as_str());
            let disks = self.disks.iter();
            let untracked = disks
                .filter(|disk| disk.incremental.as_deref() == since && !found.covers(&disk.target))
                .map(|disk| BackupObstacle::NotTracked {
                    disk: disk.target.clone(),
                    checkpoint: checkpoint.clone(),
                });
            self.obstacles.extend(untracked);
        }
        Ok(())
    }

    /// Looks whether the checkpoint can be made.
    async fn check_checkpoint(
        &mut self,
        domain: &Domain,
        checkpoint: &CheckpointXml,
        disks: &[DiskDescription],
    ) -> Result<(), Error> {
        let root = match Element::parse(checkpoint.as_str(), "domaincheckpoint") {
            Ok(root) => root,
            Err(error) => {
                self.obstacles.push(BackupObstacle::Unreadable(error));
                return Ok(());
            }
        };
        let everything = root.disks().next().is_none();
        let tracked = |disk: &&DiskDescription| {
            let mut named = root
                .disks()
                .filter(|one| one.attribute("checkpoint") != Some("no"));
            (everything && is_writable(disk))
                || named.any(|one| one.attribute("name") == Some(&disk.target))
        };
        let cannot = disks
            .iter()
            .filter(tracked)
            .filter(|disk| disk.format.as_deref() != Some("qcow2"))
            .map(|disk| BackupObstacle::NotQcow2 {
                disk: disk.target.clone(),
            });
        self.obstacles.extend(cannot);
        let name = root.child_text("name").filter(|name| !name.is_empty());
        let Some(name) = name else { return Ok(()) };
        self.checkpoint = Some(name.to_owned());
        if describe(domain, name).await?.is_some() {
            let checkpoint = name.to_owned();
            let exists = BackupObstacle::CheckpointExists { checkpoint };
            self.obstacles.push(exists);
        }
        Ok(())
    }
}

impl PlannedDisk {
    fn read(disk: &Element, since: Option<&str>) -> Self {
        let own = disk.attribute("incremental");
        let full = disk.attribute("backupmode") == Some("full");
        let since = own.or(since).filter(|_| !full);
        let place = disk.child("target").or_else(|| disk.child("scratch"));
        let path =
            place.and_then(|place| place.attribute("file").or_else(|| place.attribute("dev")));
        Self {
            target: disk.attribute("name").unwrap_or_default().to_owned(),
            incremental: since.map(str::to_owned),
            path: path.map(str::to_owned),
        }
    }
}

/// Whether the guest can write to it, which is what a backup is of when nothing is said.
fn is_writable(disk: &DiskDescription) -> bool {
    disk.source.is_some() && !disk.read_only
}

async fn describe(domain: &Domain, name: &str) -> Result<Option<CheckpointDescription>, Error> {
    let found = match domain.lookup_checkpoint(name).await {
        Ok(checkpoint) => checkpoint.description().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(description) => Ok(Some(description)),
        Err(error) if error.has_code(ErrorCode::NO_DOMAIN_CHECKPOINT) => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for BackupObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("the domain does not run"),
            Self::JobOfDomain { operation } => {
                let name = operation.name().unwrap_or("other").to_lowercase();
                write!(f, "a job of the domain is under way ({name})")
            }
            Self::JobOfDisk { disk, job } => {
                let name = job.kind.name().unwrap_or("other").to_lowercase();
                write!(f, "a block job runs on {disk} ({name})")
            }
            Self::NoSuchDisk { disk } => write!(f, "the domain has no disk {disk}"),
            Self::NamedTwice { disk } => write!(f, "{disk} is named twice"),
            Self::NoMedium { disk } => write!(f, "there is no medium in {disk}"),
            Self::NoDisks => f.write_str("there is no disk to back up"),
            Self::NoSuchCheckpoint { checkpoint } => {
                write!(f, "the domain has no checkpoint {checkpoint}")
            }
            Self::NotTracked { disk, checkpoint } => {
                write!(
                    f,
                    "the checkpoint {checkpoint} does not keep track of {disk}"
                )
            }
            Self::CheckpointExists { checkpoint } => {
                write!(f, "the domain has a checkpoint {checkpoint} already")
            }
            Self::NotQcow2 { disk } => {
                write!(
                    f,
                    "the image of {disk} cannot have a checkpoint, not being qcow2"
                )
            }
            Self::Unreadable(error) => write!(f, "{error}"),
        }
    }
}
