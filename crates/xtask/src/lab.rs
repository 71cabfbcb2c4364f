//! Makes sure that there is a libvirtd to test on.

use virtwire_lab::{Installation, Policy};

use crate::Outcome;

/// Finds libvirt and QEMU or installs them, saying so first.
pub(crate) fn ensure(policy: Policy) -> Outcome {
    Installation::ensure(policy, &mut |step| println!("== {step}"))?;
    Ok(())
}
