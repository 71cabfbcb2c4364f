//! Events: asked for, told, lost and given up.

mod backup;
mod busy;
mod cancel;
mod close;
mod daemon;
mod filter;
mod job;
mod kinds;
mod leave;
mod legacy;
mod oracle;
mod queue;
mod refused;
mod route;
mod storm;
mod subscribe;
mod unknown;

use std::ops::Range;

use virtwire::constants::DomainEventStartedDetailType;
use virtwire::event::{DomainEvent, DomainEventKind, EventError, Lifecycle};
use virtwire::remote::NonnullDomain;
use virtwire_protocol::event::Message;
use virtwire_tests::peer::{domain, event_header, packet};

use self::daemon::Daemon;

/// That a domain has started, in a way that is a number of the test's own.
fn start_of(dom: NonnullDomain<'static>, callback: Option<i32>, number: i32) -> Message<'static> {
    let step = Lifecycle::Started(DomainEventStartedDetailType(number));
    Message::new(callback, dom, DomainEventKind::from(step))
}

/// That the guest has started.
fn start(callback: i32, number: i32) -> Message<'static> {
    start_of(domain(), Some(callback), number)
}

/// The packets that say that the guest has started, time and again.
fn starts(callback: i32, numbers: Range<i32>) -> Vec<u8> {
    let packets = numbers.map(|number| {
        let event = start(callback, number).encode().unwrap();
        packet(
            &event_header(event.program, event.procedure),
            &event.payload,
        )
    });
    packets.flatten().collect()
}

/// A domain beside the guest.
fn other_domain() -> NonnullDomain<'static> {
    NonnullDomain {
        name: "other".into(),
        uuid: [77; 16],
        id: 2,
    }
}

/// The number of a start.
#[track_caller]
fn number(item: Result<DomainEvent, EventError>) -> i32 {
    match item.unwrap().kind {
        DomainEventKind::Lifecycle(Lifecycle::Started(number)) => number.0,
        other => panic!("{other:?}"),
    }
}
