//! Events for people: the lines that virsh prints.

mod domain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use virtwire::event::{
    Event, EventId, MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind,
    StoragePoolEventKind, UnknownEvent,
};

use super::{names, words};
use crate::escape::{escape, escape_lines};
use crate::time::Moment;

/// How events are to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// With the time when they came.
    pub(super) timestamp: bool,
    /// With the details of monitor events on several lines.
    pub(super) pretty: bool,
}

/// What virsh prints of an event, without the end of the line.
pub(super) fn text(event: &Event, moment: Moment, form: Form) -> String {
    let text = match event {
        Event::Domain(event) => domain::text(event.domain.name(), &event.kind),
        Event::Network(event) => network(event.network.name(), &event.kind),
        Event::StoragePool(event) => storage_pool(event.pool.name(), &event.kind),
        Event::NodeDevice(event) => node_device(event.device.name(), &event.kind),
        Event::Secret(event) => secret(&event.secret.uuid().to_string(), &event.kind),
        Event::QemuMonitor(event) => monitor(event.domain.name(), &event.event, form),
        Event::ConnectionClosed(_) => "event 'connection-closed'".to_owned(),
        Event::Unknown(event) => unknown(event),
        _ => "event of an unknown class".to_owned(),
    };
    if form.timestamp {
        format!("{}: {text}", moment.virsh())
    } else {
        text
    }
}

/// A kind by its name, else by its number.
fn kind_name(id: EventId) -> Cow<'static, str> {
    match names::name(id) {
        Some(name) => name.into(),
        None => id.number().to_string().into(),
    }
}

fn escape_or_null(text: &Option<String>) -> Cow<'_, str> {
    escape(text.as_deref().unwrap_or("<null>"))
}

fn network(name: &str, kind: &NetworkEventKind) -> String {
    let rest = match kind {
        NetworkEventKind::Lifecycle { event, .. } => format!(": {}", words::NETWORK.of(event.0)),
        NetworkEventKind::MetadataChange { kind, ns_uri } => {
            let kind = words::METADATA.of(kind.0);
            format!(": type {kind}, uri {}", escape_or_null(ns_uri))
        }
        _ => String::new(),
    };
    of("network", name, kind.id(), rest)
}

fn storage_pool(name: &str, kind: &StoragePoolEventKind) -> String {
    let rest = match kind {
        StoragePoolEventKind::Lifecycle { event, .. } => {
            format!(": {}", words::STORAGE_POOL.of(event.0))
        }
        _ => String::new(),
    };
    of("storage pool", name, kind.id(), rest)
}

fn node_device(name: &str, kind: &NodeDeviceEventKind) -> String {
    let rest = match kind {
        NodeDeviceEventKind::Lifecycle { event, .. } => {
            format!(": {}", words::NODE_DEVICE.of(event.0))
        }
        _ => String::new(),
    };
    of("node device", name, kind.id(), rest)
}

fn secret(uuid: &str, kind: &SecretEventKind) -> String {
    let rest = match kind {
        SecretEventKind::Lifecycle { event, .. } => format!(": {}", words::SECRET.of(event.0)),
        _ => String::new(),
    };
    of("secret", uuid, kind.id(), rest)
}

fn of(what: &str, name: &str, id: impl Into<EventId>, rest: impl fmt::Display) -> String {
    let kind = kind_name(id.into());
    format!("event '{kind}' for {what} {}{rest}", escape(name))
}

fn monitor(domain: &str, event: &MonitorEvent, form: Form) -> String {
    let (name, domain) = (escape(&event.name), escape(domain));
    // One time is enough.
    let when = if form.timestamp {
        String::new()
    } else {
        format!(" at {}.{:06}", event.seconds, event.micros)
    };
    let details = event.details.as_deref();
    let pretty = details.filter(|_| form.pretty).and_then(pretty);
    let details = match &pretty {
        Some(text) => escape_lines(text),
        None => escape(details.unwrap_or("<null>")),
    };
    format!("event {name}{when} for domain '{domain}': {details}")
}

/// JSON on several lines; nothing where it is no JSON.
fn pretty(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    Some(format!("{value:#}"))
}

fn unknown(event: &UnknownEvent) -> String {
    let program = event.program.number;
    format!(
        "event {} of program {program:#010x}, unknown to this version, with {} bytes",
        event.procedure,
        event.bytes.len()
    )
}
