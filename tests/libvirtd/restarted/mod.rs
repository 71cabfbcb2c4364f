//! A daemon that is killed and started again, over and over, under a connection that lasts: no call
//! is lost, none is made twice that must not be, and nothing is left.

mod load;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use virtwire::constants::DomainEventId;
use virtwire::event::{EventError, Lifecycle, LifecycleEvent};
use virtwire::{Connection, Procedure, Reconnect, remote};
use virtwire_lab::{Daemon, Driver};
use virtwire_tests::alone::{alone, open_descriptors};
use virtwire_tests::relay::{Recording, Relay};
use virtwire_tests::{deadline_of, release, task};
use virtwire_xdr::{Decode as _, Reader};

use self::load::{ANCHOR, Fate, Load, Told, define, names};
use crate::hypervisor::connection::open;

/// Two rounds of three begin when so much has been answered since the last.
const ENOUGH: usize = 100;

/// A daemon starts within a second, even where there is little left of two processors, and asks its
/// domains' files meanwhile.
const PATIENCE: Duration = Duration::from_secs(180);

/// The domain that is defined when all is over.
const LAST: &str = "last";

async fn lasting(uri: &str) -> Connection {
    let policy = Reconnect::default().first_delay(Duration::from_millis(5));
    let policy = policy.longest_delay(Duration::from_millis(50));
    let builder = Connection::builder().uri(uri).reconnect(policy);
    builder.connect().await.unwrap()
}

/// Kills the daemon and starts it again, so many times.
async fn torment(mut daemon: Daemon, load: &Load, rounds: u64) -> Daemon {
    for round in 0..rounds {
        // Every third time it is killed before all have come back to it.
        match round % 3 {
            2 => sleep(Duration::from_millis(round % 17)).await,
            _ => load.advance(ENOUGH).await,
        }
        let killed = spawn_blocking(move || {
            daemon.kill().unwrap();
            daemon.restart().unwrap();
            daemon
        });
        daemon = killed.await.unwrap();
    }
    load.advance(ENOUGH).await;
    daemon
}

/// What a subscriber to the lives of all domains hears, until the last one is defined.
#[derive(Debug, Default)]
struct Heard {
    gaps: usize,
    /// How often each domain was defined.
    defined: HashMap<String, usize>,
}

async fn listen(connection: &Connection) -> JoinHandle<Heard> {
    let events = connection.events().event(DomainEventId::LIFECYCLE);
    let mut events = events.subscribe_as::<LifecycleEvent>().await.unwrap();
    tokio::spawn(async move {
        let mut heard = Heard::default();
        while !heard.defined.contains_key(LAST) {
            match events.recv().await {
                Ok(event) if matches!(event.lifecycle, Lifecycle::Defined(_)) => {
                    let name = event.domain.name().to_owned();
                    *heard.defined.entry(name).or_default() += 1;
                }
                Ok(_) => {}
                Err(EventError::Gap) => heard.gaps += 1,
                Err(other) => panic!("{other}"),
            }
        }
        heard
    })
}

/// What everybody was told, and what is so.
struct Outcome {
    fates: Vec<Fate>,
    heard: Heard,
}

/// Uses a connection by this URI while the daemon is killed so often.
async fn play(uri: &str, daemon: Daemon, rounds: u64) -> (Daemon, Outcome) {
    let connection = lasting(uri).await;
    define(&connection, ANCHOR).await.unwrap();
    let listening = listen(&connection).await;
    let load = Load::start(&connection);
    let daemon = torment(daemon, &load, rounds).await;
    let fates = load.stop().await;
    define(&connection, LAST).await.unwrap();
    let heard = listening.await.unwrap();
    assert!(connection.close_cause().is_none());
    connection.close().await;
    let there = open(&daemon.uri(Driver::Qemu)).await;
    let there = names(&there).await.unwrap();
    for fate in &fates {
        if let Some(exists) = fate.exists() {
            assert_eq!(there.contains(&fate.name), exists, "{fate:?}");
        }
    }
    (daemon, Outcome { fates, heard })
}

/// How often the daemon was told to do something to each domain.
fn requests<P: Procedure>(
    recordings: &[Recording],
    name: impl Fn(&[u8]) -> String,
) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for recording in recordings {
        for call in recording.called::<P>() {
            *counts.entry(name(&call)).or_default() += 1;
        }
    }
    counts
}

fn name_of_defined(call: &[u8]) -> String {
    let args = remote::DomainDefineXmlFlagsArgs::decode(&mut Reader::new(call)).unwrap();
    let xml = args.xml.to_string_lossy();
    let name = xml.split_once("<name>").unwrap().1;
    name.split_once('<').unwrap().0.to_owned()
}

fn name_of_undefined(call: &[u8]) -> String {
    let args = remote::DomainUndefineFlagsArgs::decode(&mut Reader::new(call)).unwrap();
    args.dom.name.to_string_lossy().into_owned()
}

/// Whether a change was asked for as often as who made it was told.
fn was_asked_for(told: Option<Told>, count: Option<&usize>) -> bool {
    match told {
        Some(Told::Done) => count == Some(&1),
        // The last packet of a connection may not be whole.
        Some(Told::Perhaps) => count.is_none_or(|count| *count == 1),
        None => count.is_none(),
    }
}

fn by(socket: &Path) -> String {
    format!("qemu+unix:///system?socket={}", socket.display())
}

/// Counts what is left of the play, in a process of its own.
fn counted(name: &str, play: impl AsyncFnOnce(Daemon) -> Daemon) {
    let play = async || {
        let daemon = release::daemon().tcp().start().unwrap();
        open(&daemon.uri(Driver::Qemu)).await.close().await;
        task::none_left().await;
        let before = open_descriptors();
        let daemon = play(daemon).await;
        task::none_left().await;
        assert_eq!(open_descriptors(), before);
        drop(daemon);
    };
    alone(name, || deadline_of(PATIENCE, play()));
}

#[test]
fn fifty_times_under_load_no_call_is_lost_or_made_twice() {
    let name = "restarted::fifty_times_under_load_no_call_is_lost_or_made_twice";
    counted(name, async |daemon| {
        let relay = Relay::start(daemon.socket());
        let (daemon, outcome) = play(&by(&relay.socket()), daemon, 50).await;
        let recordings = relay.finish().await;
        let defined = requests::<remote::DomainDefineXmlFlags>(&recordings, name_of_defined);
        let undefined = requests::<remote::DomainUndefineFlags>(&recordings, name_of_undefined);
        for fate in &outcome.fates {
            let count = defined.get(&fate.name);
            assert!(
                was_asked_for(Some(fate.defined), count),
                "{fate:?}: {count:?}"
            );
            let count = undefined.get(&fate.name);
            assert!(was_asked_for(fate.undefined, count), "{fate:?}: {count:?}");
        }
        // Nobody hears of anything twice; the 34 times that calls had been answered since the last
        // are told one by one.
        assert!(outcome.heard.defined.values().all(|count| *count == 1));
        let gaps = outcome.heard.gaps;
        assert!((34..recordings.len()).contains(&gaps), "{gaps}");
        daemon
    });
}

#[test]
fn ten_times_by_tcp() {
    counted("restarted::ten_times_by_tcp", async |daemon| {
        let uri = daemon.tcp_uri(Driver::Qemu).unwrap();
        let (daemon, outcome) = play(&uri, daemon, 10).await;
        assert!(outcome.heard.defined.values().all(|count| *count == 1));
        daemon
    });
}
