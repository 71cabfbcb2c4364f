//! `cargo xtask chaos`: block jobs on real guests, with everything going wrong that can.

use std::path::Path;
use std::process::Command;

use virtwire_lab::Policy;

use crate::release::{self, Release};
use crate::{Outcome, cargo, lab};

/// Where daemons are quick: nothing of what they write has to survive this machine.
const MEMORY: &str = "/dev/shm";
/// What the guests of a few daemons need there.
const ROOM: u64 = 2 << 30;

/// What CI plays: each operation with each disturbance, at a few moments, for as long as it may.
const SLICE: [&str; 6] = ["--rounds", "1", "--disks", "3", "--minutes", "5"];

/// Plays on the releases that the first words name, or on the machine's libvirt; the other words
/// are the runner's own.
pub(crate) fn run(policy: Policy, arguments: &[&str]) -> Outcome {
    let (releases, arguments) = match arguments {
        ["--release", name, rest @ ..] => {
            let releases = Release::parse(name).ok_or_else(|| format!("what is {name}?"))?;
            (releases, rest)
        }
        rest => (vec![Release::Machine], rest),
    };
    lab::ensure(policy)?;
    for release in &releases {
        release.ensure(policy)?;
    }
    release::on_each(&releases, |release| play(release, arguments))
}

/// Plays what there is time for before each change.
pub(crate) fn slice(policy: Policy) -> Outcome {
    run(policy, &SLICE)
}

fn play(release: Release, arguments: &[&str]) -> Outcome {
    let runner = ["run", "--quiet", "--locked", "--package", "virtwire-tests"];
    let runner = [runner.as_slice(), &["--bin", "chaos", "--"], arguments].concat();
    let mut runner = cargo::command(&runner);
    release.choose_for(&mut runner);
    if std::env::var_os("TMPDIR").is_none() && has_room(Path::new(MEMORY)) {
        runner.env("TMPDIR", MEMORY);
    }
    cargo::run(runner)
}

fn has_room(dir: &Path) -> bool {
    let mut df = Command::new("df");
    df.args(["--block-size=1", "--output=avail"]).arg(dir);
    let output = df.output().map(|output| output.stdout).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    let free = output
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    free.is_some_and(|free: u64| free >= ROOM)
}
