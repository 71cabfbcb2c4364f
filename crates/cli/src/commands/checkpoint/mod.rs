//! The commands about checkpoints.

mod create;
mod list;
mod tree;

use serde_json::{Value, json};
use virtwire::constants::{
    DomainCheckpointDeleteFlags, DomainCheckpointListFlags, DomainCheckpointXmlFlags,
};
use virtwire::{Checkpoint, Connection};

pub(super) use self::create::{create, create_as};
pub(super) use self::list::list;
use super::{find, merged, with_identity};
use crate::args::{CheckpointDelete, CheckpointDumpxml, CheckpointName};
use crate::failure::Failure;
use crate::output::{Lines, Report};

async fn named(connection: &Connection, name: &CheckpointName) -> Result<Checkpoint, Failure> {
    let domain = find(connection, &name.target.domain).await?;
    Ok(domain.lookup_checkpoint(name.name()).await?)
}

/// The identity of a checkpoint and its domain, with more fields behind them.
fn with_checkpoint(checkpoint: &Checkpoint, more: Value) -> Value {
    let named = json!({ "checkpoint": checkpoint.name() });
    with_identity(checkpoint.domain(), merged(named, more))
}

pub(super) async fn info(
    connection: &Connection,
    args: &CheckpointName,
) -> Result<Report, Failure> {
    let checkpoint = named(connection, args).await?;
    let parent = checkpoint.parent().await?;
    let parent = parent.as_ref().map(Checkpoint::name);
    let children = checkpoint.children(DomainCheckpointListFlags::empty());
    let children = children.await?.len();
    let descendants = checkpoint.children(DomainCheckpointListFlags::DESCENDANTS);
    let descendants = descendants.await?.len();
    let mut lines = Lines::default();
    lines.add("Name:", checkpoint.name());
    lines.add("Domain:", checkpoint.domain().name());
    lines.add("Parent:", parent.unwrap_or("-"));
    lines.add("Children:", &children.to_string());
    lines.add("Descendants:", &descendants.to_string());
    let fields = json!({ "parent": parent, "children": children, "descendants": descendants });
    Ok(Report::data(
        with_checkpoint(&checkpoint, fields),
        lines.text(),
    ))
}

pub(super) async fn dump(
    connection: &Connection,
    args: &CheckpointDumpxml,
) -> Result<Report, Failure> {
    let checkpoint = named(connection, &args.checkpoint).await?;
    let mut flags = DomainCheckpointXmlFlags::empty();
    flags.set(DomainCheckpointXmlFlags::SECURE, args.security_info);
    flags.set(DomainCheckpointXmlFlags::NO_DOMAIN, args.no_domain);
    flags.set(DomainCheckpointXmlFlags::SIZE, args.size);
    let xml = checkpoint.xml(flags).await?;
    Ok(Report::document(
        with_checkpoint(&checkpoint, json!({ "xml": xml })),
        xml,
    ))
}

pub(super) async fn parent(
    connection: &Connection,
    args: &CheckpointName,
) -> Result<Report, Failure> {
    let checkpoint = named(connection, args).await?;
    let Some(parent) = checkpoint.parent().await? else {
        let message = format!("checkpoint '{}' has no parent", checkpoint.name());
        return Err(Failure::Absent(message));
    };
    Ok(Report::data(
        with_checkpoint(&checkpoint, json!({ "parent": parent.name() })),
        parent.name(),
    ))
}

pub(super) async fn delete(
    connection: &Connection,
    args: &CheckpointDelete,
) -> Result<Report, Failure> {
    let checkpoint = named(connection, &args.checkpoint).await?;
    let name = checkpoint.name();
    let mut flags = DomainCheckpointDeleteFlags::empty();
    flags.set(DomainCheckpointDeleteFlags::CHILDREN, args.children);
    flags.set(
        DomainCheckpointDeleteFlags::CHILDREN_ONLY,
        args.children_only,
    );
    flags.set(DomainCheckpointDeleteFlags::METADATA_ONLY, args.metadata);
    checkpoint
        .delete(flags)
        .await
        .map_err(Failure::doing(format!(
            "failed to delete checkpoint {name}"
        )))?;
    let what = if args.children_only {
        "children deleted"
    } else {
        "deleted"
    };
    let text = format!("Domain checkpoint {name} {what}");
    Ok(Report::message(
        with_checkpoint(&checkpoint, json!({})),
        text,
    ))
}
