//! What a call costs the client: time, processor time and allocations, beside the floor.
//!
//! `cargo run --release -p virtwire-benches --bin cpu-per-call [null] [bulk] [daemon]`

#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use std::path::Path;

use bytes::BytesMut;
use tokio::task::JoinSet;
use virtwire::Connection;
use virtwire::constants::ConnectListAllDomainsFlags;
use virtwire_benches::client::{Outcome, connect};
use virtwire_benches::floor::{Floor, request};
use virtwire_benches::measure::{Comparison, Cost, HEADINGS, measure};
use virtwire_benches::message;
use virtwire_benches::null_server::{self, NullServer, Server};
use virtwire_lab::Daemon;
use virtwire_protocol::frame::PREFIX_LEN;
use virtwire_protocol::remote;
use virtwire_xdr::{DecodeError, Reader};

/// Each row is measured this often, one after the other, so that a busy moment hits all alike.
const ROUNDS: usize = 7;

/// Trivial calls per row and round.
const CALLS: usize = 20_000;

/// Bulk calls per row and round.
const BULK_CALLS: usize = 100;

/// The bound of every string.
const STRING_MAX: u32 = remote::STRING_MAX;

fn main() -> Outcome<()> {
    null_server::serve_if_asked(NullServer::with_everything)?;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    println!("{HEADINGS}");
    if wanted("null") {
        null()?;
    }
    if wanted("bulk") {
        bulk()?;
    }
    if wanted("daemon") {
        daemon()?;
    }
    Ok(())
}

/// Trivial calls to a server that costs nothing.
fn null() -> Outcome<()> {
    let server = Server::start()?;
    for callers in [1, 4, 16, 64] {
        let floor = Floor::connect(&server.socket())?;
        compare("null server", &server.socket(), floor, callers, callers)?;
    }
    Ok(())
}

/// Trivial calls to libvirtd, with as many in flight as a daemon likes.
fn daemon() -> Outcome<()> {
    let daemon = Daemon::start()?;
    for callers in [1, 16, 64] {
        let mut floor = Floor::connect(&daemon.socket())?;
        floor.open("test:///default")?;
        compare("libvirtd", &daemon.socket(), floor, callers, callers.min(4))?;
    }
    Ok(())
}

fn compare(
    server: &str,
    socket: &Path,
    mut floor: Floor,
    callers: usize,
    in_flight: usize,
) -> Outcome<()> {
    let mut calls = BytesMut::new();
    for serial in 0..callers {
        let serial = u32::try_from(serial)?;
        calls.extend(request::<remote::ConnectGetLibVersion>(serial, &())?);
    }
    let (runtime, connection) = connect(socket, in_flight)?;
    let mut rounds = Comparison::new(format!("{server}, {callers} callers"));
    for _ in 0..ROUNDS {
        let floor = measure(CALLS, || {
            (0..CALLS / callers).try_for_each(|_| floor.round_trip(&calls, callers).map(drop))
        })?;
        let client = measure(CALLS, || {
            runtime.block_on(call_from_tasks(&connection, callers))
        })?;
        rounds.add(floor, client);
    }
    runtime.block_on(connection.close());
    println!("{rounds}");
    Ok(())
}

/// Makes the calls of one round from as many tasks as there are callers.
async fn call_from_tasks(connection: &Connection, callers: usize) -> Result<(), virtwire::Error> {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let connection = connection.clone();
        tasks.spawn(async move {
            for _ in 0..CALLS / callers {
                let reply = connection.call::<remote::ConnectGetLibVersion>(()).await?;
                std::hint::black_box(reply.decode()?);
            }
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Large replies from a server that costs nothing; the floor walks over them and keeps nothing.
fn bulk() -> Outcome<()> {
    let server = Server::start()?;
    let (runtime, connection) = connect(&server.socket(), 4)?;
    let mut floor = Floor::connect(&server.socket())?;
    let list = request::<remote::ConnectListAllDomains>(
        1,
        &remote::ConnectListAllDomainsArgs {
            need_results: 1,
            flags: 0,
        },
    )?;
    let stats = request::<remote::ConnectGetAllDomainStats>(1, &all_stats())?;
    let mut lists = Comparison::new("list of 500 domains");
    let mut records = Comparison::new("statistics, 500 × 60");
    for _ in 0..ROUNDS {
        let floor_lists = walked(&mut floor, &list, walk_domains)?;
        let client_lists = bulk_round(|| {
            let all = ConnectListAllDomainsFlags::empty();
            let domains = runtime.block_on(connection.list_domains(all))?;
            Ok(domains.len())
        })?;
        lists.add(floor_lists, client_lists);
        let floor_records = walked(&mut floor, &stats, walk_stats)?;
        let client_records = bulk_round(|| {
            let call = connection.call::<remote::ConnectGetAllDomainStats>(all_stats());
            let reply = runtime.block_on(call)?;
            Ok(reply.decode()?.ret_stats.len())
        })?;
        records.add(floor_records, client_records);
    }
    runtime.block_on(connection.close());
    println!("{lists}");
    println!("{records}");
    Ok(())
}

fn walked(
    floor: &mut Floor,
    request: &[u8],
    walk: fn(&mut Reader<'_>) -> Result<usize, DecodeError>,
) -> Outcome<Cost> {
    bulk_round(|| {
        let reply = floor.round_trip(request, 1)?;
        Ok(walk(&mut Reader::new(
            reply.get(PREFIX_LEN..).unwrap_or_default(),
        ))?)
    })
}

/// One round of calls, each of which has to find every domain.
fn bulk_round(mut call: impl FnMut() -> Outcome<usize>) -> Outcome<Cost> {
    measure(BULK_CALLS, || {
        (0..BULK_CALLS).try_for_each(|_| match call()? {
            message::DOMAINS => Ok(()),
            count => Err(format!("{count} domains").into()),
        })
    })
}

fn all_stats() -> remote::ConnectGetAllDomainStatsArgs<'static> {
    remote::ConnectGetAllDomainStatsArgs::default()
}

fn walk_domains(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = reader.u32()?;
    for _ in 0..count {
        walk_domain(reader)?;
    }
    Ok(count as usize)
}

fn walk_stats(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = reader.u32()?;
    for _ in 0..count {
        walk_domain(reader)?;
        for _ in 0..reader.u32()? {
            reader.string(STRING_MAX)?;
            match reader.i32()? {
                3..=5 => drop(reader.u64()?),
                7 => drop(reader.string(STRING_MAX)?),
                _ => drop(reader.u32()?),
            }
        }
    }
    Ok(count as usize)
}

fn walk_domain(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.string(STRING_MAX)?;
    reader.fixed_opaque::<16>()?;
    reader.i32().map(drop)
}
