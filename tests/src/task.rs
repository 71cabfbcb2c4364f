//! Tasks that a test leaves behind.

use tokio::runtime::Handle;
use tokio::task::yield_now;

/// How often tasks may run on their way to their end.
const PATIENCE: usize = 10_000;

/// Waits until every task of the runtime has ended, but not for anything that they wait for.
///
/// # Panics
///
/// When one goes on.
pub async fn none_left() {
    let metrics = Handle::current().metrics();
    for _ in 0..PATIENCE {
        if metrics.num_alive_tasks() == 0 {
            return;
        }
        yield_now().await;
    }
    panic!("{} tasks are left", metrics.num_alive_tasks());
}
