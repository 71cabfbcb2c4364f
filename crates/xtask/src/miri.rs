//! Tests under Miri, which sees what no test can: undefined behaviour, ours or a dependency's.

use virtwire_lab::Policy;

use crate::{Outcome, cargo};

/// What runs under it: what takes bytes apart, and what needs no socket.
const TESTS: [&[&str]; 2] = [
    &["--package", "virtwire-xdr", "--lib", "--tests"],
    &[
        "--package",
        "virtwire-protocol",
        "--lib",
        "--test",
        "session",
    ],
];

/// The toolchain that has it.
const NIGHTLY: &str = "nightly";

/// How many cases a property is tried with: Miri takes some thousand times as long as a processor.
const CASES: &str = "1";

/// Runs the tests.
pub(crate) fn run(policy: Policy) -> Outcome {
    ensure(policy).map_err(|error| format!("Miri did NOT run: {error}"))?;
    for tests in TESTS {
        let mut test = cargo::with(NIGHTLY, &[&["miri", "test", "--locked"], tests].concat());
        test.env("PROPTEST_CASES", CASES)
            // The tests read the clock.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation");
        cargo::run(test)?;
    }
    Ok(())
}

/// Whether Miri can run here; installs it, where that is allowed and possible.
pub(crate) fn ensure(policy: Policy) -> Result<(), String> {
    if cargo::works_with(NIGHTLY, &["miri", "--version"]) {
        return Ok(());
    }
    if policy == Policy::NoInstall {
        return Err("it is missing, and --no-install forbids to install it".to_owned());
    }
    println!("Miri is missing; it is added to the nightly toolchain");
    let mut rustup = std::process::Command::new("rustup");
    rustup.args(["toolchain", "install", NIGHTLY, "--profile", "minimal"]);
    rustup.args([
        "--component",
        "miri",
        "--component",
        "rust-src",
        "--no-self-update",
    ]);
    cargo::run(rustup).map_err(|error| error.to_string())
}
