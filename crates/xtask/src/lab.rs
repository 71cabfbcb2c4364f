//! What the tests need beside the toolchain: a libvirtd to test on, and sources to compare with.

use std::error::Error;
use std::path::PathBuf;

use virtwire_lab::install::{PythonBinding, SourcePackage, Step};
use virtwire_lab::{Installation, Policy, Suite};

use crate::Outcome;

/// Finds libvirt and QEMU or installs them, saying so first.
pub(crate) fn ensure(policy: Policy) -> Outcome {
    Installation::ensure(policy, &mut announce)?;
    Ok(())
}

/// As [`ensure`], and libvirt's binding for Python, which tests compare us with.
pub(crate) fn ensure_for_tests(policy: Policy) -> Outcome {
    ensure(policy)?;
    PythonBinding::ensure(policy, &mut announce)?;
    Ok(())
}

/// Finds the libvirt of another release or installs it beside the machine's; says why not.
pub(crate) fn ensure_suite(policy: Policy, suite: Suite) -> Result<(), String> {
    let found = suite.ensure(policy, &mut announce);
    found.map(drop).map_err(|error| in_one_line(&error))
}

/// Finds libvirt 9.0.0's sources or fetches them; where they cannot be had, says so.
pub(crate) fn libvirt_sources(policy: Policy) -> Option<PathBuf> {
    let package = SourcePackage::LIBVIRT_9_0_0;
    let reason = match package.ensure(policy, &mut announce) {
        Ok(Some(tree)) => return Some(tree),
        Ok(None) => "they were not fetched before, and --no-install forbids it".to_owned(),
        Err(error) => in_one_line(&error),
    };
    println!("note: libvirt 9.0.0's sources are missing, so their import is NOT tested: {reason}");
    None
}

/// The error with its causes.
fn in_one_line(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    chain.join(": ")
}

fn announce(step: &Step) {
    println!("== {step}");
}
