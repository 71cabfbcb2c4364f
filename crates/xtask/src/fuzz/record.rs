//! Seeds, recorded anew.

use std::fs;

use virtwire_lab::Policy;

use super::{folder, target_dir};
use crate::{Outcome, cargo, lab};

/// Tells the tests where to keep what they record.
const RECORDINGS: &str = "VIRTWIRE_RECORDINGS";

/// Has the tests record libvirt's own client, and ours where it hears of everything, on private
/// daemons, and makes seeds of that.
pub(super) fn run(policy: Policy) -> Outcome {
    lab::ensure_for_tests(policy)?;
    let recordings = target_dir().join("recordings");
    if recordings.exists() {
        fs::remove_dir_all(&recordings)?;
    }
    let test = [
        "test",
        "--locked",
        "--package",
        "virtwire-tests",
        "--test",
        "wire",
        "--test",
        "libvirtd",
        "--",
        "virsh::",
        "event::",
        "--skip",
        "hypervisor",
    ];
    let mut test = cargo::command(&test);
    test.env(RECORDINGS, &recordings);
    cargo::run(test)?;
    let mut seeds = cargo::command(&["run", "--locked", "--quiet", "--example", "seeds", "--"]);
    seeds
        .args([recordings, folder().join("corpus")])
        .current_dir(folder());
    cargo::run(seeds)
}
