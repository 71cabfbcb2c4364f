//! Many tasks that use one connection at once, and what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use virtwire::constants::{
    ConnectListAllDomainsFlags, DomainDefineFlags, DomainUndefineFlags, DomainXmlFlags,
};
use virtwire::{Connection, Domain, Error, Execution};

const WRITERS: usize = 4;
const READERS: usize = 8;

/// Of so many domains one is not undefined.
const KEPT: usize = 8;

/// The domain that is always there.
pub(super) const ANCHOR: &str = "anchor";

/// What became of a change, as it was told to who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Perhaps,
}

impl Told {
    fn of<T>(change: &Result<T, Error>) -> Self {
        match change {
            Ok(_) => Self::Done,
            Err(error) => {
                assert!(error.is_closed(), "{error:?}");
                let execution = error.execution();
                assert_eq!(execution, Some(Execution::MaybeExecuted), "{error:?}");
                Self::Perhaps
            }
        }
    }
}

/// A domain that was to be defined and then, but for a few, undefined.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) name: String,
    pub(super) defined: Told,
    /// `None` where it was not tried.
    pub(super) undefined: Option<Told>,
}

impl Fate {
    /// Whether the domain exists, if that is known.
    pub(super) fn exists(&self) -> Option<bool> {
        match (self.defined, self.undefined) {
            (Told::Done, None) => Some(true),
            (_, Some(Told::Done)) => Some(false),
            _ => None,
        }
    }
}

/// Tasks that make calls until they are told to stop.
pub(super) struct Load {
    stopping: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    writers: JoinSet<Vec<Fate>>,
    readers: JoinSet<()>,
}

impl Load {
    pub(super) fn start(connection: &Connection) -> Self {
        let mut load = Self {
            stopping: Arc::default(),
            answers: Arc::default(),
            writers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in 0..WRITERS {
            let write = write(load.caller(connection), number);
            load.writers.spawn(write);
        }
        for number in 0..READERS {
            let read = read(load.caller(connection), number);
            load.readers.spawn(read);
        }
        load
    }

    fn caller(&self, connection: &Connection) -> Caller {
        Caller {
            connection: connection.clone(),
            stopping: Arc::clone(&self.stopping),
            answers: Arc::clone(&self.answers),
        }
    }

    /// Waits until so many more calls have been answered.
    pub(super) async fn advance(&self, count: usize) {
        let wanted = self.answers.load(Ordering::Relaxed) + count;
        while self.answers.load(Ordering::Relaxed) < wanted {
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn stop(self) -> Vec<Fate> {
        self.stopping.store(true, Ordering::Relaxed);
        self.readers.join_all().await;
        self.writers
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

struct Caller {
    connection: Connection,
    stopping: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
}

impl Caller {
    fn goes_on(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    /// Counts the answer, if it is one.
    fn note<T>(&self, change: &Result<T, Error>) -> Told {
        let told = Told::of(change);
        if told == Told::Done {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        told
    }
}

/// Defines domains, each once, and undefines most of them, each once.
async fn write(caller: Caller, writer: usize) -> Vec<Fate> {
    let mut fates = Vec::new();
    while caller.goes_on() {
        let number = fates.len();
        let name = format!("w{writer}-{number}");
        let domain = define(&caller.connection, &name).await;
        let defined = caller.note(&domain);
        let mut undefined = None;
        if let Some(domain) = domain.ok().filter(|_| number % KEPT != 0) {
            let change = domain.undefine(DomainUndefineFlags::empty()).await;
            undefined = Some(caller.note(&change));
        }
        fates.push(Fate {
            name,
            defined,
            undefined,
        });
    }
    fates
}

/// Asks what has one answer. It gets that, whatever happens to the daemon meanwhile.
async fn read(caller: Caller, reader: usize) {
    let connection = &caller.connection;
    let anchor = connection.lookup_domain_by_name(ANCHOR).await.unwrap();
    let mut number = reader;
    while caller.goes_on() {
        match number % 4 {
            0 => assert_eq!(connection.hypervisor().await.unwrap(), "QEMU"),
            1 => {
                let found = connection.lookup_domain_by_uuid(anchor.uuid()).await;
                assert_eq!(found.unwrap().name(), ANCHOR);
            }
            2 => {
                let described = anchor.xml(DomainXmlFlags::empty()).await.unwrap();
                assert!(described.contains("<name>anchor</name>"));
            }
            _ => assert!(names(connection).await.unwrap().contains(ANCHOR)),
        }
        caller.answers.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
}

pub(super) async fn names(connection: &Connection) -> Result<BTreeSet<String>, Error> {
    let all = ConnectListAllDomainsFlags::empty();
    let domains = connection.list_domains(all).await?;
    Ok(domains.iter().map(|it| it.name().to_owned()).collect())
}

fn xml(name: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory>1024</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features></domain>"
    )
}

pub(super) async fn define(connection: &Connection, name: &str) -> Result<Domain, Error> {
    let no_flags = DomainDefineFlags::empty();
    connection.define_domain(&xml(name), no_flags).await
}
