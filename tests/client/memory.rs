//! How much memory a test takes.

use std::future::Future;

use allocation_counter::AllocationInfo;
use tokio::runtime::Builder;
use virtwire_tests::paused_deadline;

/// Runs a test in a runtime of its own on the paused clock and counts what it allocates.
pub(crate) fn measured(test: impl Future<Output = ()>) -> AllocationInfo {
    allocation_counter::measure(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(paused_deadline(test));
    })
}
