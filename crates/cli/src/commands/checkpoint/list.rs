//! `checkpoint-list`.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use virtwire::constants::DomainCheckpointListFlags as Flags;
use virtwire::{Checkpoint, Connection, Error};

use super::tree;
use crate::args::CheckpointList;
use crate::commands::{find, with_identity};
use crate::failure::Failure;
use crate::output::{Report, Table};
use crate::time::Moment;

/// A line of the list.
struct Line {
    name: String,
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
        Some(name) => Some(domain.lookup_checkpoint(name).await?),
        None => None,
    };
    let mut checkpoints = match &from {
        Some(from) => from.children(flags).await?,
        None => domain.checkpoints(flags).await?,
    };
    if !args.topological {
        checkpoints.sort_by_key(|checkpoint| checkpoint.name().to_lowercase());
    }
    let lines = try_join_all(checkpoints.into_iter().map(line)).await?;
    let json = with_identity(
        &domain,
        json!({ "checkpoints": lines.iter().map(Line::json).collect::<Vec<_>>() }),
    );
    if args.tree {
        let names = lines
            .iter()
            .map(|line| (line.name.as_str(), line.parent.as_deref()));
        // The one that the tree begins at has no parent in it.
        let root = from.as_ref().map(|from| (from.name(), None));
        let nodes: Vec<_> = names.chain(root).collect();
        return Ok(Report::data(json, tree::text(&nodes)));
    }
    if args.name {
        let names = lines.iter().map(|line| line.name.as_str());
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

async fn line(checkpoint: Checkpoint) -> Result<Line, Error> {
    let description = checkpoint.description().await?;
    Ok(Line {
        name: description.name,
        parent: description.parent,
        created: description
            .created
            .and_then(|time| u64::try_from(time).ok()),
    })
}

impl Line {
    fn json(&self) -> Value {
        json!({
            "checkpoint": self.name,
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
        let mut cells = vec![line.name.as_str(), &created];
        if with_parent {
            cells.push(line.parent.as_deref().unwrap_or_default());
        }
        table.row(&cells);
    }
    table
}
