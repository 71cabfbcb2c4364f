//! `blockjob`.

use serde_json::json;
use virtwire::constants::DomainBlockJobAbortFlags;
use virtwire::{BlockJobInfo, Connection};

use super::{bandwidth, info_json, kind_text};
use crate::args::Blockjob;
use crate::commands::{disk, with_disk};
use crate::failure::Failure;
use crate::output::{Report, scaled, whole_percent};

/// Queries, limits or ends a job.
pub(crate) async fn manage(connection: &Connection, args: &Blockjob) -> Result<Report, Failure> {
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
