//! Block jobs: what is asked of the daemon, and what its words are taken for.

mod arguments;
mod asked;
mod bandwidth;
mod host;
mod listed;
mod older_event;
mod stranger;
mod unknown;
mod xml;

use virtwire::constants::{ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType as Kind};
use virtwire::event::DomainEventKind;

/// What a daemon says of a job on the disk.
fn news(kind: Kind, status: Status) -> DomainEventKind {
    let dst = "vda".to_owned();
    DomainEventKind::BlockJob2 { dst, kind, status }
}

/// What it says in the older way.
fn older_news(image: &str, kind: Kind, status: Status) -> DomainEventKind {
    let path = image.to_owned();
    DomainEventKind::BlockJob { path, kind, status }
}
