//! Finding the jobs that run.

use futures_util::future::join_all;
use virtwire::constants::{ConnectListAllDomainsFlags, ErrorCode};
use virtwire::{BlockJobInfo, Connection, Disk, Domain, Error, RunningBlockJob};

use crate::failure::Failure;

/// The jobs of one domain, or of all that run. The questions travel together, as many as the
/// connection lets through.
pub(super) async fn all(
    connection: &Connection,
    only: Option<Domain>,
) -> Result<Vec<(Domain, Vec<RunningBlockJob>)>, Failure> {
    if let Some(domain) = only {
        let jobs = domain.block_jobs().await?;
        return Ok(vec![(domain, jobs)]);
    }
    let running = ConnectListAllDomainsFlags::ACTIVE;
    let domains = connection.list_domains(running).await?;
    let found = join_all(domains.iter().map(Domain::block_jobs)).await;
    let mut all = Vec::with_capacity(domains.len());
    for (domain, jobs) in domains.into_iter().zip(found) {
        match jobs {
            Ok(jobs) => all.push((domain, jobs)),
            // It was there when the list was made.
            Err(error) if error.has_code(ErrorCode::NO_DOMAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// What the job of a disk is doing; `None` where there is none any more, disk and domain included.
pub(super) async fn job(disk: &Disk) -> Result<Option<BlockJobInfo>, Error> {
    let gone = [
        ErrorCode::NO_DOMAIN,
        ErrorCode::OPERATION_INVALID,
        ErrorCode::INVALID_ARG,
    ];
    match disk.job_info().await {
        Err(error) if gone.iter().any(|&code| error.has_code(code)) => Ok(None),
        result => result,
    }
}
