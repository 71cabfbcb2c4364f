//! The oldest Rust that the published crates promise to build with.

use virtwire_lab::Policy;

use crate::{Outcome, cargo};

/// As the workspace's manifest says.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What others build.
const PACKAGES: [&str; 5] = [
    "virtwire-xdr",
    "virtwire-protocol",
    "virtwire",
    "virtwire-sim",
    "virtwire-cli",
];

/// Checks that they build with it.
pub(crate) fn run(policy: Policy) -> Outcome {
    ensure(policy).map_err(|error| format!("Rust {RUST} was NOT tried: {error}"))?;
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    let words = ["check", "--locked"].into_iter().chain(packages);
    cargo::run(cargo::with(RUST, &words.collect::<Vec<_>>()))
}

/// Whether that Rust can be had; installs it, where that is allowed and possible.
pub(crate) fn ensure(policy: Policy) -> Result<(), String> {
    if cargo::works_with(RUST, &["--version"]) {
        return Ok(());
    }
    if policy == Policy::NoInstall {
        return Err("it is missing, and --no-install forbids to install it".to_owned());
    }
    println!("Rust {RUST} is missing; it is installed beside the one in use");
    let mut rustup = std::process::Command::new("rustup");
    rustup.args(["toolchain", "install", RUST, "--profile", "minimal"]);
    rustup.arg("--no-self-update");
    cargo::run(rustup).map_err(|error| error.to_string())
}
