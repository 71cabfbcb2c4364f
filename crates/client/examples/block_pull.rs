//! Pulls the backing chain of a disk into it: `block_pull DOMAIN DISK [MIB_PER_SECOND] [URI]`.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use virtwire::{Bandwidth, Connection, Outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(domain), Some(disk)) = (args.next(), args.next()) else {
        return Err("usage: block_pull DOMAIN DISK [MIB_PER_SECOND] [URI]".into());
    };
    let bandwidth = match args.next() {
        Some(mib) => Bandwidth::mib_per_s(mib.parse()?)?,
        None => Bandwidth::UNLIMITED,
    };
    let uri = args.next().unwrap_or_else(|| "qemu:///system".to_owned());

    let connection = Connection::open(&uri).await?;
    let guest = connection.lookup_domain_by_name(&domain).await?;
    let job = guest.disk(disk).pull().bandwidth(bandwidth).start().await?;
    let mut progress = job.progress();
    while let Some(now) = progress.next().await {
        println!("{:5.1} %", now.percent());
    }
    match job.wait().await {
        Outcome::Completed => println!("the disk needs its backing chain no more"),
        Outcome::Cancelled => println!("somebody cancelled the job; the data is whole"),
        Outcome::Failed(failure) => println!("the job failed after {:?}", failure.last_info),
        Outcome::Vanished(evidence) => println!("nobody said how it ended: {evidence:#?}"),
        other => println!("{other}"),
    }
    Ok(())
}
