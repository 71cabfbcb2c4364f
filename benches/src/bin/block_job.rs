//! How long a job takes from its start to the word on how it ended, by virsh and by virtwire, and
//! what following jobs costs.
//!
//! `cargo run --release -p virtwire-benches --bin block-job [copy] [follow]`

#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use virtwire::constants::DomainCreateFlags;
use virtwire::{Bandwidth, BlockJob, Connection, CopyDestination, Domain};
use virtwire_benches::client::Outcome;
use virtwire_benches::measure::processor_time;
use virtwire_lab::guest::{self, DomainType};
use virtwire_lab::{Daemon, Driver, image};
use virtwire_sim::{Image, Simulator};

/// Jobs by each, in turns, so that a busy moment hits both.
const ROUNDS: usize = 15;

/// The disk of the guest that is copied: a job of some hundredths of a second.
const SIZE: u64 = 4 << 20;

/// Jobs that are followed at once, and for how long.
const FOLLOWED: usize = 200;
const WHILE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    if wanted("copy") {
        copy().await?;
    }
    if wanted("follow") {
        follow().await?;
    }
    Ok(())
}

/// Copies of one small disk of a real guest, each with its pivot.
async fn copy() -> Outcome<()> {
    let daemon = Daemon::start()?;
    let uri = daemon.uri(Driver::Qemu);
    let base = daemon.images_dir().join("base.qcow2");
    image::create_base(&base, SIZE, 1)?;
    daemon.hand_over(&base)?;
    let connection = Connection::open(&uri).await?;
    let disks = [guest::Disk::new("vda", &base)];
    let xml = guest::xml("guest", guest::domain_type(), &disks);
    let domain = connection.create_domain(&xml, DomainCreateFlags::empty());
    let domain = domain.await?;

    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let file = |who: &str| daemon.images_dir().join(format!("{who}-{round}.qcow2"));
        theirs.push(by_virsh(&uri, &file("virsh"))?);
        ours.push(by_virtwire(&domain, file("virtwire")).await?);
    }
    println!("copy of {} MiB and pivot, median of {ROUNDS}", SIZE >> 20);
    println!("  virsh     {:>8.1} ms", median(theirs));
    println!("  virtwire  {:>8.1} ms", median(ours));
    Ok(())
}

fn by_virsh(uri: &str, to: &Path) -> Outcome<Duration> {
    let begun = Instant::now();
    let mut virsh = Command::new("virsh");
    virsh.args([
        "-q",
        "-c",
        uri,
        "blockcopy",
        "guest",
        "vda",
        "--format",
        "qcow2",
    ]);
    virsh.args(["--wait", "--pivot", "--dest"]).arg(to);
    let output = virsh.output()?;
    let took = begun.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(took)
}

async fn by_virtwire(domain: &Domain, to: PathBuf) -> Outcome<Duration> {
    let begun = Instant::now();
    let to = CopyDestination::file(to.to_string_lossy()).format("qcow2");
    let outcome = domain.disk("vda").copy(to).start().await?.pivot().await?;
    let took = begun.elapsed();
    if !outcome.is_pivoted() {
        return Err(format!("the copy has {outcome}").into());
    }
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e3
}

/// Many jobs that go on for long, over one connection to a simulated host in this process. Its work
/// is counted as well, so the client's share is less than what is printed.
async fn follow() -> Outcome<()> {
    let mut builder = Simulator::builder();
    for number in 0..FOLLOWED {
        let (base, top) = (
            format!("/images/{number}-base"),
            format!("/images/{number}"),
        );
        builder = builder.image(&base, Image::qcow2(1 << 40).with_data(1 << 40));
        builder = builder.image(&top, Image::qcow2(1 << 40).on(&base));
        let disks = [guest::Disk::new("vda", &top)];
        let name = format!("guest-{number}");
        builder = builder.domain(&guest::xml(&name, DomainType::Qemu, &disks))?;
    }
    let host = builder.start();
    let builder = Connection::builder().uri("qemu:///system");
    let (connection, driver) = builder.connect_with_io(host.connect()).await?;
    tokio::spawn(driver);
    let mut jobs: Vec<BlockJob> = Vec::new();
    for number in 0..FOLLOWED {
        let name = format!("guest-{number}");
        let domain = connection.lookup_domain_by_name(&name).await?;
        let pull = domain.disk("vda").pull();
        jobs.push(pull.bandwidth(Bandwidth::mib_per_s(1)?).start().await?);
    }
    println!("{FOLLOWED} jobs followed, the simulated host included");
    cost("nobody looks").await?;
    let streams: Vec<_> = jobs.iter().map(BlockJob::progress).collect();
    cost("progress twice a second").await?;
    drop(streams);
    Ok(())
}

/// What a while costs.
async fn cost(what: &str) -> Outcome<()> {
    let before = processor_time();
    tokio::time::sleep(WHILE).await;
    let spent = processor_time().saturating_sub(before);
    let per_second = spent.as_secs_f64() / WHILE.as_secs_f64() / FOLLOWED as f64;
    println!(
        "  {what:<24} {:>8.1} µs of processor time a job and second",
        per_second * 1e6
    );
    Ok(())
}
