//! `cargo xtask fuzz-live`: arbitrary calls to a libvirtd that nothing else depends on.
//!
//! The fuzzer starts that daemon itself, in a cage; it cannot be told to use another. It is a
//! program of the workspace in `fuzz/`, and the words after the command are its own.

use virtwire_lab::Policy;

use crate::{Outcome, cargo, lab};

/// Runs the live fuzzer.
pub(crate) fn run(policy: Policy, arguments: &[&str]) -> Outcome {
    lab::ensure(policy)?;
    let fuzz = [
        "run",
        "--quiet",
        "--locked",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--package",
        "virtwire-fuzz-live",
        "--",
    ];
    cargo::run(cargo::command(&[&fuzz, arguments].concat()))
}
