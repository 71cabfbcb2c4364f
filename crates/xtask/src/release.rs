//! `cargo xtask test --release`: the tests on real daemons, with the libvirt of other releases.

use std::time::Instant;

use virtwire_lab::{Policy, Suite};

use crate::{Outcome, cargo, lab};

/// Tells the tests which release's libvirt to run on; without it, on the machine's.
const RELEASE: &str = "VIRTWIRE_RELEASE";

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

    fn name(self) -> &'static str {
        match self {
            Self::Machine => "the machine's",
            Self::Other(suite) => suite.name(),
        }
    }
}

/// Runs the tests on each of these, also if one fails.
pub(crate) fn test(policy: Policy, releases: &[Release], arguments: &[&str]) -> Outcome {
    lab::ensure_for_tests(policy)?;
    for release in releases {
        if let Release::Other(suite) = release {
            lab::ensure_suite(policy, *suite)?;
        }
    }
    let mut failed = Vec::new();
    for release in releases {
        let name = release.name();
        let start = Instant::now();
        let outcome = test_on(*release, arguments);
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
        Err(format!("tests failed on the libvirt of: {}", failed.join(", ")).into())
    }
}

fn test_on(release: Release, arguments: &[&str]) -> Outcome {
    let package = ["test", "--locked", "--package", "virtwire-tests"];
    let arguments = [&["--test", "libvirtd"], arguments].concat();
    let mut test = cargo::command(&[&package, arguments.as_slice()].concat());
    match release {
        Release::Machine => test.env_remove(RELEASE),
        Release::Other(suite) => test.env(RELEASE, suite.name()),
    };
    cargo::run(test)
}
