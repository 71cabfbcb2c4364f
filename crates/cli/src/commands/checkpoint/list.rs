//! `checkpoint-list`.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use virtwire::constants::{DomainCheckpointListFlags as Flags, DomainCheckpointXmlFlags};
use virtwire::{Connection, Domain, Error, remote};

use super::{Checkpoint, tree};
use crate::args::CheckpointList;
use crate::commands::{find, wire, with_identity};
use crate::failure::Failure;
use crate::output::{Report, Table};
use crate::time::Moment;

/// A line of the list.
struct Line {
    checkpoint: Checkpoint,
    parent: Option<String>,
    created: Option<u64>,
}

pub(crate) async fn list(
    connection: &Connection,
    args: &CheckpointList,
) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let flags = flags(args);
    let from = match &args.from {
        Some(name) => Some(Checkpoint::of(&domain, name).await?),
        None => None,
    };
    let mut checkpoints = match &from {
        Some(from) => from.children(flags).await?,
        None => all(&domain, flags).await?,
    };
    if !args.topological {
        checkpoints.sort_by_key(|checkpoint| checkpoint.name.to_lowercase());
    }
    let lines = try_join_all(checkpoints.into_iter().map(line)).await?;
    let json = with_identity(
        &domain,
        json!({ "checkpoints": lines.iter().map(Line::json).collect::<Vec<_>>() }),
    );
    if args.tree {
        let names = lines
            .iter()
            .map(|line| (line.checkpoint.name.as_str(), line.parent.as_deref()));
        // The one that the tree begins at has no parent in it.
        let root = from.as_ref().map(|from| (from.name.as_str(), None));
        let nodes: Vec<_> = names.chain(root).collect();
        return Ok(Report::data(json, tree::text(&nodes)));
    }
    if args.name {
        let names = lines.iter().map(|line| line.checkpoint.name.as_str());
        return Ok(Report::data(
            json,
            names
                .map(|name| format!("{}\n", crate::escape::escape(name)))
                .collect::<String>(),
        ));
    }
    Ok(Report::table(json, table(&lines, args.parent)))
}

fn flags(args: &CheckpointList) -> Flags {
    // The first two are one bit, which means the former without --from and the latter with it.
    [
        (args.roots, Flags::ROOTS),
        (args.descendants, Flags::DESCENDANTS),
        (args.leaves, Flags::LEAVES),
        (args.no_leaves, Flags::NO_LEAVES),
        (args.topological, Flags::TOPOLOGICAL),
    ]
    .into_iter()
    .filter_map(|(wanted, flag)| wanted.then_some(flag))
    .collect()
}

async fn all(domain: &Domain, flags: Flags) -> Result<Vec<Checkpoint>, Error> {
    let call = remote::DomainListAllCheckpointsArgs {
        dom: wire(domain),
        need_results: 1,
        flags: flags.bits(),
    };
    let connection = domain.connection();
    let reply = connection
        .call::<remote::DomainListAllCheckpoints>(call)
        .await?;
    let checkpoints = reply.decode()?.checkpoints;
    Ok(checkpoints
        .iter()
        .map(|checkpoint| Checkpoint::received(domain, checkpoint))
        .collect())
}

async fn line(checkpoint: Checkpoint) -> Result<Line, Error> {
    let parent = checkpoint.parent().await?;
    let xml = checkpoint.xml(DomainCheckpointXmlFlags::NO_DOMAIN).await?;
    let created = creation_time(&xml);
    Ok(Line {
        checkpoint,
        parent,
        created,
    })
}

/// In seconds since 1970. Without the domain there is nothing in the XML that libvirt has not
/// written itself, and a `<` in a text is escaped.
fn creation_time(xml: &str) -> Option<u64> {
    let (_, rest) = xml.split_once("<creationTime>")?;
    let (number, _) = rest.split_once('<')?;
    number.trim().parse().ok()
}

impl Line {
    fn json(&self) -> Value {
        json!({
            "checkpoint": self.checkpoint.name,
            "parent": self.parent,
            "created": self.created,
        })
    }
}

fn table(lines: &[Line], with_parent: bool) -> Table {
    let heading: &[&str] = if with_parent {
        &["Name", "Creation Time", "Parent"]
    } else {
        &["Name", "Creation Time"]
    };
    let mut table = Table::new(heading);
    for line in lines {
        let created = line.created.map_or_else(String::new, |seconds| {
            Moment::from(UNIX_EPOCH + Duration::from_secs(seconds)).table_cell()
        });
        let mut cells = vec![line.checkpoint.name.as_str(), &created];
        if with_parent {
            cells.push(line.parent.as_deref().unwrap_or_default());
        }
        table.row(&cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found() {
        let xml = "<domaincheckpoint>\n  <description>&lt;creationTime>1</description>\n  \
                   <creationTime>1700000000</creationTime>\n</domaincheckpoint>";
        assert_eq!(creation_time(xml), Some(1_700_000_000));
        assert_eq!(creation_time("<domaincheckpoint/>"), None);
    }
}
