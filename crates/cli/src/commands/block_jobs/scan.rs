//! Finding the jobs that run.

use futures_util::future::join_all;
use virtwire::constants::{ConnectListAllDomainsFlags, DomainXmlFlags, ErrorCode};
use virtwire::{
    BlockJobInfo, Connection, Disk, DiskDescription, Domain, Error, Mirror, MirrorReady,
};

use crate::failure::Failure;

/// A job that runs.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its disk, named by its target.
    pub(super) disk: Disk,
    pub(super) info: BlockJobInfo,
    /// Whether the XML says that it can be pivoted.
    pub(super) ready: bool,
}

/// The jobs of one domain, or of all that run. The questions travel together, as many as the
/// connection lets through.
pub(super) async fn all(
    connection: &Connection,
    only: Option<&Domain>,
) -> Result<Vec<Found>, Failure> {
    let domains = match only {
        Some(domain) => vec![domain.clone()],
        None => {
            connection
                .list_domains(ConnectListAllDomainsFlags::ACTIVE)
                .await?
        }
    };
    let mut found = Vec::new();
    for jobs in join_all(domains.iter().map(of_domain)).await {
        found.extend(jobs?);
    }
    Ok(found)
}

async fn of_domain(domain: &Domain) -> Result<Vec<Found>, Error> {
    let disks = match domain.disks(DomainXmlFlags::empty()).await {
        Ok(disks) => disks,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let with_source = disks.iter().filter(|disk| disk.source.is_some());
    let jobs = join_all(with_source.map(|description| of_disk(domain, description))).await;
    jobs.into_iter().filter_map(Result::transpose).collect()
}

async fn of_disk(domain: &Domain, description: &DiskDescription) -> Result<Option<Found>, Error> {
    let disk = domain.disk(&description.target);
    Ok(job(&disk).await?.map(|info| Found {
        disk,
        info,
        ready: is_ready(description.mirror.as_ref()),
    }))
}

/// What the job of a disk is doing; `None` where there is none any more, disk and domain included.
pub(super) async fn job(disk: &Disk) -> Result<Option<BlockJobInfo>, Error> {
    match disk.job_info().await {
        Err(error) if is_gone(&error) => Ok(None),
        result => result,
    }
}

fn is_ready(mirror: Option<&Mirror>) -> bool {
    mirror.is_some_and(|mirror| mirror.ready == MirrorReady::Yes)
}

/// Domains stop and disks are taken away between two questions.
fn is_gone(error: &Error) -> bool {
    [
        ErrorCode::NO_DOMAIN,
        ErrorCode::OPERATION_INVALID,
        ErrorCode::INVALID_ARG,
    ]
    .iter()
    .any(|&code| error.has_code(code))
}
