//! `blockpull`.

use virtwire::Connection;

use super::wait::{Terms, until_over};
use super::words::PULL;
use super::{disks, limit, one_chain, report};
use crate::args::Blockpull;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Output, Report};

/// Starts a pull on each disk and, where asked to, waits for their ends.
pub(crate) async fn pull(
    connection: &Connection,
    args: &Blockpull,
    output: Output,
) -> Result<Report, Failure> {
    one_chain(&args.disks, &[("base", args.base.as_ref())])?;
    let limit = limit(&args.limit)?;
    let disks = disks(connection, &args.disks).await?;
    // Listening first: an interrupt between the start and the wait must not be missed.
    let interrupt = if args.wait {
        Some(Interrupt::listen()?)
    } else {
        None
    };
    let mut jobs = Vec::with_capacity(disks.len());
    for disk in &disks {
        let mut pull = disk.pull().bandwidth(limit);
        if let Some(base) = &args.base {
            pull = pull.base(base);
        }
        if args.keep_relative {
            pull = pull.keep_relative();
        }
        jobs.push(pull.start().await?);
    }
    let Some(mut interrupt) = interrupt else {
        return report::started(&jobs, &PULL, output);
    };
    let terms = Terms {
        verbose: args.verbose,
        timeout: args.timeout,
        asynchronous: args.asynchronous,
    };
    let ends = until_over(&jobs, &PULL, terms, &mut interrupt, output).await?;
    report::ended(&jobs, ends, &PULL, output)
}
