//! What an event costs the client: time, processor time and allocations, beside the floor; and
//! what a flood of events does to the calls that are made meanwhile.
//!
//! `cargo run --release -p virtwire-benches --bin cpu-per-event [streams] [calls]`

#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use virtwire::Connection;
use virtwire::constants::{ConnectListAllDomainsFlags, DomainEventId};
use virtwire::event::{CoalesceKey, DomainEvent, EventError, EventStream, Overflow};
use virtwire_benches::client::{Outcome, connect};
use virtwire_benches::flood::{EVENTS, Trigger};
use virtwire_benches::floor::{Floor, request};
use virtwire_benches::measure::{Comparison, HEADINGS, measure};
use virtwire_benches::message::DOMAINS;
use virtwire_benches::null_server::{self, NullServer, Server};
use virtwire_protocol::remote;

/// Each row is measured this often, one after the other, so that a busy moment hits all alike.
const ROUNDS: usize = 9;

/// Calls of a round that nothing disturbs.
const CALLS: usize = 2_000;

fn main() -> Outcome<()> {
    null_server::serve_if_asked(NullServer::with_everything)?;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    let server = Server::start()?;
    if wanted("streams") {
        println!("{HEADINGS}");
        for row in rows() {
            row.measure(&server)?;
        }
    }
    if wanted("calls") {
        calls(&server)?;
    }
    Ok(())
}

/// Who wants the events, and how.
#[derive(Debug, Clone)]
struct Row {
    what: &'static str,
    /// How many domains the events are about, in turn.
    domains: usize,
    /// How many streams are read, each by a task of its own.
    readers: usize,
    overflow: Overflow,
    /// Only events of one domain are asked for.
    filtered: bool,
    /// There is a stream as well that nobody reads before the flood is over.
    unread: Option<Overflow>,
}

fn rows() -> Vec<Row> {
    let coalesced = |key| Overflow::Coalesce(key);
    let row = |what, readers| Row {
        what,
        domains: DOMAINS,
        readers,
        overflow: Overflow::default(),
        filtered: false,
        unread: None,
    };
    vec![
        row("1 stream", 1),
        row("4 streams", 4),
        row("16 streams", 16),
        Row {
            domains: 1,
            filtered: true,
            ..row("1 stream, one domain", 1)
        },
        Row {
            overflow: coalesced(CoalesceKey::ObjectAndEvent),
            ..row("1 stream, to be coalesced", 1)
        },
        Row {
            unread: Some(Overflow::DropOldest),
            ..row("1 stream, 1 unread", 1)
        },
        Row {
            domains: 1,
            unread: Some(coalesced(CoalesceKey::Object)),
            ..row("1 stream, 1 coalesced", 1)
        },
    ]
}

impl Row {
    fn measure(&self, server: &Server) -> Outcome<()> {
        let mut floor = Floor::connect(&server.socket())?;
        let trigger = request::<Trigger>(1, &self.trigger())?;
        let (runtime, connection) = connect(&server.socket(), 4)?;
        let (mut streams, mut unread) = runtime.block_on(self.subscribe(&connection))?;
        let mut rounds = Comparison::new(self.what);
        for _ in 0..ROUNDS {
            let floor = measure(EVENTS, || floor.count(&trigger, EVENTS + 1))?;
            let client = measure(EVENTS, || {
                streams = self.flood(&runtime, &connection, std::mem::take(&mut streams))?;
                Outcome::Ok(())
            })?;
            rounds.add(floor, client);
            if let (Some(overflow), Some(stream)) = (self.unread, &mut unread) {
                check_unread(stream, overflow)?;
            }
        }
        runtime.block_on(connection.close());
        println!("{rounds}");
        Ok(())
    }

    fn trigger(&self) -> remote::ConnectListDomainsArgs {
        remote::ConnectListDomainsArgs {
            maxids: i32::try_from(self.domains).unwrap_or(i32::MAX),
        }
    }

