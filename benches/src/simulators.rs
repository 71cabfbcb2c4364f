//! Many simulated daemons in one other process.

use std::io;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit, setrlimit};
use virtwire_sim::Simulator;
use virtwire_sim::socket::{Address, Listener};

use crate::process::{self, Process};

/// How many daemons there are.
pub const HOSTS: usize = 1_000;

/// How many domains each of them has.
pub const DOMAINS: usize = 12;

/// Simulated daemons, each with a socket and a state of its own.
#[derive(Debug)]
pub struct Simulators(Process);

/// The argument that makes a program of this package the simulators.
const ROLE: &str = "simulators";

impl Simulators {
    /// Starts this very program once more, as the simulators.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not listen.
    pub fn start() -> io::Result<Self> {
        Process::start(ROLE).map(Self)
    }

    /// Where the daemon of this number listens.
    #[must_use]
    pub fn uri(&self, host: usize) -> String {
        Address::Unix(self.0.socket(&socket_of(host))).uri("test", "/default")
    }
}

/// Becomes the simulators when this program was started by [`Simulators::start`]; call it first in
/// `main`.
///
/// # Errors
///
/// When the simulators cannot listen.
pub fn serve_if_asked() -> io::Result<()> {
    let Some(directory) = process::directory_of(ROLE) else {
        return Ok(());
    };
    raise_descriptor_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let simulators: Vec<Simulator> = (0..HOSTS)
            .map(|host| simulator(directory.join(socket_of(host))))
            .collect::<io::Result<_>>()?;
        process::ready()?;
        std::future::pending::<()>().await;
        drop(simulators);
        Ok(())
    })
}

/// Lets this process open as many files as it may: each connection needs one, and 1,024 is the usual
/// limit.
///
/// # Errors
///
/// When the limit cannot be set.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn simulator(socket: PathBuf) -> io::Result<Simulator> {
    let builder = Simulator::builder()
        .fleet(DOMAINS)
        .map_err(io::Error::other)?;
    let simulator = builder.start();
    simulator.listen(Listener::bind(&Address::Unix(socket))?);
    Ok(simulator)
}

fn socket_of(host: usize) -> String {
    format!("host-{host}")
}
