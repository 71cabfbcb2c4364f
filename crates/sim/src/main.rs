//! `virtwire-sim`: the simulated daemon on sockets of its own.

use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use virtwire_sim::socket::{Address, Listener};
use virtwire_sim::{ConfigError, Simulator};

/// A simulated libvirt daemon, for clients that have no hypervisor.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Listens here: unix:PATH or tcp:IP:PORT. May be given several times.
    #[arg(long, value_name = "ADDRESS", required = true)]
    listen: Vec<Address>,

    /// Listens here for clients that may only read: unix:PATH.
    #[arg(long, value_name = "ADDRESS")]
    read_only_listen: Vec<Address>,

    /// Begins with so many domains, in every state there is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fleet: usize,

    /// Begins with what a file says, in the XML of libvirt's own test driver.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How many requests of a connection may be in progress before it is not read any more.
    #[arg(long, value_name = "N")]
    max_client_requests: Option<usize>,

    /// What the host is called.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
}

/// Why there is no daemon.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen at {0}")]
    Listen(Address, #[source] io::Error),
    #[error("a daemon listens at {} already", .0.display())]
    InUse(PathBuf),
    #[error("{} is there and is no socket", .0.display())]
    NoSocket(PathBuf),
    #[error("only a Unix socket can be for readers, not {0}")]
    ReadOnly(Address),
    #[error("cannot wait for signals")]
    Signal(#[source] io::Error),
    #[error("cannot write")]
    Output(#[source] io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut text = failure.to_string();
            let mut cause = std::error::Error::source(&failure);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "virtwire-sim: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signal)?;
    let simulator = simulator(&arguments)?;
    for address in &arguments.listen {
        simulator.listen(claim(address)?);
    }
    for address in &arguments.read_only_listen {
        if !matches!(address, Address::Unix(_)) {
            return Err(Failure::ReadOnly(address.clone()));
        }
        simulator.listen_read_only(claim(address)?);
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn simulator(arguments: &Arguments) -> Result<Simulator, Failure> {
    let mut builder = Simulator::builder();
    if let Some(requests) = arguments.max_client_requests {
        builder = builder.max_client_requests(requests);
    }
    if let Some(name) = &arguments.hostname {
        builder = builder.hostname(name);
    }
    if let Some(file) = &arguments.config {
        builder = builder.config_file(file)?;
    }
    Ok(builder.fleet(arguments.fleet)?.start())
}

/// Listens at an address, in the place of a socket that nobody listens at any more.
fn claim(address: &Address) -> Result<Listener, Failure> {
    let failed = |error| Failure::Listen(address.clone(), error);
    if let Address::Unix(path) = address {
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(Failure::NoSocket(path.to_owned()));
            }
            let dead = UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !dead {
                return Err(Failure::InUse(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
    }
    let listener = Listener::bind(address).map_err(failed)?;
    say(listener.address())?;
    Ok(listener)
}

/// Says where the daemon listens, and how libvirt's clients are told so.
fn say(address: &Address) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let said = writeln!(
        output,
        "listening at {address}\n  {}\n  {}",
        address.uri("qemu", "/system"),
        address.uri("test", "/default")
    );
    said.and_then(|()| output.flush()).map_err(Failure::Output)
}
