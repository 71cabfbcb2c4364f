//! Opening a connection again that was lost.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use virtwire_protocol::session::CloseCause;

use super::builder::Opener;
use super::frontend::Frontend;
use super::{Connection, Driver};
use crate::{Error, ErrorKind};

/// How a lost connection is opened again: after a delay that doubles from attempt to attempt up to
/// a limit, each a little shorter by chance, so that many clients of a daemon do not come back at
/// once. They begin anew when a connection has lasted as long as the longest of them: a daemon that
/// lets its clients in and dies of them is asked more and more rarely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a policy does nothing until a builder has it"]
pub struct Reconnect {
    first_delay: Duration,
    longest_delay: Duration,
    give_up_after: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
            give_up_after: None,
        }
    }
}

impl Reconnect {
    /// The delay before the first attempt, at least a millisecond; 100 ms by default.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay.max(Duration::from_millis(1));
        self
    }

    /// The limit that delays grow up to; ten seconds by default.
    pub fn longest_delay(mut self, delay: Duration) -> Self {
        self.longest_delay = delay;
        self
    }

    /// How long to try before the connection is closed for good; `None`, the default, for ever.
    pub fn give_up_after(mut self, duration: impl Into<Option<Duration>>) -> Self {
        self.give_up_after = duration.into();
        self
    }

    /// The delay before the attempt of this number, counted from 0.
    fn delay(&self, attempt: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempt);
        let longest = self.first_delay.saturating_mul(factor);
        let longest = longest.min(self.longest_delay);
        // Hashing nothing with keys by chance is chance enough for this.
        let chance = RandomState::new().build_hasher().finish() % 1024;
        let shorter = longest / 4096 * u32::try_from(chance).unwrap_or(0);
        longest.saturating_sub(shorter)
    }
}

/// Drives a connection and replaces its byte stream whenever it is lost, until it is not wanted
/// any more.
pub(super) async fn supervise<C, F, IO>(
    mut driver: Driver<IO>,
    mut opener: Opener<C>,
    policy: Reconnect,
) where
    C: FnMut() -> F + Send,
    F: Future<Output = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut attempt = 0;
    loop {
        let opened = Instant::now();
        let cause = driver.lost().await;
        if opened.elapsed() >= policy.longest_delay {
            attempt = 0;
        }
        let mut frontend = driver.release();
        let ours = matches!(*cause, CloseCause::Requested);
        if ours || !frontend.is_wanted() {
            return frontend.finish(&cause);
        }
        frontend.lost(&cause);
        let reopened = tokio::select! {
            biased;
            () = frontend.unwanted() => {
                return frontend.finish(&Arc::new(CloseCause::Requested));
            }
            reopened = reopen(&mut opener, policy, &mut attempt) => reopened,
        };
        driver = match reopened {
            Some(fresh) => resume(fresh, frontend),
            None => return frontend.finish(&cause),
        };
    }
}

/// Tries until it succeeds; `None` when there is no point in trying any more.
async fn reopen<C, F, IO>(
    opener: &mut Opener<C>,
    policy: Reconnect,
    attempt: &mut u32,
) -> Option<(Connection, Driver<IO>)>
where
    C: FnMut() -> F + Send,
    F: Future<Output = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let attempts = async {
        loop {
            sleep(policy.delay(*attempt)).await;
            *attempt = attempt.saturating_add(1);
            match opener.open().await {
                Ok(opened) => return Some(opened),
                Err(error) if is_final(&error) => {
                    tracing::warn!(%error, "cannot connect again");
                    return None;
                }
                Err(error) => tracing::debug!(%error, attempt, "cannot connect again yet"),
            }
        }
    };
    match policy.give_up_after {
        None => attempts.await,
        Some(limit) => timeout(limit, attempts).await.ok()?,
    }
}

/// Whether trying again makes no sense: the daemon is there and does not let us in.
fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Auth | ErrorKind::Unsupported | ErrorKind::InvalidInput
    )
}

fn resume<IO>((connection, mut driver): (Connection, Driver<IO>), frontend: Frontend) -> Driver<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    tracing::info!(endpoint = connection.endpoint(), "connection is open again");
    driver.adopt(frontend);
    driver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_shorter_by_chance() {
        let policy = Reconnect::default()
            .first_delay(Duration::from_secs(1))
            .longest_delay(Duration::from_secs(60));
        for (attempt, seconds) in [(0, 1), (1, 2), (5, 32), (6, 60), (31, 60), (u32::MAX, 60)] {
            let longest = Duration::from_secs(seconds);
            let delays: Vec<_> = (0..100).map(|_| policy.delay(attempt)).collect();
            let usual = longest * 3 / 4..=longest;
            assert!(delays.iter().all(|delay| usual.contains(delay)));
            assert!(delays.iter().any(|delay| *delay != delays[0]));
        }
    }

    #[test]
    fn delays_may_be_as_long_as_can_be_said() {
        let policy = Reconnect::default()
            .first_delay(Duration::MAX)
            .longest_delay(Duration::MAX);
        assert!(policy.delay(u32::MAX) > Duration::MAX / 2);
    }
}
