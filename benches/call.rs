//! Round trips: one caller and many on one connection, against a server that costs nothing and
//! against libvirtd, with a hand-written blocking client as the floor in the same run.
//!
//! What the client itself costs is a question for `cpu-per-call`; here the server's time is part
//! of every figure.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use bytes::BytesMut;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;
use virtwire::Connection;
use virtwire_benches::floor::{Floor, request};
use virtwire_benches::null_server::NullServer;
use virtwire_lab::Daemon;
use virtwire_protocol::remote;

criterion_main!(benches);
criterion_group!(benches, null_server, libvirtd);

fn null_server(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || NullServer::with_everything().unwrap().serve(&listener));
    let mut group = criterion.benchmark_group("null server");
    for callers in [1, 4, 16, 64] {
        let floor = Floor::connect(&socket).unwrap();
        round_trips(&mut group, callers, floor, &socket, callers);
    }
    group.finish();
}

fn libvirtd(criterion: &mut Criterion) {
    let daemon = Daemon::start().unwrap();
    let mut group = criterion.benchmark_group("libvirtd");
    for callers in [1, 4, 16, 64] {
        let mut floor = Floor::connect(&daemon.socket()).unwrap();
        floor.open("test:///default").unwrap();
        round_trips(&mut group, callers, floor, &daemon.socket(), callers.min(4));
    }
    group.finish();
}

/// One iteration is one call of every caller.
fn round_trips(
    group: &mut BenchmarkGroup<'_, WallTime>,
    callers: usize,
    mut floor: Floor,
    socket: &Path,
    in_flight: usize,
) {
    group.throughput(Throughput::Elements(callers as u64));
    let mut calls = BytesMut::new();
    for serial in 0..callers {
        let serial = u32::try_from(serial).unwrap();
        calls.extend(request::<remote::ConnectGetLibVersion>(serial, &()).unwrap());
    }
    group.bench_function(format!("floor, {callers} callers"), |b| {
        b.iter(|| floor.round_trip(&calls, callers).map(<[u8]>::len).unwrap());
    });
    let runtime = current_thread();
    let uri = format!("test+unix:///default?socket={}", socket.display());
    // One place is kept for calls that end other work.
    let builder = Connection::builder().uri(uri).max_in_flight(in_flight + 1);
    let connection = runtime.block_on(builder.connect()).unwrap();
    group.bench_function(format!("virtwire, {callers} callers"), |b| {
        b.to_async(&runtime).iter(|| {
            let calls = (0..callers).map(|_| connection.call::<remote::ConnectGetLibVersion>(()));
            try_join_all(calls)
        });
    });
    runtime.block_on(connection.close());
}

fn current_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
