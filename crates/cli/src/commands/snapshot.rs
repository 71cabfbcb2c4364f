//! `snapshot-create-as`.

use serde_json::json;
use virtwire::Connection;
use virtwire::constants::DomainSnapshotCreateFlags as Flags;

use super::described::Element;
use super::{find, with_identity};
use crate::args::SnapshotCreateAs;
use crate::failure::Failure;
use crate::output::Report;

pub(super) async fn create_as(
    connection: &Connection,
    args: &SnapshotCreateAs,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let xml = Element::Snapshot.xml(&args.described, args.memspec.as_deref())?;
    if args.print_xml {
        return Ok(Report::document(
            with_identity(&domain, json!({ "xml": xml })),
            xml,
        ));
    }
    let snapshot = domain.create_snapshot(&xml, flags(args)).await?;
    let name = snapshot.name();
    let text = format!("Domain snapshot {name} created");
    let json = with_identity(&domain, json!({ "snapshot": name }));
    Ok(Report::message(json, text))
}

fn flags(args: &SnapshotCreateAs) -> Flags {
    let mut flags = Flags::empty();
    for (wanted, flag) in [
        (args.no_metadata, Flags::NO_METADATA),
        (args.halt, Flags::HALT),
        (args.disk_only, Flags::DISK_ONLY),
        (args.reuse_external, Flags::REUSE_EXT),
        (args.quiesce, Flags::QUIESCE),
        (args.atomic, Flags::ATOMIC),
        (args.live, Flags::LIVE),
        (args.validate, Flags::VALIDATE),
    ] {
        flags.set(flag, wanted);
    }
    flags
}
