//! Which backup it is. libvirt gives them no names, but says how long each has run: so does when it
//! began, and that tells two of them apart where their ends were not heard.

use std::time::Duration;

use tokio::time::Instant;

/// By how much the daemon's measure of a time may differ from ours.
const SLACK: i64 = 1000;

/// What is known of when a backup began, in milliseconds after some moment of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    origin: Instant,
    began: Span,
    /// When it was last known to run, and how long it had run by then.
    seen: Instant,
    elapsed: Duration,
}

/// Not before the one and not after the other.
#[derive(Debug, Clone, Copy)]
struct Span(i64, i64);

impl Span {
    fn may_be(self, other: Self) -> bool {
        self.0 <= other.1.saturating_add(SLACK) && other.0 <= self.1.saturating_add(SLACK)
    }
}

impl Identity {
    /// Of a backup that a call has begun, if `asked` says when that was made, or that was found. It
    /// runs now.
    pub(super) fn new(asked: Option<Instant>) -> Self {
        let now = Instant::now();
        let origin = asked.unwrap_or(now);
        let mut identity = Self {
            origin,
            began: Span(i64::MIN, 0),
            seen: now,
            elapsed: Duration::ZERO,
        };
        identity.began.1 = identity.milliseconds(now);
        if asked.is_some() {
            identity.began.0 = 0;
        }
        identity
    }

    /// Whether this may be the one that has run for so long, by an answer to a question that was
    /// `asked` then.
    pub(super) fn may_run(&self, elapsed: Duration, asked: Instant) -> bool {
        let began = self.began(elapsed, asked, Instant::now());
        self.elapsed <= elapsed && self.began.may_be(began)
    }

    /// Whether this may be the one that is over and ran for so long.
    pub(super) fn may_have_run(&self, elapsed: Duration) -> bool {
        let began = self.began(elapsed, self.seen, Instant::now());
        self.elapsed <= elapsed && self.began.may_be(began)
    }

    /// It is the one that has run for so long, by an answer to a question that was `asked` then.
    pub(super) fn runs(&mut self, elapsed: Duration, asked: Instant) {
        let now = Instant::now();
        self.began = self.began(elapsed, asked, now);
        self.seen = now;
        self.elapsed = elapsed;
    }

    /// When one began that had run for so long at a time between the two.
    fn began(&self, elapsed: Duration, from: Instant, to: Instant) -> Span {
        let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let before = |moment| self.milliseconds(moment).saturating_sub(elapsed);
        Span(before(from), before(to))
    }

    fn milliseconds(&self, moment: Instant) -> i64 {
        let since = moment.saturating_duration_since(self.origin);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn backup_goes_on_as_long_as_time_passes() {
        let asked = Instant::now();
        // The daemon had the call wait.
        advance(SECOND * 10).await;
        let mut ours = Identity::new(Some(asked));
        advance(SECOND * 2).await;
        for (elapsed, may_be) in [(2, true), (12, true), (0, false), (14, false)] {
            let now = Instant::now();
            assert_eq!(ours.may_run(SECOND * elapsed, now), may_be, "{elapsed}");
        }
        ours.runs(SECOND * 2, Instant::now());
        advance(SECOND * 60).await;
        for (elapsed, may_be) in [(62, true), (2, false), (50, false), (72, false)] {
            let now = Instant::now();
            assert_eq!(ours.may_run(SECOND * elapsed, now), may_be, "{elapsed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn backup_that_is_over_ended_since_it_was_seen() {
        let mut ours = Identity::new(Some(Instant::now()));
        advance(SECOND * 10).await;
        ours.runs(SECOND * 10, Instant::now());
        advance(SECOND * 10).await;
        for (elapsed, may_be) in [(9, false), (10, true), (20, true), (22, false)] {
            assert_eq!(ours.may_have_run(SECOND * elapsed), may_be, "{elapsed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn backup_that_was_found_may_have_begun_at_any_time() {
        let mut found = Identity::new(None);
        advance(SECOND).await;
        assert!(found.may_run(SECOND * 100_000, Instant::now()));
        found.runs(SECOND * 100_000, Instant::now());
        advance(SECOND * 10).await;
        assert!(!found.may_run(SECOND * 10, Instant::now()));
        assert!(found.may_have_run(SECOND * 100_005));
    }
}
