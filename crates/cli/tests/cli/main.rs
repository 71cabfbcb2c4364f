//! The command against private daemons, with virsh as the witness.

#![cfg(test)]

mod backup;
mod block_job;
mod block_jobs;
mod call;
mod disks;
mod event;
mod jobs;
mod misuse;
mod state;
mod twins;
mod words;
mod workflow;

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use serde_json::Value;
use virtwire::Connection;
use virtwire_lab::{Daemon, Driver};

/// The name of the one domain that the test driver starts with.
const TEST: &str = "test";

/// What a command said and how it ended.
#[derive(Debug)]
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn new(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The output of a command that succeeded.
    #[track_caller]
    fn text(&self) -> &str {
        assert_eq!(self.status, 0, "{self:?}");
        &self.stdout
    }

    /// The one JSON document of a command, however it ended.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program, without the settings of whoever runs the tests.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtwire"));
    command
        .args(arguments)
        .env_remove("LIBVIRT_DEFAULT_URI")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Run {
    Run::new(&program(arguments).output().unwrap())
}

fn run_on(daemon: &Daemon, driver: Driver, arguments: &[&str]) -> Run {
    let uri = daemon.uri(driver);
    run(&[["-c", uri.as_str()].as_slice(), arguments].concat())
}

/// virsh with headings and remarks, which the lab's own leaves out.
fn virsh(daemon: &Daemon, driver: Driver, arguments: &[&str]) -> Run {
    let mut command = Command::new("virsh");
    command
        .env("LC_ALL", "C")
        .arg("-c")
        .arg(daemon.uri(driver))
        .args(arguments);
    Run::new(&command.output().unwrap())
}

/// A daemon whose test driver keeps its state from command to command: that lives as long as
/// somebody is connected.
struct TestDriver {
    daemon: Daemon,
    release: Option<mpsc::Sender<()>>,
    holder: Option<JoinHandle<()>>,
}

impl TestDriver {
    fn start() -> Self {
        let daemon = Daemon::start().unwrap();
        let uri = daemon.uri(Driver::Test);
        let (release, released) = mpsc::channel::<()>();
        let (opened, is_open) = mpsc::channel();
        let holder = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let connection = runtime.block_on(Connection::open(&uri)).unwrap();
            opened.send(()).unwrap();
            let _ = released.recv();
            drop(connection);
        });
        is_open.recv().unwrap();
        Self {
            daemon,
            release: Some(release),
            holder: Some(holder),
        }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run_on(&self.daemon, Driver::Test, arguments)
    }

    fn virsh(&self, arguments: &[&str]) -> Run {
        virsh(&self.daemon, Driver::Test, arguments)
    }
}

impl Drop for TestDriver {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}
