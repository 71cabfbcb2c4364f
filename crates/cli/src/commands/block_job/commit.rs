//! `blockcommit`.

use virtwire::constants::DomainXmlFlags;
use virtwire::{CommitBase, Connection, Disk, JobStart};

use super::start::start;
use super::wait::{Goal, Terms};
use super::words::{ACTIVE_COMMIT, COMMIT};
use super::{disks, limit, one_chain};
use crate::args::Blockcommit;
use crate::failure::Failure;
use crate::output::{Output, Report};

/// Starts a commit on each disk and, where asked to, waits for them.
pub(crate) async fn commit(
    connection: &Connection,
    args: &Blockcommit,
    output: Output,
) -> Result<Report, Failure> {
    one_chain(
        &args.disks,
        &[("base", args.base.as_ref()), ("top", args.top.as_ref())],
    )?;
    let active = args.active || args.pivot || args.keep_overlay;
    let disks = disks(connection, &args.disks).await?;
    if let (true, Some(top), [disk]) = (active, &args.top, disks.as_slice()) {
        refuse_unless_active(disk, top).await?;
    }
    let jobs: Result<Vec<_>, _> = disks.iter().map(|disk| job(disk, active, args)).collect();
    let words = if active { &ACTIVE_COMMIT } else { &COMMIT };
    start(jobs?, words, terms(args, active), output).await
}

fn job(disk: &Disk, active: bool, args: &Blockcommit) -> Result<JobStart, Failure> {
    let limit = limit(&args.limit)?;
    let base = match &args.base {
        Some(image) => CommitBase::from(image.as_str()),
        None if args.shallow => CommitBase::NextBelow,
        None => CommitBase::Lowest,
    };
    if active {
        let mut commit = disk.commit_active().base(base).bandwidth(limit);
        if args.delete {
            commit = commit.delete();
        }
        if args.keep_relative {
            commit = commit.keep_relative();
        }
        return Ok(commit.into());
    }
    let Some(top) = &args.top else {
        return Err(Failure::Usage(
            "the image that the guest writes to is committed with --active, any other is named \
             by --top"
                .to_owned(),
        ));
    };
    let mut commit = disk.commit_inner(top, base).bandwidth(limit);
    if args.delete {
        commit = commit.delete();
    }
    if args.keep_relative {
        commit = commit.keep_relative();
    }
    Ok(commit.into())
}

/// `--active` commits from the active image, which `--top` may name.
async fn refuse_unless_active(disk: &Disk, top: &str) -> Result<(), Failure> {
    let described = disk.domain().disks(DomainXmlFlags::empty()).await?;
    let is_named = |image: &str| {
        described
            .iter()
            .find(|disk| disk.position(image) == Some(0))
    };
    // A disk that is not there is the daemon's to refuse.
    match is_named(disk.path()) {
        Some(described) if described.position(top) != Some(0) => Err(Failure::Usage(format!(
            "--active commits the image that the guest writes to, which {top} is not"
        ))),
        _ => Ok(()),
    }
}

fn terms(args: &Blockcommit, active: bool) -> Option<Terms> {
    let goal = if args.pivot {
        Goal::Pivoted {
            quiesce: args.quiesce,
        }
    } else if args.keep_overlay {
        Goal::Finished
    } else if args.wait || args.timeout.is_some() {
        if active { Goal::Ready } else { Goal::Over }
    } else {
        return None;
    };
    Some(Terms {
        goal,
        verbose: args.verbose,
        timeout: args.timeout,
        asynchronous: args.asynchronous,
    })
}
