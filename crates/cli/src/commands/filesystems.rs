//! `domfsfreeze` and `domfsthaw`.

use serde_json::json;
use virtwire::{Connection, remote};

use super::{find, wire, with_identity};
use crate::args::Mountpoints;
use crate::failure::Failure;
use crate::output::Report;

pub(super) async fn freeze(connection: &Connection, args: &Mountpoints) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let call = remote::DomainFsfreezeArgs {
        dom: wire(&domain),
        mountpoints: args.all().into_iter().map(Into::into).collect(),
        flags: 0,
    };
    let reply = connection.call::<remote::DomainFsfreeze>(call).await;
    let count = reply
        .map_err(Failure::doing("unable to freeze filesystems"))?
        .decode()?
        .filesystems;
    Ok(Report::message(
        with_identity(&domain, json!({ "filesystems": count })),
        format!("Froze {count} filesystem(s)"),
    ))
}

pub(super) async fn thaw(connection: &Connection, args: &Mountpoints) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let call = remote::DomainFsthawArgs {
        dom: wire(&domain),
        mountpoints: args.all().into_iter().map(Into::into).collect(),
        flags: 0,
    };
    let reply = connection.call::<remote::DomainFsthaw>(call).await;
    let count = reply
        .map_err(Failure::doing("unable to thaw filesystems"))?
        .decode()?
        .filesystems;
    Ok(Report::message(
        with_identity(&domain, json!({ "filesystems": count })),
        format!("Thawed {count} filesystem(s)"),
    ))
}
