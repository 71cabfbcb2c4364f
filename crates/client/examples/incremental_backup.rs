//! Backs up all disks of a running guest, what has changed since the last time if there was one:
//! `incremental_backup DOMAIN DIRECTORY [URI]`. Restoring is `qemu-img rebase`, image on image.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::path::Path;

use virtwire::constants::{DomainCheckpointListFlags, DomainXmlFlags};
use virtwire::{
    BackupOutcome, Connection, DiskDevice, Domain, NewCheckpoint, PushBackup, PushDisk,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(domain), Some(directory)) = (args.next(), args.next()) else {
        return Err("usage: incremental_backup DOMAIN DIRECTORY [URI]".into());
    };
    let uri = args.next().unwrap_or_else(|| "qemu:///system".to_owned());
    let connection = Connection::open(&uri).await?;
    let guest = connection.lookup_domain_by_name(&domain).await?;
    let name = backup(&guest, Path::new(&directory)).await?;
    println!("backed up as {name}");
    Ok(())
}

/// Backs up every disk into `DIRECTORY/DISK.CHECKPOINT`, and gives the checkpoint's name. If the
/// backup does not complete there is no such checkpoint, and the next one begins where the last
/// complete one was.
///
/// # Errors
///
/// What is in the way of the backup, or how it ended.
pub(crate) async fn backup(guest: &Domain, directory: &Path) -> Result<String, Box<dyn Error>> {
    let flags = DomainCheckpointListFlags::TOPOLOGICAL;
    let checkpoints = guest.checkpoints(flags).await?;
    let name = format!("backup-{}", checkpoints.len() + 1);
    let mut backup = PushBackup::new();
    if let Some(last) = checkpoints.last() {
        backup = backup.incremental(last.name());
    }
    let disks = guest.disks(DomainXmlFlags::empty()).await?;
    let is_wanted = |device: &DiskDevice| *device == DiskDevice::Disk;
    for disk in disks
        .iter()
        .filter(|disk| is_wanted(&disk.device) && disk.source.is_some())
    {
        let file = directory.join(format!("{}.{name}", disk.target));
        let to = PushDisk::file(file.to_string_lossy()).format("qcow2");
        backup = backup.disk(&disk.target, to);
    }
    let backup = guest.backup(backup).checkpoint(NewCheckpoint::named(&name));
    let plan = backup.plan().await?;
    if !plan.is_clear() {
        let obstacles: Vec<String> = plan.obstacles.iter().map(ToString::to_string).collect();
        return Err(obstacles.join("; ").into());
    }
    let job = backup.start().await?;
    let mut progress = job.progress();
    while let Some(now) = progress.next().await {
        println!("{:5.1} %", now.percent());
    }
    match job.wait().await {
        BackupOutcome::Completed => Ok(name),
        // libvirt keeps the checkpoint of a backup that failed: the next one must not build on it.
        outcome => {
            if let Ok(checkpoint) = guest.lookup_checkpoint(&name).await {
                checkpoint.delete(Default::default()).await?;
            }
            Err(format!("the backup has {outcome}").into())
        }
    }
}
