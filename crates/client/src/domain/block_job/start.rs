//! What the start of every job has in common.

use std::future::Future;

use virtwire_protocol::constants::DomainBlockJobType;

use super::BlockJob;
use super::monitor::Monitor;
use super::subject::Subject;
use crate::{Disk, Error};

/// A job that can be started.
pub(super) trait Startable: Sync {
    const KIND: DomainBlockJobType;

    /// The disk as the caller named it.
    fn disk(&self) -> &Disk;

    /// Refuses what makes no sense, and notes where the job leads.
    fn check(&self, _subject: &mut Subject) -> Result<(), Error> {
        Ok(())
    }

    /// Makes the call that starts the job.
    fn send(&self, disk: &Disk) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Looks at the disk, asks for the events, then starts the job.
pub(super) async fn start<J: Startable>(job: &J) -> Result<BlockJob, Error> {
    let mut subject = Subject::read(job.disk(), J::KIND).await?;
    job.check(&mut subject)?;
    subject.read_definition().await;
    let disk = subject.disk.clone();
    let monitor = Monitor::prepare(subject).await?;
    job.send(&disk).await?;
    Ok(monitor.started())
}
