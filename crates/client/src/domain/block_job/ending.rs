//! How a handle ends its job: it asks, and the outcome says what became of it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use virtwire_protocol::constants::{DomainBlockJobAbortFlags, ErrorCode};

use super::info::is_mirror;
use super::{BlockJob, Outcome, Readiness};
use crate::error::Cause;
use crate::{Error, Execution};

/// How long a job may go on after the daemon refused to end it, before the refusal counts.
const ENDING_GRACE: Duration = Duration::from_secs(5);

/// How long QEMU may go on saying that a job is not ready after it was said to be.
const READY_GRACE: Duration = Duration::from_secs(60);

/// The pause after the first such refusal; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What became of a request to end a job.
enum Reply {
    /// The daemon has taken it.
    Taken,
    /// The connection was lost, and is there again or will be: it is not known whether the daemon
    /// has heard the request.
    Unheard,
    Refused(Error),
}

impl BlockJob {
    /// Asks the daemon to cancel the job and waits until it is over. The request holds neither
    /// the domain nor a place among the calls in flight while the job winds down. A job that won
    /// the race has another outcome than `Cancelled`.
    ///
    /// # Errors
    ///
    /// When the daemon refuses, other than because the job is over or being ended already.
    ///
    /// # Cancel safety
    ///
    /// Once the request is sent the job will be cancelled whether or not anybody waits.
    #[doc(alias = "virDomainBlockJobAbort")]
    pub async fn cancel(&self) -> Result<Outcome, Error> {
        loop {
            if !self.state.borrow().is_under_way() {
                return Ok(self.wait().await);
            }
            match self.ask_to_end(DomainBlockJobAbortFlags::ASYNC).await {
                Reply::Unheard if !self.is_gone().await => {}
                Reply::Taken | Reply::Unheard => return Ok(self.wait().await),
                Reply::Refused(refusal) => return self.end_despite(refusal).await,
            }
        }
    }

    /// Has the guest use the destination of a copy, or the base of an active commit, and waits
    /// until it does.
    ///
    /// The job has to be ready for that, which is waited for, for as long as it takes;
    /// [`pivot_within`](Self::pivot_within) has a limit. QEMU may say even then that it is not
    /// (`BLOCK_COPY_ACTIVE`); for a minute it is asked again. The request holds neither the domain
    /// nor a place among the calls in flight while the job winds down. How it ended says the
    /// daemon's event, and the live XML has to agree. [`NextStart`](super::NextStart) says whether
    /// the definition has followed.
    ///
    /// ```no_run
    /// # async fn example(guest: virtwire::Domain) -> Result<(), virtwire::Error> {
    /// use virtwire::{NextStart, Outcome};
    ///
    /// let job = guest.disk("vda").commit_active().start().await?;
    /// match job.pivot().await? {
    ///     Outcome::Pivoted(NextStart::OtherImage(_)) => println!("mend the definition"),
    ///     Outcome::Pivoted(_) => println!("the overlay may be deleted"),
    ///     other => println!("keep the overlay: {other}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Kind `InvalidInput` for a pull and an inner commit, which end by themselves; nothing is
    /// sent then. Otherwise what the daemon says when it refuses, other than because the job is
    /// over or being ended already. A job that was refused its pivot is as it was before.
    ///
    /// # Cancel safety
    ///
    /// Dropped while the job is not ready, nothing has happened. Once the request is sent the job
    /// will be pivoted whether or not anybody waits.
    #[doc(alias = "virDomainBlockJobAbort")]
    pub async fn pivot(&self) -> Result<Outcome, Error> {
        self.refuse_unless_mirror()?;
        let mut patience: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Readiness::Over(outcome) = self.wait_ready().await {
                return Ok(outcome);
            }
            let until = *patience.get_or_insert_with(|| Instant::now() + READY_GRACE);
            let flags = DomainBlockJobAbortFlags::ASYNC | DomainBlockJobAbortFlags::PIVOT;
            match self.ask_to_end(flags).await {
                Reply::Unheard if !self.is_gone().await => {}
                Reply::Taken | Reply::Unheard => return Ok(self.wait().await),
                Reply::Refused(refusal) if refusal.has_code(ErrorCode::BLOCK_COPY_ACTIVE) => {
                    if Instant::now() >= until {
                        return Err(refusal);
                    }
                    tokio::select! {
                        outcome = self.wait() => return Ok(outcome),
                        () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
                Reply::Refused(refusal) => return self.end_despite(refusal).await,
            }
        }
    }

    /// As [`pivot`](Self::pivot), within a time that covers everything: becoming ready, being
    /// asked again, and the end.
    ///
    /// # Errors
    ///
    /// As [`pivot`](Self::pivot), and kind `Timeout`. The job may be pivoted after that
    /// nonetheless, if it was ready; [`wait`](Self::wait) and [`outcome`](Self::outcome) tell.
    ///
    /// # Cancel safety
    ///
    /// As [`pivot`](Self::pivot).
    pub async fn pivot_within(&self, limit: Duration) -> Result<Outcome, Error> {
        timeout(limit, self.pivot())
            .await
            .unwrap_or_else(|_| Err(Cause::Timeout(limit).into()))
    }

    pub(super) fn refuse_unless_mirror(&self) -> Result<(), Error> {
        if is_mirror(self.kind()) {
            return Ok(());
        }
        let kind = self.kind();
        Err(Error::from(Cause::InvalidInput {
            what: "a pivot",
            limit: "a copy or an active commit",
            given: kind
                .name()
                .map_or_else(|| kind.0.to_string(), str::to_lowercase),
        }))
    }

    async fn ask_to_end(&self, flags: DomainBlockJobAbortFlags) -> Reply {
        let disk = self.disk();
        let (asked, other) = match flags.contains(DomainBlockJobAbortFlags::PIVOT) {
            true => (&self.wishes.pivots, &self.wishes.cancels),
            false => (&self.wishes.cancels, &self.wishes.pivots),
        };
        // Before it is sent: the end may be told before the answer comes, or the future dropped.
        asked.add();
        match disk.abort_job(flags).await {
            Ok(()) => {
                // The daemon takes one such request for a job: it had not taken another before.
                other.forget();
                Reply::Taken
            }
            Err(error) => {
                if let Some(Execution::NotSent | Execution::Rejected) = error.execution() {
                    asked.remove();
                }
                let comes_back = disk.domain().connection().close_cause().is_none();
                if error.is_closed() && comes_back {
                    Reply::Unheard
                } else {
                    Reply::Refused(error)
                }
            }
        }
    }

    /// Whether the daemon says that there is no such job any more. To be asked before a request is
    /// made once more, too: another job may be in its place.
    async fn is_gone(&self) -> bool {
        match self.info().await {
            Ok(info) => info.is_none(),
            // The disk has been taken away since.
            Err(error) => error.has_code(ErrorCode::INVALID_ARG),
        }
    }

    /// A job may end while we ask to end it, and the daemon then refuses in many ways: the job is
    /// gone, or is being ended already, or QEMU has concluded it and libvirt does not know yet.
    /// Whether the refusal was one of those shows in whether the job ends.
    async fn end_despite(&self, refusal: Error) -> Result<Outcome, Error> {
        self.wishes.pace.hurry();
        let being_ended = refusal.has_code(ErrorCode::OPERATION_INVALID);
        if being_ended || refusal.is_closed() {
            return Ok(self.wait().await);
        }
        if timeout(ENDING_GRACE, self.is_gone()).await == Ok(true) {
            return Ok(self.wait().await);
        }
        timeout(ENDING_GRACE, self.wait())
            .await
            .map_err(|_| refusal)
    }
}
