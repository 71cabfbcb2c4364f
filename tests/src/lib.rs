//! Shared test harness: a deadline for every test, stages on private daemons and simulated ones, and
//! a scripted one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here is a test"
)]

pub mod aged;
pub mod alone;
pub mod fleet;
pub mod gate;
pub mod packets;
pub mod peer;
pub mod poll;
pub mod question;
pub mod random;
pub mod raw;
pub mod relay;
pub mod release;
pub mod server;
pub mod stage;
pub mod task;
pub mod uevent;
pub mod volume;
pub mod writer;

use std::future::Future;
use std::time::Duration;

/// Runs a test to its end, or fails it after a minute: nothing that is tested may hang.
///
/// # Panics
///
/// When the minute is over.
pub fn deadline<T>(test: impl Future<Output = T>) -> impl Future<Output = T> {
    deadline_of(Duration::from_secs(60), test)
}

/// As [`deadline`], for a test that has more to do than others.
///
/// # Panics
///
/// When the time is over.
pub fn deadline_of<T>(limit: Duration, test: impl Future<Output = T>) -> impl Future<Output = T> {
    // On the heap: it is whatever a test has to remember.
    let test = Box::pin(test);
    async move {
        match tokio::time::timeout(limit, test).await {
            Ok(value) => value,
            Err(_) => panic!("the test did not end within {limit:?}"),
        }
    }
}

/// As [`deadline`], for a test on the paused clock: there a test that waits for nothing reaches
/// any deadline at once, so this one leaves room for whatever is tested.
///
/// # Panics
///
/// When a day of that clock is over.
pub async fn paused_deadline<T>(test: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(24 * 3600), test).await {
        Ok(value) => value,
        Err(_) => panic!("the test waits for nothing"),
    }
}
