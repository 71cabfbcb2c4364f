//! `blockpull`.

use virtwire::{Connection, Disk};

use super::start::start;
use super::wait::{Goal, Terms};
use super::words::PULL;
use super::{disks, limit, one_chain};
use crate::args::Blockpull;
use crate::failure::Failure;
use crate::output::{Output, Report};

/// Starts a pull on each disk and, where asked to, waits for their ends.
pub(crate) async fn pull(
    connection: &Connection,
    args: &Blockpull,
    output: Output,
) -> Result<Report, Failure> {
    one_chain(&args.disks, &[("base", args.base.as_ref())])?;
    let limit = limit(&args.limit)?;
    let pull = |disk: &Disk| {
        let mut pull = disk.pull().bandwidth(limit);
        if let Some(base) = &args.base {
            pull = pull.base(base);
        }
        if args.keep_relative {
            pull = pull.keep_relative();
        }
        pull.into()
    };
    let disks = disks(connection, &args.disks).await?;
    let terms = args.wait.then_some(Terms {
        goal: Goal::Over,
        verbose: args.verbose,
        timeout: args.timeout,
        asynchronous: args.asynchronous,
    });
    start(disks.iter().map(pull).collect(), &PULL, terms, output).await
}
