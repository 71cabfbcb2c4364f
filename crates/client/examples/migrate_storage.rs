//! Moves a disk of a running guest to another file, while the guest goes on:
//! `migrate_storage DOMAIN DISK FILE [FORMAT] [URI]`.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::time::Duration;

use virtwire::constants::DomainXmlFlags;
use virtwire::{
    Connection, Convergence, CopyDestination, Disk, NextStart, Outcome, Progress, Readiness,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(domain), Some(disk), Some(file)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: migrate_storage DOMAIN DISK FILE [FORMAT] [URI]".into());
    };
    let format = args.next().unwrap_or_else(|| "qcow2".to_owned());
    let uri = args.next().unwrap_or_else(|| "qemu:///system".to_owned());
    let connection = Connection::open(&uri).await?;
    let guest = connection.lookup_domain_by_name(&domain).await?;
    let to = CopyDestination::file(file).format(format);
    let old = migrate(&guest.disk(disk), to).await?;
    println!("the guest uses the new image; {old} is not needed any more");
    Ok(())
}

/// Has the guest use the destination, and gives the path of the image that it used before.
///
/// # Errors
///
/// Any other end: what is in the way, or what is known of how the job ended.
pub(crate) async fn migrate(disk: &Disk, to: CopyDestination) -> Result<String, Box<dyn Error>> {
    // A definition would not survive the job, but it follows the pivot.
    let copy = disk.copy(to).transient_job();
    let plan = copy.plan().await?;
    if !plan.is_clear() {
        let obstacles: Vec<String> = plan.obstacles.iter().map(ToString::to_string).collect();
        return Err(obstacles.join("; ").into());
    }
    let described = plan.disk.and_then(|disk| disk.source);
    let old = described.and_then(|source| source.path().map(str::to_owned));

    let job = copy.start().await?;
    let mut progress = job.progress();
    let ready = loop {
        tokio::select! {
            biased;
            ready = job.wait_ready() => break ready,
            Some(now) = progress.next() => show(&now),
        }
    };
    if let Readiness::Over(outcome) = ready {
        return Err(format!("the copy has {outcome}").into());
    }
    // The source is to be deleted next, so this is where the truth matters.
    match job.pivot_within(Duration::from_secs(60)).await? {
        Outcome::Pivoted(NextStart::NewImage | NextStart::NoDefinition) => {}
        Outcome::Pivoted(other) => {
            return Err(
                format!("pivoted, but the next start uses another image: {other:?}").into(),
            );
        }
        Outcome::Vanished(evidence) => {
            return Err(format!("{}; it was {}", evidence.reason, evidence.resolve()).into());
        }
        outcome => return Err(format!("the copy has {outcome}").into()),
    }
    let live = disk.domain().disks(DomainXmlFlags::empty()).await?;
    let now = live
        .into_iter()
        .find(|found| found.target == job.disk().path());
    let now = now.and_then(|disk| disk.source);
    println!("the guest writes to {now:?}");
    Ok(old.unwrap_or_default())
}

fn show(progress: &Progress) {
    let rate = progress.rate.unwrap_or_default() >> 20;
    print!("{:5.1} %, {rate} MiB/s", progress.percent());
    if let Some(eta) = progress.eta {
        print!(", {} s left", eta.as_secs());
    }
    match progress.convergence {
        Some(Convergence::Diverging | Convergence::Stalled) => {
            println!(": the guest writes as fast as this copies");
        }
        _ => println!(),
    }
}
