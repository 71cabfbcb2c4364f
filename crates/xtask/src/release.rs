//! `cargo xtask test --release`: the tests on real daemons, with the libvirt of other releases.

use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use virtwire_lab::{Policy, Suite};

use crate::{Outcome, cargo, lab};

/// Tells the tests which release's libvirt to run on; without it, on the machine's.
const RELEASE: &str = "VIRTWIRE_RELEASE";

/// What CI runs on other releases: connections and how they end, calls, jobs, events. The rest has
/// shown what it can on one.
const LIVE: [&str; 9] = [
    "hypervisor::connection",
    "hypervisor::domain",
    "hypervisor::block_",
    "hypervisor::reconnect",
    "hypervisor::jam",
    "hypervisor::event::subscription",
    "restarted::",
    "session::",
    "stopped::",
];

/// A libvirt to test on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Release {
    /// What is installed on this machine.
    Machine,
    /// Another, in a root file system of its own.
    Other(Suite),
}

impl Release {
    /// What a word on the command line means, if it is one of ours.
    pub(crate) fn parse(word: &str) -> Option<Vec<Self>> {
        if word == "all" {
            let others = Suite::ALL.into_iter().map(Self::Other);
            return Some([Self::Machine].into_iter().chain(others).collect());
        }
        Suite::named(word).map(|suite| vec![Self::Other(suite)])
    }

    /// Installs it if it is missing.
    pub(crate) fn ensure(self, policy: Policy) -> Outcome {
        if let Self::Other(suite) = self {
            lab::ensure_suite(policy, suite)?;
        }
        Ok(())
    }

    /// Has the daemons of a command be of this release.
    pub(crate) fn choose_for(self, command: &mut Command) {
        match self {
            Self::Machine => command.env_remove(RELEASE),
            Self::Other(suite) => command.env(RELEASE, suite.name()),
        };
    }

    /// What it is called, and in which version it is there.
    fn name(self) -> String {
        match self {
            Self::Machine => "the machine".to_owned(),
            Self::Other(suite) => {
                let version = suite.libvirt_version().unwrap_or_default();
                format!("{} {version}", suite.name())
            }
        }
    }
}

/// The other releases, each on its way to be installed while something else is done.
#[derive(Debug)]
pub(crate) struct Preparation(Vec<(Suite, JoinHandle<Result<(), String>>)>);

impl Preparation {
    /// Begins to install those that are not there, which takes minutes and waits for servers.
    pub(crate) fn begin(policy: Policy) -> Self {
        let suites = Suite::ALL.into_iter();
        let begin = |suite| {
            let work = move || lab::ensure_suite(policy, suite);
            (suite, thread::spawn(work))
        };
        Self(suites.map(begin).collect())
    }

    /// Tests on those that can be had, and says which cannot.
    pub(crate) fn test(self) -> Outcome {
        let mut releases = Vec::new();
        for (suite, installed) in self.0 {
            let name = suite.name();
            match installed.join() {
                Ok(Ok(())) => releases.push(Release::Other(suite)),
                Ok(Err(reason)) => {
                    println!("note: the tests did NOT run on the libvirt of {name}: {reason}");
                }
                Err(_) => return Err(format!("installing the libvirt of {name} failed").into()),
            }
        }
        test_on_each(&releases, &[&["--"], LIVE.as_slice()].concat())
    }
}

/// Runs the tests on each of these, also if one fails.
pub(crate) fn test(policy: Policy, releases: &[Release], arguments: &[&str]) -> Outcome {
    lab::ensure_for_tests(policy)?;
    for release in releases {
        release.ensure(policy)?;
    }
    test_on_each(releases, arguments)
}

fn test_on_each(releases: &[Release], arguments: &[&str]) -> Outcome {
    on_each(releases, |release| test_on(release, arguments))
}

/// Does it with each of these, also if one fails.
pub(crate) fn on_each(releases: &[Release], work: impl Fn(Release) -> Outcome) -> Outcome {
    let mut failed = Vec::new();
    for release in releases {
        let name = release.name();
        let start = Instant::now();
        let outcome = work(*release);
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("== libvirt of {name}: good, {seconds} s"),
            Err(error) => {
                println!("== libvirt of {name}: {error}, {seconds} s");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed on the libvirt of: {}", failed.join(", ")).into())
    }
}

fn test_on(release: Release, arguments: &[&str]) -> Outcome {
    let package = ["test", "--locked", "--package", "virtwire-tests"];
    let arguments = [&["--test", "libvirtd"], arguments].concat();
    let mut test = cargo::command(&[&package, arguments.as_slice()].concat());
    release.choose_for(&mut test);
    cargo::run(test)
}
