//! `domfsfreeze` and `domfsthaw`.

use serde_json::json;
use virtwire::{Connection, Domain};

use super::{find, with_identity};
use crate::args::Mountpoints;
use crate::failure::Failure;
use crate::output::Report;

pub(super) async fn freeze(connection: &Connection, args: &Mountpoints) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let count = domain.fs_freeze(args.all()).await;
    let count = count.map_err(Failure::doing("unable to freeze filesystems"))?;
    Ok(report(&domain, "Froze", count))
}

pub(super) async fn thaw(connection: &Connection, args: &Mountpoints) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let count = domain.fs_thaw(args.all()).await;
    let count = count.map_err(Failure::doing("unable to thaw filesystems"))?;
    Ok(report(&domain, "Thawed", count))
}

fn report(domain: &Domain, done: &str, count: u32) -> Report {
    let json = with_identity(domain, json!({ "filesystems": count }));
    Report::message(json, format!("{done} {count} filesystem(s)"))
}
