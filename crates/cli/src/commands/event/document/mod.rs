//! Events for programs: one object for each.

mod domain;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use virtwire::event::{
    Event, EventId, MonitorEvent, NetworkEventKind, NodeDeviceEventKind, SecretEventKind,
    StoragePoolEventKind, UnknownEvent,
};
use virtwire::{Network, NodeDevice, Secret, StoragePool};

use super::names;
use crate::commands::call::hex;
use crate::commands::{identity, merged};
use crate::time::Moment;

/// The document of an event: its kind, when it came, to what it happened, and what.
pub(super) fn document(event: &Event, moment: Moment) -> Value {
    let kind = event.id().map_or_else(|| "unknown".into(), kind_name);
    headed(&kind, moment, body(event))
}

/// Something that stands where an event could.
pub(super) fn remark(kind: &str, moment: Moment, body: Value) -> Value {
    headed(&kind.into(), moment, body)
}

/// An event that is not encoded as it ought to be.
pub(super) fn undecoded(event: &UnknownEvent) -> Value {
    json!({
        "program": event.program.number,
        "procedure": event.procedure,
        "hex": hex(&event.bytes),
    })
}

fn headed(kind: &Value, moment: Moment, body: Value) -> Value {
    merged(json!({ "event": kind, "time": moment.rfc3339() }), body)
}

fn body(event: &Event) -> Value {
    match event {
        Event::Domain(event) => about(
            "domain",
            identity(&event.domain),
            domain::fields(&event.kind),
        ),
        Event::Network(event) => about("network", of_network(&event.network), network(&event.kind)),
        Event::StoragePool(event) => about("pool", of_pool(&event.pool), storage_pool(&event.kind)),
        Event::NodeDevice(event) => {
            about("device", of_device(&event.device), node_device(&event.kind))
        }
        Event::Secret(event) => about("secret", of_secret(&event.secret), secret(&event.kind)),
        Event::QemuMonitor(event) => {
            about("domain", identity(&event.domain), monitor(&event.event))
        }
        Event::ConnectionClosed(event) => {
            json!({ "reason": named(event.reason.name(), event.reason.0) })
        }
        Event::Unknown(event) => undecoded(event),
        _ => json!({}),
    }
}

/// What it happened to, and then what.
fn about(what: &str, who: Value, fields: Value) -> Value {
    let who = Map::from_iter([(what.to_owned(), who)]);
    merged(who.into(), fields)
}

/// A kind by its name, else by its number.
fn kind_name(id: EventId) -> Value {
    names::name(id).map_or_else(|| id.number().into(), Value::from)
}

/// A value by its name, else by its number.
fn named(name: Option<&str>, number: i32) -> Value {
    name.map_or_else(|| number.into(), |name| name.to_lowercase().into())
}

fn of_network(network: &Network) -> Value {
    json!({ "name": network.name(), "uuid": network.uuid().to_string() })
}

fn of_pool(pool: &StoragePool) -> Value {
    json!({ "name": pool.name(), "uuid": pool.uuid().to_string() })
}

fn of_device(device: &NodeDevice) -> Value {
    json!({ "name": device.name() })
}

fn of_secret(secret: &Secret) -> Value {
    let usage = secret.usage_type();
    json!({
        "uuid": secret.uuid().to_string(),
        "usage_type": named(usage.name(), usage.0),
        "usage_id": secret.usage_id(),
    })
}

fn lifecycle(name: Option<&str>, number: i32, detail: i32) -> Value {
    json!({ "change": named(name, number), "detail": detail })
}

fn network(kind: &NetworkEventKind) -> Value {
    match kind {
        NetworkEventKind::Lifecycle { event, detail } => lifecycle(event.name(), event.0, *detail),
        NetworkEventKind::MetadataChange { kind, ns_uri } => {
            json!({ "type": named(kind.name(), kind.0), "uri": ns_uri })
        }
        _ => json!({}),
    }
}

fn storage_pool(kind: &StoragePoolEventKind) -> Value {
    match kind {
        StoragePoolEventKind::Lifecycle { event, detail } => {
            lifecycle(event.name(), event.0, *detail)
        }
        _ => json!({}),
    }
}

fn node_device(kind: &NodeDeviceEventKind) -> Value {
    match kind {
        NodeDeviceEventKind::Lifecycle { event, detail } => {
            lifecycle(event.name(), event.0, *detail)
        }
        _ => json!({}),
    }
}

fn secret(kind: &SecretEventKind) -> Value {
    match kind {
        SecretEventKind::Lifecycle { event, detail } => lifecycle(event.name(), event.0, *detail),
        _ => json!({}),
    }
}

fn monitor(event: &MonitorEvent) -> Value {
    json!({
        "name": event.name,
        "seconds": event.seconds,
        "micros": event.micros,
        "details": event.details.as_deref().map(details),
    })
}

/// The details as what they are, an object; as text where they are none.
fn details(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object.into(),
        _ => text.into(),
    }
}
