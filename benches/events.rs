//! Events: reading what a packet says, and handing it from the socket to those who want it.
//!
//! What an event costs the client altogether is a question for `cpu-per-event`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::hint::black_box;
use std::os::unix::net::UnixListener;
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use virtwire::Connection;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventGraphicsAddressType,
    DomainEventGraphicsPhase, DomainEventId, DomainEventStartedDetailType,
};
use virtwire::event::{
    CoalesceKey, DomainEvent, DomainEventKind, EventStream, GraphicsAddress, GraphicsIdentity,
    Lifecycle, Overflow,
};
use virtwire_benches::client::connect;
use virtwire_benches::flood::{EVENTS, Trigger};
use virtwire_benches::message::{self, DOMAINS};
use virtwire_benches::null_server::NullServer;
use virtwire_protocol::event::{Message, route, subject};
use virtwire_protocol::remote;
use virtwire_protocol::session::EventPacket;

criterion_main!(benches);
criterion_group!(benches, look, decode, deliver);

fn lifecycle() -> DomainEventKind {
    Lifecycle::Started(DomainEventStartedDetailType::BOOTED).into()
}

fn block_job() -> DomainEventKind {
    DomainEventKind::BlockJob2 {
        dst: "vda".to_owned(),
        kind: DomainBlockJobType::ACTIVE_COMMIT,
        status: ConnectDomainEventBlockJobStatus::READY,
    }
}

fn graphics() -> DomainEventKind {
    let address = |node: &str, service: &str| GraphicsAddress {
        family: DomainEventGraphicsAddressType::IPV4,
        node: node.to_owned(),
        service: service.to_owned(),
    };
    let identity = |kind: &str, name: &str| GraphicsIdentity {
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    DomainEventKind::Graphics {
        phase: DomainEventGraphicsPhase::CONNECT,
        local: address("192.0.2.1", "5900"),
        remote: address("192.0.2.77", "40112"),
        auth_scheme: "vencrypt".to_owned(),
        subject: vec![
            identity("x509dname", "CN=viewer,O=example"),
            identity("saslUsername", "viewer@example.org"),
        ],
    }
}

fn tunable() -> DomainEventKind {
    let record = message::stats().ret_stats.swap_remove(0);
    DomainEventKind::Tunable {
        params: record.params.into_iter().take(16).collect(),
    }
}

fn packet(kind: DomainEventKind) -> EventPacket {
    let message = Message::new(Some(1), message::domain(1), kind);
    message.encode().unwrap()
}

/// What every event is asked, whoever it is for.
fn look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    let event = packet(lifecycle());
    group.bench_function("route", |b| {
        b.iter(|| route(black_box(event.program), black_box(event.procedure)));
    });
    group.bench_function("subject", |b| {
        b.iter(|| {
            let event = black_box(&event);
            subject(event.program, event.procedure, &event.payload).is_some()
        });
    });
    group.bench_function("lifecycle as generated", |b| {
        type Event = remote::DomainEventCallbackLifecycle;
        b.iter(|| black_box(&event).message::<Event>().is_ok());
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    let kinds = [
        ("lifecycle", lifecycle()),
        ("block job", block_job()),
        ("graphics", graphics()),
        ("16 tunables", tunable()),
    ];
    for (name, kind) in kinds {
        let event = packet(kind);
        group.throughput(Throughput::Bytes(event.payload.len() as u64));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| {
                let event = black_box(&event);
                Message::decode(event.program, event.procedure, &event.payload).is_ok()
            });
        });
    }
    group.finish();
}

/// Whole floods from the null server, which is a thread here. The time is that of whoever is
/// slower, and that is the client.
fn deliver(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || NullServer::with_everything().unwrap().serve(&listener));
    let coalesced = Overflow::Coalesce(CoalesceKey::ObjectAndEvent);
    let mut group = criterion.benchmark_group("flood");
    group.sample_size(10);
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, streams, overflow) in [
        ("1 stream", 1, Overflow::DropOldest),
        ("1 stream, to be coalesced", 1, coalesced),
        ("4 streams", 4, Overflow::DropOldest),
        ("16 streams", 16, Overflow::DropOldest),
    ] {
        let (runtime, connection) = connect(&socket, 4).unwrap();
        let mut events = connection.events().event(DomainEventId::LIFECYCLE);
        events = events.overflow(overflow);
        let subscribe = try_join_all((0..streams).map(|_| events.clone().subscribe_as()));
        let mut streams = runtime.block_on(subscribe).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| streams = runtime.block_on(flood(&connection, std::mem::take(&mut streams))));
        });
        drop(streams);
        runtime.block_on(connection.close());
    }
    group.finish();
}

async fn flood(
    connection: &Connection,
    streams: Vec<EventStream<DomainEvent>>,
) -> Vec<EventStream<DomainEvent>> {
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(read(stream));
    }
    let maxids = i32::try_from(DOMAINS).unwrap();
    let trigger = remote::ConnectListDomainsArgs { maxids };
    connection.call::<Trigger>(trigger).await.unwrap();
    tasks.join_all().await
}

async fn read(mut stream: EventStream<DomainEvent>) -> EventStream<DomainEvent> {
    for number in 0..EVENTS {
        let event = stream.recv().await.unwrap();
        assert_eq!(event.domain.id(), u32::try_from(number).ok());
    }
    stream
}
