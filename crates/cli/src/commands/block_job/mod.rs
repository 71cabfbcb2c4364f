//! `blockpull` and `blockjob`.

mod display;
mod wait;

use serde_json::{Value, json};
use virtwire::constants::{DomainBlockJobAbortFlags, DomainBlockJobType};
use virtwire::{Bandwidth, BlockJobInfo, Connection, Disk};

use super::{find, merged, with_identity};
use crate::args::{Blockjob, Blockpull, DiskName};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};

/// Starts a pull and, where asked to, waits for its end.
pub(super) async fn pull(
    connection: &Connection,
    args: &Blockpull,
    output: Output,
) -> Result<Report, Failure> {
    let disk = disk(connection, &args.disk).await?;
    let mut pull = disk.pull();
    if let Some(number) = args.bandwidth {
        pull = pull.bandwidth(bandwidth(number, args.bytes)?);
    }
    if let Some(base) = &args.base {
        pull = pull.base(base);
    }
    if args.keep_relative {
        pull = pull.keep_relative();
    }
    // Listening first: an interrupt between the start and the wait must not be missed.
    let interrupt = if args.wait {
        Some(Interrupt::listen()?)
    } else {
        None
    };
    let job = pull.start().await?;
    match interrupt {
        Some(interrupt) => wait::until_over(&job, args, interrupt, output).await,
        None => {
            let json = with_disk(job.disk(), json!({ "started": true }));
            Ok(Report::message(json, "Block Pull started"))
        }
    }
}

/// Queries, limits or ends a job.
pub(super) async fn manage(connection: &Connection, args: &Blockjob) -> Result<Report, Failure> {
    let disk = disk(connection, &args.disk).await?;
    if let Some(number) = args.bandwidth {
        let bandwidth = bandwidth(number, args.bytes)?;
        disk.set_job_speed(bandwidth).await?;
        return Ok(Report::silent(with_disk(
            &disk,
            json!({ "bandwidth": bandwidth.bytes() }),
        )));
    }
    if args.abort || args.pivot || args.asynchronous {
        let mut flags = DomainBlockJobAbortFlags::empty();
        flags.set(DomainBlockJobAbortFlags::ASYNC, args.asynchronous);
        flags.set(DomainBlockJobAbortFlags::PIVOT, args.pivot);
        disk.abort_job(flags).await?;
        let requested = if args.pivot { "pivot" } else { "abort" };
        let json = json!({ "requested": requested, "async": args.asynchronous });
        return Ok(Report::silent(with_disk(&disk, json)));
    }
    let Some(info) = disk.job_info().await? else {
        let text = format!("No current block job for {}", args.disk.path);
        return Ok(Report::message(
            with_disk(&disk, json!({ "job": null })),
            text,
        ));
    };
    let json = with_disk(&disk, json!({ "job": info_json(&info) }));
    let text = if args.raw {
        raw_text(&info, args.bytes)
    } else {
        summary(&info)
    };
    Ok(Report::data(json, text))
}

async fn disk(connection: &Connection, name: &DiskName) -> Result<Disk, Failure> {
    Ok(find(connection, &name.target.domain)
        .await?
        .disk(&name.path))
}

/// virsh's reading of `--bandwidth`: MiB/s unless `--bytes` is given, 0 for no limit.
fn bandwidth(number: u64, bytes: bool) -> Result<Bandwidth, Failure> {
    match number {
        0 => Ok(Bandwidth::UNLIMITED),
        bytes_per_s if bytes => Bandwidth::bytes_per_s(bytes_per_s),
        mib_per_s => Bandwidth::mib_per_s(mib_per_s),
    }
    .map_err(|error| Failure::Usage(format!("--bandwidth {number}: {error}")))
}

fn with_disk(disk: &Disk, more: Value) -> Value {
    with_identity(disk.domain(), merged(json!({ "disk": disk.path() }), more))
}

fn info_json(info: &BlockJobInfo) -> Value {
    json!({
        "type": kind_name(info.kind),
        "bandwidth": info.bandwidth.bytes(),
        "current": info.current,
        "end": info.end,
        "percent": percent(info),
    })
}

/// `null` while the daemon has no figures.
fn percent(info: &BlockJobInfo) -> Option<f64> {
    info.progress().fraction().map(|fraction| fraction * 100.0)
}

/// The kind of a job for programs; a number where this version knows no name.
fn kind_name(kind: DomainBlockJobType) -> String {
    kind.name()
        .map_or_else(|| kind.0.to_string(), str::to_lowercase)
}

/// virsh's words for the kind of a job.
pub(super) fn kind_text(kind: DomainBlockJobType) -> &'static str {
    match kind {
        DomainBlockJobType::PULL => "Block Pull",
        DomainBlockJobType::COPY => "Block Copy",
        DomainBlockJobType::COMMIT => "Block Commit",
        DomainBlockJobType::ACTIVE_COMMIT => "Active Block Commit",
        DomainBlockJobType::BACKUP => "Backup",
        _ => "Unknown job",
    }
}

fn raw_text(info: &BlockJobInfo, bytes: bool) -> String {
    let bandwidth = if bytes {
        info.bandwidth.bytes()
    } else {
        info.bandwidth.mib_rounded_up()
    };
    format!(
        " type={}\n bandwidth={}\n cur={}\n end={}\n",
        kind_text(info.kind),
        bandwidth.unwrap_or_default(),
        info.current,
        info.end
    )
}

fn summary(info: &BlockJobInfo) -> String {
    let mut text = format!(
        "{}: [{:>3} %]",
        kind_text(info.kind),
        whole_percent(info.current, info.end)
    );
    if let Some(bytes) = info.bandwidth.bytes() {
        let (value, unit) = scaled(bytes);
        text.push_str(&format!(
            "    Bandwidth limit: {bytes} bytes/s ({value:.3} {unit}/s)"
        ));
    }
    text
}

/// Per cent as virsh shows them: 100 only when nothing is left.
fn whole_percent(current: u64, end: u64) -> u64 {
    match end.saturating_sub(current) {
        0 => 100,
        _ => {
            let done = u128::from(current) * 100 / u128::from(end.max(1));
            u64::try_from(done).unwrap_or(99).min(99)
        }
    }
}

fn scaled(bytes: u64) -> (f64, &'static str) {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            return (value, unit);
        }
        value /= 1024.0;
    }
    (value, "EiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_read_as_virsh_reads_it() {
        assert_eq!(bandwidth(0, true).unwrap(), Bandwidth::UNLIMITED);
        assert_eq!(bandwidth(8, false).unwrap().bytes(), Some(8 << 20));
        assert_eq!(bandwidth(8, true).unwrap().bytes(), Some(8));
        assert!(matches!(bandwidth(1 << 44, false), Err(Failure::Usage(_))));
        assert!(matches!(bandwidth(u64::MAX, true), Err(Failure::Usage(_))));
    }

    #[test]
    fn percent_is_whole_and_full_only_at_the_end() {
        assert_eq!(whole_percent(0, 0), 100);
        assert_eq!(whole_percent(0, 1), 0);
        assert_eq!(whole_percent(999, 1000), 99);
        assert_eq!(whole_percent(u64::MAX / 2, u64::MAX), 49);
        assert_eq!(whole_percent(7, 7), 100);
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!(scaled(1023), (1023.0, "B"));
        assert_eq!(scaled(1536), (1.5, "KiB"));
        assert_eq!(scaled(8 << 20), (8.0, "MiB"));
        assert_eq!(scaled(1 << 63).1, "EiB");
    }
}
