//! `cargo xtask demo`: a block pull on a real guest, from an empty directory to the proof.
//!
//! Everything happens on a private libvirtd that is gone afterwards, Ctrl-C included: its
//! supervisor clears away whatever this process leaves behind. Where none can be had, and with
//! `--simulated`, it happens on a simulated one within this process.

mod host;

use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use virtwire::constants::{DomainCreateFlags, DomainDestroyFlags, DomainXmlFlags};
use virtwire::{Bandwidth, BlockJob, Connection, DiskDescription, Domain};
use virtwire_lab::{Policy, guest};

use self::host::Host;
use crate::Outcome;

/// The size of the data that there is to pull.
const DATA: u64 = 96 << 20;

/// The target of the disk that the demo works on.
const TARGET: &str = "vda";

/// What the demo plays on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A real libvirtd, if one can be had by this policy.
    Real(Policy),
    /// The simulated one.
    Simulated,
}

/// Runs the demo.
pub(crate) fn run(wanted: Wanted) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Dropped at the end, the runtime waits for a daemon that is just being started, so that it
    // is cleared away like any other.
    runtime.block_on(async {
        tokio::select! {
            result = perform(wanted) => result,
            _ = tokio::signal::ctrl_c() => {
                println!("clearing away the daemon, its guests and its images");
                Err("interrupted".into())
            }
        }
    })
}

