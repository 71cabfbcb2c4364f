//! `backup-begin`, `backup-dumpxml` and `domjobabort`.

use serde_json::{Value, json};
use virtwire::{BackupJob, BackupOutcome, BackupStats, BackupXml, CheckpointXml, Connection};

use super::xml::read;
use super::{find, with_identity};
use crate::args::{BackupBegin, CANCELLED, JOB_FAILED, VANISHED};
use crate::failure::Failure;
use crate::interrupt::{Interrupt, Stop, stopped};
use crate::output::{Display, Output, Report, Step};

/// What libvirt makes of this: a push backup of all disks to files whose names it chooses.
const OF_ALL_DISKS: &str = "<domainbackup/>";

/// Begins a backup and, where asked to, waits for its end.
pub(super) async fn begin(
    connection: &Connection,
    args: &BackupBegin,
    output: Output,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let (backup, checkpoint) = args.files();
    let backup = match backup {
        Some(file) => read(file)?,
        None => OF_ALL_DISKS.to_owned(),
    };
    let mut backup = domain.backup(BackupXml::new(backup));
    if let Some(file) = checkpoint {
        backup = backup.checkpoint(CheckpointXml::new(read(file)?));
    }
    if args.reuse_external {
        backup = backup.reuse_external();
    }
    // Listening first: an interrupt between the start and the wait must not be missed.
    let interrupt = if args.wait {
        Some(Interrupt::listen()?)
    } else {
        None
    };
    let job = backup.start().await?;
    match interrupt {
        Some(interrupt) => wait(&job, args, interrupt, output).await,
        None => {
            let json = with_identity(&domain, json!({ "started": true }));
            // virsh says this with --quiet as well.
            Ok(Report::data(json, "Backup started"))
        }
    }
}

/// Shows the progress until the backup is over. A backup that is fetched is over when somebody
/// ends it, as an interrupt does.
async fn wait(
    job: &BackupJob,
    args: &BackupBegin,
    mut interrupt: Interrupt,
    output: Output,
) -> Result<Report, Failure> {
    let mut display = Display::new(["Backup".to_owned()], args.verbose, output);
    let mut progress = job.progress();
    let stop = {
        let mut stopped = std::pin::pin!(stopped(&mut interrupt, args.timeout));
        loop {
            tokio::select! {
                biased;
                stop = &mut stopped => break Some(stop),
                next = progress.next() => match next {
                    Some(stats) => display.show(0, &stats)?,
                    None => break None,
                },
            }
        }
    };
    let outcome = match stop {
        None => Some(job.wait().await),
        Some(_) => tokio::select! {
            outcome = job.cancel() => Some(outcome?),
            () = interrupt.wait() => job.outcome(),
        },
    };
    display.finish(0, matches!(outcome, Some(BackupOutcome::Completed)));
    Ok(report(job, outcome.as_ref(), stop, output))
}

fn report(
    job: &BackupJob,
    outcome: Option<&BackupOutcome>,
    stop: Option<Stop>,
    output: Output,
) -> Report {
    let (name, status, text) = match outcome {
        Some(BackupOutcome::Completed) => ("completed", 0, "Backup complete".to_owned()),
        Some(BackupOutcome::Cancelled) => {
            let text = match stop {
                Some(stop) => format!("Backup aborted{stop}"),
                None => "Backup aborted by somebody else".to_owned(),
            };
            ("cancelled", CANCELLED, text)
        }
        Some(outcome @ BackupOutcome::Failed(_)) => {
            ("failed", JOB_FAILED, format!("Backup {outcome}"))
        }
        Some(outcome) => ("vanished", VANISHED, format!("Backup {outcome}")),
        None => {
            let text = "Backup is being aborted; not waiting for its end".to_owned();
            ("cancelling", CANCELLED, text)
        }
    };
    let why = match outcome {
        Some(BackupOutcome::Failed(failure)) => Some(failure.to_string()),
        Some(BackupOutcome::Vanished(evidence)) => Some(evidence.reason.to_string()),
        _ => None,
    };
    let fields = json!({
        "event": "end",
        "mode": job.mode().name(),
        "outcome": name,
        "stopped_by": stop.map(Stop::name),
        "why": why,
    });
    let json = with_identity(job.domain(), fields);
    Report::end(json, text, status, output)
}

impl Step for BackupStats {
    fn part(&self) -> Option<(u64, u64)> {
        let total = self.total?;
        self.fraction()?;
        Some((self.processed.unwrap_or(0).min(total), total))
    }

    fn figures(&self) -> String {
        use indicatif::HumanBytes;

        match (self.total, self.scratch_used) {
            (Some(total), _) => {
                let processed = HumanBytes(self.processed.unwrap_or(0));
                format!("  {processed} of {}", HumanBytes(total))
            }
            (None, Some(used)) => format!("  {} in scratch files", HumanBytes(used)),
            (None, None) => String::new(),
        }
    }

    fn document(&self) -> Value {
        json!({
            "event": "progress",
            "elapsed": self.elapsed.as_secs_f64(),
            "current": self.processed,
            "end": self.total,
            "percent": self.fraction().map(|fraction| fraction * 100.0),
            "scratch_used": self.scratch_used,
            "scratch_total": self.scratch_total,
        })
    }
}

pub(super) async fn dump(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    let xml = domain.backup_xml().await?;
    let json = with_identity(&domain, json!({ "xml": xml }));
    Ok(Report::document(json, xml))
}

/// Ends the job of a whole domain, such as a backup.
pub(super) async fn abort(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    domain.abort_job().await?;
    Ok(Report::silent(with_identity(
        &domain,
        json!({ "requested": "abort" }),
    )))
}
