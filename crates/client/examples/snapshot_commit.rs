//! Freezes the images of a running guest for as long as a command takes, a backup tool for
//! example, and then puts them together again: `snapshot_commit DOMAIN DIRECTORY [URI]`.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::path::Path;

use virtwire::constants::DomainXmlFlags;
use virtwire::{CommitActive, Connection, DiskDescription, DiskDevice, Domain, JobSet, Overlay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(domain), Some(directory)) = (args.next(), args.next()) else {
        return Err("usage: snapshot_commit DOMAIN DIRECTORY [URI]".into());
    };
    let uri = args.next().unwrap_or_else(|| "qemu:///system".to_owned());
    let connection = Connection::open(&uri).await?;
    let guest = connection.lookup_domain_by_name(&domain).await?;
    cycle(&guest, Path::new(&directory), |image| {
        println!("{image} stands still; it would be copied now");
    })
    .await?;
    println!("every disk is on its image again");
    Ok(())
}

/// Puts an overlay on every disk, lets `work` see each image that stands still, and commits the
/// overlays back.
///
/// # Errors
///
/// What is not on its image again, and why.
pub(crate) async fn cycle(
    guest: &Domain,
    directory: &Path,
    mut work: impl FnMut(&str),
) -> Result<(), Box<dyn Error>> {
    let disks = guest.disks(DomainXmlFlags::empty()).await?;
    let disks: Vec<DiskDescription> = disks.into_iter().filter(has_image).collect();
    let mut snapshot = guest.disk_snapshot().atomic().no_metadata();
    for disk in &disks {
        let overlay = directory.join(format!("{}-{}.overlay", guest.name(), disk.target));
        let overlay = Overlay::file(overlay.to_string_lossy()).format("qcow2");
        snapshot = snapshot.disk(&disk.target, overlay);
    }
    snapshot.create().await?;
    for disk in &disks {
        let image = disk.source.as_ref().and_then(|source| source.path());
        work(image.unwrap_or_default());
    }

    let commit = |disk: &DiskDescription| -> CommitActive {
        // Down to the image that the overlay was put on, and no further.
        guest.disk(&disk.target).commit_active().shallow().delete()
    };
    let set = JobSet::start(disks.iter().map(commit)).await?;
    let end = set.pivot().await?;
    if end.is_success() {
        return Ok(());
    }
    // What is not pivoted is on its overlay still, which must not be deleted.
    let ends: Vec<String> = end.disks().iter().map(ToString::to_string).collect();
    Err(ends.join("; ").into())
}

fn has_image(disk: &DiskDescription) -> bool {
    disk.device == DiskDevice::Disk && disk.source.is_some() && !disk.read_only
}
