//! What has to pass before a change is accepted, one announced stage after the other.

use std::time::Instant;

use virtwire_lab::Policy;

use crate::release::Preparation;
use crate::{Outcome, cargo, chaos, fuzz, lab, miri, msrv};

/// The release that our deny.toml was written for.
const CARGO_DENY: &str = "0.20.2";

/// How long each fuzz target runs.
const FUZZ_SECONDS: u64 = 10;

/// Tells the tests where libvirt 9.0.0's source tree is.
const LIBVIRT_SOURCES: &str = "VIRTWIRE_LIBVIRT_9_0_0_SOURCE";

/// Runs every stage; the first that fails ends it.
pub(crate) fn run(policy: Policy) -> Outcome {
    stage("tools", tools)?;
    let others = Preparation::begin(policy);
    stage("format", || {
        cargo::run(cargo::command(&["fmt", "--all", "--check"]))
    })?;
    stage("lints", lints)?;
    stage("tests", || test(policy, &[]))?;
    stage("other releases", || others.test())?;
    stage("chaos", || chaos::slice(policy))?;
    stage("fuzzing", || fuzzing(policy))?;
    stage("miri", || miri(policy))?;
    stage("oldest Rust", || oldest_rust(policy))?;
    stage("documentation", documentation)?;
    stage("dependencies", dependencies)
}

/// Runs all tests. Those on real daemons fail where there is none: nothing is skipped, but for
/// the import of libvirt's sources where the distribution has others.
pub(crate) fn test(policy: Policy, arguments: &[&str]) -> Outcome {
    lab::ensure_for_tests(policy)?;
    let mut test = cargo::command(&[&["test", "--workspace", "--locked"], arguments].concat());
    let given = std::env::var_os(LIBVIRT_SOURCES).map(Into::into);
    if let Some(tree) = given.or_else(|| lab::libvirt_sources(policy)) {
        test.env(LIBVIRT_SOURCES, tree);
    }
    cargo::run(test)
}

fn stage(name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    println!("\n=== {name}");
    let start = Instant::now();
    work()?;
    println!("=== {name}: good, {} s", start.elapsed().as_secs());
    Ok(())
}

/// A minimal toolchain has neither of rustfmt and clippy.
fn tools() -> Outcome {
    for (probe, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !cargo::works(&[probe, "--version"]) {
            let mut rustup = std::process::Command::new("rustup");
            rustup.args(["component", "add", component]);
            cargo::run(rustup)?;
        }
    }
    if !cargo::works(&["deny", "--version"]) {
        let install = ["install", "--locked", "--version", CARGO_DENY, "cargo-deny"];
        cargo::run(cargo::command(&install))?;
    }
    Ok(())
}

fn lints() -> Outcome {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    cargo::run(cargo::command(&clippy))
}

/// Checks the fuzz targets, and runs them for long enough to see that they work.
fn fuzzing(policy: Policy) -> Outcome {
    fuzz::check()?;
    match fuzz::ensure(policy) {
        Ok(()) => fuzz::run(&fuzz::Options::for_seconds(FUZZ_SECONDS), policy),
        Err(reason) => {
            println!("note: fuzzing did NOT run, only the seeds did: {reason}");
            Ok(())
        }
    }
}

fn miri(policy: Policy) -> Outcome {
    match miri::ensure(policy) {
        Ok(()) => miri::run(policy),
        Err(reason) => {
            println!("note: Miri did NOT run: {reason}");
            Ok(())
        }
    }
}

fn oldest_rust(policy: Policy) -> Outcome {
    match msrv::ensure(policy) {
        Ok(()) => msrv::run(policy),
        Err(reason) => {
            println!("note: the oldest Rust was NOT tried: {reason}");
            Ok(())
        }
    }
}

fn documentation() -> Outcome {
    let doc = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ];
    let mut doc = cargo::command(&doc);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    cargo::run(doc)
}

fn dependencies() -> Outcome {
    cargo::run(cargo::command(&[
        "deny", "check", "bans", "licenses", "sources",
    ]))?;
    if cargo::works(&["deny", "fetch", "db"]) {
        let offline = ["deny", "check", "--disable-fetch", "advisories"];
        cargo::run(cargo::command(&offline))
    } else {
        println!("note: the advisory database cannot be had here, so advisories are NOT checked");
        Ok(())
    }
}
