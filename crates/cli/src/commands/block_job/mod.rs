//! Block jobs: those that are started and waited for, and `blockjob`.

mod commit;
mod copy;
mod manage;
mod pull;
mod report;
mod start;
mod step;
mod wait;
mod words;

use serde_json::{Value, json};
use virtwire::constants::DomainBlockJobType;
use virtwire::{Bandwidth, BlockJobInfo, Connection, Disk};

pub(super) use self::commit::commit;
pub(super) use self::copy::copy;
pub(super) use self::manage::manage;
pub(super) use self::pull::pull;
use super::find;
use crate::args::{DiskNames, Limit};
use crate::failure::Failure;

/// The disks that a command works on at once.
async fn disks(connection: &Connection, names: &DiskNames) -> Result<Vec<Disk>, Failure> {
    let domain = find(connection, &names.target.domain).await?;
    Ok(names.paths.iter().map(|path| domain.disk(path)).collect())
}

/// Refuses what names an image of one disk's chain where there are several disks.
fn one_chain(names: &DiskNames, images: &[(&str, Option<&String>)]) -> Result<(), Failure> {
    let named = images.iter().find(|(_, image)| image.is_some());
    match named {
        Some((option, _)) if names.paths.len() > 1 => Err(Failure::Usage(format!(
            "--{option} names an image of one disk, and there are several disks"
        ))),
        _ => Ok(()),
    }
}

fn limit(limit: &Limit) -> Result<Bandwidth, Failure> {
    let number = limit.bandwidth.unwrap_or(0);
    bandwidth(number, limit.bytes)
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

pub(super) fn info_json(info: &BlockJobInfo) -> Value {
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
}
