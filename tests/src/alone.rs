//! Tests that have a process of their own, since they count what belongs to the whole of one.

use std::fs;
use std::future::Future;
use std::process::Command;

/// Set in the process of the one test.
const ALONE: &str = "VIRTWIRE_TESTS_ALONE";

/// Runs the test of this full name, as `module::test`, in a process where no other test runs. It has
/// as long as it takes.
///
/// # Panics
///
/// When the test fails there.
pub fn alone<T: Future<Output = ()>>(name: &str, test: impl FnOnce() -> T) {
    if std::env::var_os(ALONE).is_some() {
        // One thread: what a test has not waited for has not happened behind its back.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        return runtime.block_on(test());
    }
    let binary = std::env::current_exe().expect("this program has a path");
    let child = Command::new(binary)
        .args(["--exact", name])
        .env(ALONE, "1")
        .output()
        .expect("this program runs");
    let said = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}\n{errors}");
    assert!(said.contains("1 passed"), "no test is named {name}: {said}");
}

/// How many descriptors the process has open.
///
/// # Panics
///
/// Without `/proc`.
#[must_use]
pub fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("there is /proc")
        .count()
}