    async fn subscribe(
        &self,
        connection: &Connection,
    ) -> Outcome<(
        Vec<EventStream<DomainEvent>>,
        Option<EventStream<DomainEvent>>,
    )> {
        let mut builder = connection.events().event(DomainEventId::LIFECYCLE);
        if self.filtered {
            let all = ConnectListAllDomainsFlags::empty();
            let guests = connection.list_domains(all).await?;
            builder = builder.domain(guests.first().ok_or("no domains")?);
        }
        let mut streams = Vec::new();
        for _ in 0..self.readers {
            let builder = builder.clone().overflow(self.overflow);
            streams.push(builder.subscribe_as().await?);
        }
        let unread = match self.unread {
            Some(overflow) => Some(builder.overflow(overflow).subscribe_as().await?),
            None => None,
        };
        Ok((streams, unread))
    }

    /// One flood, read by as many tasks as there are streams.
    fn flood(
        &self,
        runtime: &Runtime,
        connection: &Connection,
        streams: Vec<EventStream<DomainEvent>>,
    ) -> Outcome<Vec<EventStream<DomainEvent>>> {
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for stream in streams {
                tasks.spawn(read(stream));
            }
            connection.call::<Trigger>(self.trigger()).await?;
            let read: Result<Vec<_>, String> = tasks.join_all().await.into_iter().collect();
            Ok(read?)
        })
    }
}

/// Reads a flood to its last event, and sees to it that each came in its place.
async fn read(mut stream: EventStream<DomainEvent>) -> Result<EventStream<DomainEvent>, String> {
    for number in 0..EVENTS {
        match stream.recv().await {
            Ok(event) if number_of(&event) == Some(number) => {}
            Ok(event) => return Err(format!("{:?} instead of {number}", number_of(&event))),
            Err(error) => return Err(format!("{error} at {number}")),
        }
    }
    Ok(stream)
}

/// A stream that nobody read has the latest events, and knows how many it has not.
fn check_unread(stream: &mut EventStream<DomainEvent>, overflow: Overflow) -> Outcome<()> {
    let (mut events, mut lagged, mut last) = (0, 0, None);
    while let Some(item) = stream.try_recv() {
        match item {
            Ok(event) => (events, last) = (events + 1, number_of(&event)),
            Err(EventError::Lagged(count)) => lagged += usize::try_from(count)?,
            Err(error) => return Err(error.into()),
        }
    }
    let complete = match overflow {
        Overflow::Coalesce(_) => (events, lagged) == (1, 0),
        _ => events + lagged == EVENTS,
    };
    if complete && last == Some(EVENTS - 1) {
        Ok(())
    } else {
        Err(format!("{events} events unread and {lagged} missed, the last is {last:?}").into())
    }
}

/// Which event of a flood it is.
fn number_of(event: &DomainEvent) -> Option<usize> {
    usize::try_from(event.domain.id()?).ok()
}

/// How long calls take without events, and during a flood that one stream reads and another does
/// not.
fn calls(server: &Server) -> Outcome<()> {
    let row = Row {
        unread: Some(Overflow::DropOldest),
        ..rows().remove(0)
    };
    let (runtime, connection) = connect(&server.socket(), 4)?;
    let (mut streams, _unread) = runtime.block_on(row.subscribe(&connection))?;
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let calling = call_until(connection.clone(), |calls| calls == CALLS);
        quiet.extend(runtime.block_on(runtime.spawn(calling))??);
        let (over, is_over) = oneshot::channel::<()>();
        let calling = call_until(connection.clone(), move |_| over.is_closed());
        let calling = runtime.spawn(calling);
        streams = row.flood(&runtime, &connection, streams)?;
        drop(is_over);
        flooded.extend(runtime.block_on(calling)??);
    }
    runtime.block_on(connection.close());
    println!(
        "{:38} {:>10} {:>10} {:>12}",
        "", "median µs", "99 % µs", "calls"
    );
    print_latencies("calls", quiet);
    print_latencies("calls during a flood", flooded);
    Ok(())
}

/// Makes one call after the other, and says how long each took.
async fn call_until(
    connection: Connection,
    done: impl Fn(usize) -> bool,
) -> Result<Vec<Duration>, virtwire::Error> {
    let mut latencies = Vec::new();
    while !done(latencies.len()) {
        let started = Instant::now();
        connection.call::<remote::ConnectGetLibVersion>(()).await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}

fn print_latencies(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort();
    let quantile = |percent: usize| {
        let index = latencies.len() * percent / 100;
        latencies
            .get(index)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
            * 1e6
    };
    let (median, slow) = (quantile(50), quantile(99));
    println!("{what:38} {median:10.1} {slow:10.1} {:12}", latencies.len());
}
