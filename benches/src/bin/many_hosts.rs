//! What it costs to be connected to a thousand hosts: time to connect, memory, calls across all.
//!
//! `cargo run --release -p virtwire-benches --bin many-hosts`

#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use std::future::Future;
use std::time::Duration;

use allocation_counter::AllocationInfo;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Runtime;
use virtwire::constants::{ConnectListAllDomainsFlags, DomainEventId};
use virtwire::{Connection, Error};
use virtwire_benches::client::Outcome;
use virtwire_benches::measure::{HEADINGS, measure};
use virtwire_benches::simulators::{self, DOMAINS, HOSTS, Simulators, raise_descriptor_limit};

/// How many hosts are asked at the same time.
const AT_ONCE: [usize; 4] = [1, 16, 64, HOSTS];

/// How often each host is asked where calls are counted.
const ROUNDS: usize = 20;

/// How many calls a host is asked at once to show what that leaves behind.
const BURST: usize = 16;

/// How long the drivers have to come to rest.
const SETTLING: Duration = Duration::from_millis(100);

/// By then every connection that is not used has pinged its daemon.
const KEEPALIVE: Duration = Duration::from_secs(6);

fn main() -> Outcome<()> {
    simulators::serve_if_asked()?;
    raise_descriptor_limit()?;
    let hosts = Hosts {
        simulators: Simulators::start()?,
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?,
    };
    // First of all, while the process has not freed anything that it could use again.
    hosts.memory()?;
    println!("{HEADINGS}");
    hosts.time()
}

/// The simulators, and what runs the client.
struct Hosts {
    simulators: Simulators,
    runtime: Runtime,
}

impl Hosts {
    /// How long it takes to connect to all of them, and to ask all of them something.
    fn time(&self) -> Outcome<()> {
        let mut connections = Vec::new();
        for at_once in AT_ONCE {
            self.close(std::mem::take(&mut connections));
            let cost = measure(HOSTS, || {
                connections = self.connect(at_once)?;
                Outcome::Ok(())
            })?;
            println!("{:38} {cost}", format!("connect, {at_once} at once"));
        }
        for at_once in AT_ONCE {
            let cost = measure(ROUNDS * HOSTS, || {
                (0..ROUNDS).try_for_each(|_| self.each(&connections, at_once, library_version))
            })?;
            println!("{:38} {cost}", format!("call, {at_once} hosts at once"));
        }
        self.close(connections);
        Ok(())
    }

    /// What a connection keeps when nothing happens on it any more.
    fn memory(&self) -> Outcome<()> {
        let mut connections = Vec::new();
        let mut streams = Vec::new();
        let mut ledger = Ledger::begin(self)?;
        ledger.enter("opened", || {
            connections = self.connect(HOSTS)?;
            Ok(())
        })?;
        ledger.enter("after a call", || {
            self.each(&connections, HOSTS, library_version)
        })?;
        ledger.enter("after the list of its domains", || {
            self.each(&connections, HOSTS, list_domains)
        })?;
        ledger.enter(&format!("after {BURST} calls at once"), || {
            self.each(&connections, 1, burst)
        })?;
        ledger.enter("left alone for some seconds", || {
            self.rest(KEEPALIVE);
            Ok(())
        })?;
        ledger.enter("with a stream of events", || {
            let subscribe = connections
                .iter()
                .map(|connection| connection.domain_events([DomainEventId::LIFECYCLE]));
            streams = self.runtime.block_on(try_join_all(subscribe))?;
            Ok(())
        })
    }

    fn connect(&self, at_once: usize) -> Outcome<Vec<Connection>> {
        let connect = |host| {
            let uri = self.simulators.uri(host);
            Connection::builder().uri(uri).connect()
        };
        let connections = stream::iter(0..HOSTS)
            .map(connect)
            .buffer_unordered(at_once);
        Ok(self.runtime.block_on(connections.try_collect())?)
    }

    /// Asks each of them, so many at a time.
    fn each<F>(
        &self,
        connections: &[Connection],
        at_once: usize,
        ask: impl Fn(Connection) -> F,
    ) -> Outcome<()>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let answers =
            stream::iter(connections.iter().cloned().map(Ok)).try_for_each_concurrent(at_once, ask);
        self.runtime.block_on(answers)?;
        Ok(())
    }

    fn close(&self, connections: Vec<Connection>) {
        let close = stream::iter(connections).for_each_concurrent(None, Connection::close);
        self.runtime.block_on(close);
    }

    /// Lets the drivers alone.
    fn rest(&self, time: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }
}

async fn library_version(connection: Connection) -> Result<(), Error> {
    connection.library_version().await.map(drop)
}

async fn list_domains(connection: Connection) -> Result<(), Error> {
    let all = ConnectListAllDomainsFlags::empty();
    let domains = connection.list_domains(all).await?;
    assert_eq!(domains.len(), DOMAINS);
    Ok(())
}

async fn burst(connection: Connection) -> Result<(), Error> {
    let calls = (0..BURST).map(|_| library_version(connection.clone()));
    try_join_all(calls).await.map(drop)
}

/// What is in memory now and was not at the beginning.
struct Ledger<'a> {
    hosts: &'a Hosts,
    heap: AllocationInfo,
    resident: f64,
}

impl<'a> Ledger<'a> {
    fn begin(hosts: &'a Hosts) -> Outcome<Self> {
        println!(
            "{:38} {:>10} {:>10} {:>12}",
            "", "heap KiB", "blocks", "resident KiB"
        );
        Ok(Self {
            hosts,
            heap: AllocationInfo::default(),
            resident: resident_kib()?,
        })
    }

    /// A line of what there is after `work`.
    fn enter(&mut self, what: &str, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        let mut outcome = Ok(());
        self.heap += allocation_counter::measure(|| {
            outcome = work();
            self.hosts.rest(SETTLING);
        });
        outcome?;
        let each = 1.0 / HOSTS as f64;
        let heap = self.heap.bytes_current as f64 / 1024.0 * each;
        let blocks = self.heap.count_current as f64 * each;
        let resident = (resident_kib()? - self.resident) * each;
        println!("{what:38} {heap:10.2} {blocks:10.1} {resident:12.2}");
        Ok(())
    }
}

/// How much memory the kernel has given to this process.
fn resident_kib() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or("the kernel does not say")?.parse()?)
}
