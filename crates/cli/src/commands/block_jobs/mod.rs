//! `blockjobs`: the jobs of all domains, once or live.

mod questions;
mod rows;
mod scan;
mod screen;
mod watch;

use std::time::Instant;

use virtwire::Connection;

use self::rows::Rows;
use super::find;
use crate::args::Blockjobs;
use crate::failure::Failure;
use crate::output::{Output, Report};

pub(super) async fn run(
    connection: &Connection,
    args: &Blockjobs,
    output: Output,
) -> Result<Report, Failure> {
    let only = match &args.domain {
        Some(name) => Some(find(connection, name).await?),
        None => None,
    };
    if args.watch {
        return watch::run(connection, only, args, output).await;
    }
    let mut rows = Rows::default();
    for (domain, found) in scan::all(connection, only).await? {
        rows.replace(&domain, found, Instant::now());
    }
    Ok(Report::table(rows.documents().into(), rows.table()))
}
