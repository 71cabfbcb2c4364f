//! Jobs that are running already, whoever started them.

use futures_util::future::join_all;
use virtwire_protocol::constants::{DomainBlockJobType, DomainXmlFlags, ErrorCode};

use super::monitor::Monitor;
use super::subject::{Subject, described};
use super::watch::Watch;
use super::{BlockJob, BlockJobInfo};
use crate::{Disk, DiskDescription, Domain, Error, MirrorJob, MirrorReady};

/// A job that runs on one of a domain's disks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningBlockJob {
    /// The disk, named by its target.
    pub disk: Disk,
    /// What the daemon says of the job, and by the XML whether it is ready.
    pub info: BlockJobInfo,
    /// The disk as the XML describes it.
    pub description: DiskDescription,
}

impl BlockJob {
    /// Takes over the job that runs on a disk, whoever started it: after a crash of our own
    /// process, for example. `None` when there is none.
    ///
    /// Nothing on the wire says whose job it is. One that can be pivoted already is
    /// [ready](Self::is_ready) at once.
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::BlockJob;
    ///
    /// if let Some(job) = BlockJob::attach(&guest.disk("vda")).await? {
    ///     println!("found a job that {}", job.wait().await);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_ARG` when the domain has no such disk; `OPERATION_INVALID` when it does not run.
    pub async fn attach(disk: &Disk) -> Result<Option<Self>, Error> {
        let domain = disk.domain();
        // Whatever happens from here on is heard.
        let watch = Watch::begin(domain).await?;
        let described = described(domain, DomainXmlFlags::empty()).await?;
        // Of what kind it is, the daemon has yet to say.
        let mut subject = Subject::found(disk, DomainBlockJobType::UNKNOWN, described);
        let Some(info) = subject.disk.job_info().await? else {
            return Ok(None);
        };
        subject.kind = info.kind;
        if subject.before.as_ref().is_some_and(is_ending) {
            // The XML shows the new image already.
            subject.before = None;
        }
        subject.read_definition().await;
        let ready = info.is_mirror() && subject.before.as_ref().is_some_and(is_ready);
        Ok(Some(
            Monitor::new(subject, watch).found(info, ready).started(),
        ))
    }
}

/// Whether a mirror has done its work and is being taken down.
fn is_ending(disk: &DiskDescription) -> bool {
    let mirror = disk.mirror.as_ref();
    mirror.is_some_and(|mirror| mirror.job == MirrorJob::Ending)
}

fn is_ready(disk: &DiskDescription) -> bool {
    let mirror = disk.mirror.as_ref();
    mirror.is_some_and(|mirror| mirror.ready == MirrorReady::Yes)
}

impl Domain {
    /// The jobs that run on the disks of the domain; none when it does not run. The disks are
    /// asked about all at once.
    ///
    /// # Errors
    ///
    /// `NO_DOMAIN` when the domain is gone.
    #[doc(alias = "virDomainGetBlockJobInfo")]
    pub async fn block_jobs(&self) -> Result<Vec<RunningBlockJob>, Error> {
        let described = described(self, DomainXmlFlags::empty()).await?;
        if described.id.is_none() {
            return Ok(Vec::new());
        }
        let disks = described.disks.into_iter();
        let asked = disks.map(|description| self.block_job_of(description));
        let found: Result<Vec<_>, Error> = join_all(asked).await.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    async fn block_job_of(
        &self,
        description: DiskDescription,
    ) -> Result<Option<RunningBlockJob>, Error> {
        let disk = self.disk(&description.target);
        match disk.job_info().await {
            Ok(None) => Ok(None),
            Ok(Some(info)) => Ok(Some(RunningBlockJob {
                disk,
                info: BlockJobInfo {
                    ready: info.is_mirror() && is_ready(&description),
                    ..info
                },
                description,
            })),
            // The disk has been taken away since, or the domain has stopped.
            Err(error)
                if error.has_code(ErrorCode::INVALID_ARG)
                    || error.has_code(ErrorCode::OPERATION_INVALID) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
