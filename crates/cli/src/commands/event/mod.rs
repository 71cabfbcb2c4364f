//! `event`, `net-event`, `pool-event`, `nodedev-event`, `secret-event` and `qemu-monitor-event`.

mod document;
mod follow;
mod line;
mod names;
mod object;
mod words;

use serde_json::json;
use virtwire::Connection;
use virtwire::event::{Builder, EventClass, EventId, MonitorFilter};

use self::follow::follow;
use super::find;
use crate::args::{
    Command, Event, NetEvent, NodedevEvent, PoolEvent, QemuMonitorEvent, SecretEvent, Which,
};
use crate::failure::Failure;
use crate::output::{Output, Report};

/// What can be said without a daemon: which kinds there are, or that there is no such kind.
pub(super) fn without_connection(command: &Command) -> Result<Option<Report>, Failure> {
    let (class, which) = match command {
        Command::Event(args) => (EventClass::Domain, &args.which),
        Command::NetEvent(args) => (EventClass::Network, &args.which),
        Command::PoolEvent(args) => (EventClass::StoragePool, &args.which),
        Command::NodedevEvent(args) => (EventClass::NodeDevice, &args.which),
        Command::SecretEvent(args) => (EventClass::Secret, &args.which),
        _ => return Ok(None),
    };
    if which.list {
        let names = names::all(class);
        return Ok(Some(Report::data(json!(names), names.join("\n"))));
    }
    kinds(class, which).map(|_| None)
}

pub(super) async fn domain(
    connection: &Connection,
    args: &Event,
    output: Output,
) -> Result<Report, Failure> {
    let mut events = chosen(connection, EventClass::Domain, &args.which)?;
    if let Some(text) = &args.domain {
        events = events.domain(&find(connection, text).await?);
    }
    follow(events, &args.wait, false, output).await
}

pub(super) async fn network(
    connection: &Connection,
    args: &NetEvent,
    output: Output,
) -> Result<Report, Failure> {
    let mut events = chosen(connection, EventClass::Network, &args.which)?;
    if let Some(text) = &args.network {
        events = events.network(&object::network(connection, text).await?);
    }
    follow(events, &args.wait, false, output).await
}

pub(super) async fn storage_pool(
    connection: &Connection,
    args: &PoolEvent,
    output: Output,
) -> Result<Report, Failure> {
    let mut events = chosen(connection, EventClass::StoragePool, &args.which)?;
    if let Some(text) = &args.pool {
        events = events.storage_pool(&object::storage_pool(connection, text).await?);
    }
    follow(events, &args.wait, false, output).await
}

pub(super) async fn node_device(
    connection: &Connection,
    args: &NodedevEvent,
    output: Output,
) -> Result<Report, Failure> {
    let mut events = chosen(connection, EventClass::NodeDevice, &args.which)?;
    if let Some(text) = &args.device {
        events = events.node_device(&object::node_device(connection, text).await?);
    }
    follow(events, &args.wait, false, output).await
}

pub(super) async fn secret(
    connection: &Connection,
    args: &SecretEvent,
    output: Output,
) -> Result<Report, Failure> {
    let mut events = chosen(connection, EventClass::Secret, &args.which)?;
    if let Some(text) = &args.secret {
        events = events.secret(&object::secret(connection, text).await?);
    }
    follow(events, &args.wait, false, output).await
}

pub(super) async fn qemu_monitor(
    connection: &Connection,
    args: &QemuMonitorEvent,
    output: Output,
) -> Result<Report, Failure> {
    let mut filter = match &args.event {
        None => MonitorFilter::all(),
        Some(pattern) if args.regex => MonitorFilter::regex(pattern),
        Some(name) => MonitorFilter::name(name),
    };
    if args.no_case {
        filter = filter.ignore_case();
    }
    let mut events = connection.events().qemu_monitor(filter);
    if let Some(text) = &args.domain {
        events = events.domain(&find(connection, text).await?);
    }
    follow(events, &args.wait, args.pretty, output).await
}

/// A subscription to what was chosen. Of all kinds, those that the daemon does not have are left
/// out, as virsh does.
fn chosen(connection: &Connection, class: EventClass, which: &Which) -> Result<Builder, Failure> {
    let events = connection.events().events(kinds(class, which)?);
    Ok(if which.all {
        events.skip_unsupported()
    } else {
        events
    })
}

fn kinds(class: EventClass, which: &Which) -> Result<Vec<EventId>, Failure> {
    if which.all {
        return Ok(names::ids(class).collect());
    }
    let kind = |name: &String| {
        let unknown = || {
            Failure::Usage(format!(
                "unknown event type {name}; --list tells which there are"
            ))
        };
        names::ids(class)
            .find(|id| names::name(*id) == Some(name.as_str()))
            .ok_or_else(unknown)
    };
    which.event.iter().map(kind).collect()
}
