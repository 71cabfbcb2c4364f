//! `checkpoint-create` and `checkpoint-create-as`.

use serde_json::json;
use virtwire::constants::DomainCheckpointCreateFlags as Flags;
use virtwire::{CheckpointXml, Connection};

use super::with_checkpoint;
use crate::args::{CheckpointCreate, CheckpointCreateAs};
use crate::commands::described::Element;
use crate::commands::xml::read;
use crate::commands::{find, with_identity};
use crate::failure::Failure;
use crate::output::Report;

/// What libvirt makes of this: a checkpoint of all disks, named after the time.
const OF_ALL_DISKS: &str = "<domaincheckpoint/>";

pub(crate) async fn create(
    connection: &Connection,
    args: &CheckpointCreate,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let mut flags = Flags::empty();
    flags.set(Flags::REDEFINE, args.redefine);
    flags.set(Flags::REDEFINE_VALIDATE, args.redefine_validate);
    flags.set(Flags::QUIESCE, args.quiesce);
    let (xml, from) = match args.file() {
        Some(file) => (read(file)?, format!(" from '{}'", file.display())),
        None => (OF_ALL_DISKS.to_owned(), String::new()),
    };
    let checkpoint = domain
        .create_checkpoint_with(CheckpointXml::new(xml), flags)
        .await?;
    let text = format!("Domain checkpoint {} created{from}", checkpoint.name());
    Ok(Report::message(
        with_checkpoint(&checkpoint, json!({})),
        text,
    ))
}

pub(crate) async fn create_as(
    connection: &Connection,
    args: &CheckpointCreateAs,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let xml = Element::Checkpoint.xml(&args.described, None)?;
    if args.print_xml {
        let json = with_identity(&domain, json!({ "xml": xml }));
        return Ok(Report::document(json, xml));
    }
    let mut flags = Flags::empty();
    flags.set(Flags::QUIESCE, args.quiesce);
    let checkpoint = domain
        .create_checkpoint_with(CheckpointXml::new(xml), flags)
        .await?;
    let text = format!("Domain checkpoint {} created", checkpoint.name());
    Ok(Report::message(
        with_checkpoint(&checkpoint, json!({})),
        text,
    ))
}