async fn perform(wanted: Wanted) -> Outcome {
    let started = Instant::now();
    let host = Host::get(wanted).await?;
    let connection = host.connect().await?;
    println!(
        "connected to libvirt {} with {} {}{}",
        connection.library_version().await?,
        connection.hypervisor().await?,
        connection.hypervisor_version().await?,
        host.remark()
    );

    println!("\n== a pull that completes");
    let stage = Stage::set(&connection, &host, "complete").await?;
    complete(&stage).await?;
    stage.strike().await?;

    println!("\n== a pull that is cancelled half-way");
    let stage = Stage::set(&connection, &host, "cancel").await?;
    cancel(&stage).await?;
    stage.strike().await?;

    connection.close().await;
    println!(
        "\nall of it held{}; {:.1} s",
        host.remark(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A running guest whose disk is an overlay on an image full of data.
struct Stage<'a> {
    host: &'a Host,
    domain: Domain,
    base: PathBuf,
    overlay: PathBuf,
}

impl<'a> Stage<'a> {
    async fn set(
        connection: &Connection,
        host: &'a Host,
        name: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let base = host.images_dir().join(format!("{name}-base.qcow2"));
        let overlay = host.images_dir().join(format!("{name}.qcow2"));
        host.create_images(&base, &overlay, DATA)?;
        println!(
            "created a base with {} MiB of data and an overlay on it",
            DATA >> 20
        );

        let kind = host.domain_type();
        let disk = guest::Disk::new(TARGET, &overlay);
        let xml = guest::xml(&format!("demo-{name}"), kind, &[disk]);
        let domain = connection
            .create_domain(&xml, DomainCreateFlags::empty())
            .await?;
        println!("started the transient domain {} ({kind})", domain.name());
        Ok(Self {
            host,
            domain,
            base,
            overlay,
        })
    }

    /// The disk as the live XML describes it.
    async fn disk(&self) -> Result<DiskDescription, Box<dyn Error>> {
        let disks = self.domain.disks(DomainXmlFlags::empty()).await?;
        let disk = disks.into_iter().find(|disk| disk.target == TARGET);
        disk.ok_or_else(|| format!("the live XML has no disk {TARGET}").into())
    }

    async fn strike(&self) -> Outcome {
        self.domain.destroy(DomainDestroyFlags::empty()).await?;
        Ok(())
    }

    /// Proves what the overlay stands on, as its header says it.
    fn prove_backing(&self, expected: Option<&Path>) -> Outcome {
        let backing = self.host.backing_file(&self.overlay)?;
        let what = match expected {
            Some(_) => "the base as backing file",
            None => "no backing file",
        };
        let claim = format!("{} sees {what}", self.host.image_tool());
        prove(backing.as_deref() == expected, &claim)
    }

    /// Proves that the overlay reads as the base does, on an image at rest.
    async fn prove_data(&self) -> Outcome {
        self.domain.suspend().await?;
        let same = self.host.reads_the_same(&self.overlay, &self.base)?;
        self.domain.resume().await?;
        prove(same, self.host.data_claim())
    }
}

async fn complete(stage: &Stage<'_>) -> Outcome {
    let (slow, fast) = (Bandwidth::mib_per_s(8)?, Bandwidth::mib_per_s(64)?);
    let job = stage
        .domain
        .disk(TARGET)
        .pull()
        .bandwidth(slow)
        .start()
        .await?;
    println!("started a block pull of {TARGET}, limited to {slow}");

    let bar = Bar::new();
    let mut progress = job.progress_every(Duration::from_millis(250));
    let mut raised = false;
    while let Some(now) = progress.next().await {
        bar.show(now);
        if !raised && now.percent() >= 25.0 {
            job.set_speed(fast).await?;
            bar.note(&format!("a quarter is done: the limit is {fast} now"));
            raised = true;
        }
    }
    bar.end();
    let outcome = job.wait().await;
    prove(
        outcome == virtwire::Outcome::Completed,
        &format!("the event says {outcome}"),
    )?;
    prove(raised, "the limit was raised while the job ran")?;
    prove(
        stage.disk().await?.backing.is_empty(),
        "the live XML has no backingStore",
    )?;
    stage.prove_backing(None)?;
    stage.prove_data().await
}

async fn cancel(stage: &Stage<'_>) -> Outcome {
    let limit = Bandwidth::mib_per_s(24)?;
    let job = stage
        .domain
        .disk(TARGET)
        .pull()
        .bandwidth(limit)
        .start()
        .await?;
    println!("started a block pull of {TARGET}, limited to {limit}");

    let bar = Bar::new();
    half_way(&job, &bar).await?;
    let outcome = job.cancel().await?;
    bar.end();
    prove(
        outcome == virtwire::Outcome::Cancelled,
        &format!("the event says {outcome}"),
    )?;
    let disk = stage.disk().await?;
    let backing = disk
        .backing
        .first()
        .and_then(|layer| layer.source.as_ref()?.path());
    prove(
        backing.map(Path::new) == Some(&stage.base),
        "the live XML still has the base",
    )?;
    stage.prove_backing(Some(&stage.base))?;
    stage.prove_data().await
}

async fn half_way(job: &BlockJob, bar: &Bar) -> Outcome {
    let mut progress = job.progress_every(Duration::from_millis(100));
    while let Some(now) = progress.next().await {
        bar.show(now);
        if now.percent() >= 50.0 {
            return Ok(());
        }
    }
    Err(format!(
        "the pull was over before it was half-way: {}",
        job.wait().await
    )
    .into())
}

fn prove(holds: bool, claim: &str) -> Outcome {
    if !holds {
        return Err(format!("this does not hold: {claim}").into());
    }
    println!("proof: {claim}");
    Ok(())
}

/// A bar on a terminal, lines elsewhere.
struct Bar {
    bar: ProgressBar,
    drawn: bool,
}

impl Bar {
    fn new() -> Self {
        let drawn = std::io::stderr().is_terminal();
        let bar = if drawn {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let template = "{wide_bar} {percent:>3} %  {bytes} of {total_bytes}  limit {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, drawn }
    }

    fn show(&self, now: virtwire::Progress) {
        self.bar.set_length(now.end);
        self.bar.set_position(now.current);
        self.bar.set_message(now.bandwidth.to_string());
        if !self.drawn {
            println!("  {:>5.1} %  limit {}", now.percent(), now.bandwidth);
        }
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
