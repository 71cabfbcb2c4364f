//! What happens to a job next, and when.

use tokio::time::Instant;
use virtwire_protocol::constants::ConnectDomainEventBlockJobStatus as Status;

use super::{BlockJob, BlockJobFault, Phase, Work};

/// What QEMU says of a backup that was given up.
const CANCELED: &str = "Operation canceled";

/// What has become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing that libvirt would take note of.
    Nothing,
    /// It is in step.
    Ready,
    /// It has switched to the mirror: the chain is another from now on.
    Pivoted,
    /// It has done its work: the chain is another, and the job is gone.
    Completed,
    /// It is gone.
    Ended(Status),
}

impl BlockJob {
    /// When something is to happen next; `None` when nothing will of its own accord.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.frozen {
            return None;
        }
        match self.phase {
            Phase::Running => {
                let end = self.progress.end().filter(|_| !self.work.is_endless());
                let failure = self
                    .failure()
                    .and_then(|(done, _)| self.progress.reaches(done));
                [end, failure].into_iter().flatten().min()
            }
            Phase::Ready => {
                let after = self.faults.iter().find_map(|fault| match fault {
                    BlockJobFault::FailWhenReady { after, .. } => Some(*after),
                    _ => None,
                });
                self.since.checked_add(after?)
            }
            _ => self.since.checked_add(self.pace.latency),
        }
    }

    /// Whether libvirt has a hand in what happens next, and so waits for its turn.
    pub(super) fn needs_turn(&self) -> bool {
        match self.phase {
            Phase::Running => self.work.is_mirror(),
            Phase::Ready => false,
            _ => !self.synchronous,
        }
    }

    /// Has happen what is due.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.due().is_none_or(|due| due > now) {
            return Step::Nothing;
        }
        match self.phase {
            Phase::Running => self.work_done(now),
            Phase::Ready => {
                let error = self.faults.iter().find_map(|fault| match fault {
                    BlockJobFault::FailWhenReady { error, .. } => Some(error.clone()),
                    _ => None,
                });
                self.error = error;
                self.enter(Phase::Over { failed: true });
                Step::Nothing
            }
            Phase::Ending { pivot: false } => {
                if matches!(self.work, Work::Backup { .. }) {
                    self.error = Some(CANCELED.to_owned());
                }
                Step::Ended(Status::CANCELED)
            }
            Phase::Ending { pivot: true } => self.pivot(),
            Phase::Over { failed: true } => Step::Ended(Status::FAILED),
            Phase::Over { failed: false } => Step::Completed,
            Phase::Tidying => Step::Ended(Status::COMPLETED),
        }
    }

    /// Skips all waiting, as far as the job goes of its own accord.
    pub(super) fn hurry(&mut self) -> Step {
        let now = Instant::now();
        match self.phase {
            Phase::Running if !self.work.is_endless() => {
                self.begins = self.begins.min(now);
                self.progress.finish(now);
                self.work_done(now)
            }
            Phase::Over { failed: false } => Step::Completed,
            Phase::Over { failed: true } => Step::Ended(Status::FAILED),
            _ => Step::Nothing,
        }
    }

    fn work_done(&mut self, now: Instant) -> Step {
        let moved = self.moved(now);
        if let Some((done, error)) = self.failure() {
            if moved >= done {
                self.error = Some(error);
                self.enter(Phase::Over { failed: true });
                return Step::Nothing;
            }
        }
        if self.work.is_mirror() {
            self.enter(Phase::Ready);
            return Step::Ready;
        }
        self.enter(Phase::Over { failed: false });
        Step::Nothing
    }

    fn pivot(&mut self) -> Step {
        let error = self.faults.iter().find_map(|fault| match fault {
            BlockJobFault::FailPivot { error } => Some(error.clone()),
            _ => None,
        });
        if error.is_some() {
            self.error = error;
            return Step::Ended(Status::FAILED);
        }
        self.enter(Phase::Tidying);
        Step::Pivoted
    }

    /// After how many bytes it is to fail, and with which words.
    fn failure(&self) -> Option<(u64, String)> {
        self.faults.iter().find_map(|fault| match fault {
            BlockJobFault::FailAt { fraction, error } => {
                Some((part(self.size, *fraction), error.clone()))
            }
            _ => None,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of the work need not be exact, and casts of floating-point numbers saturate"
)]
fn part(size: u64, fraction: f64) -> u64 {
    ((size as f64) * fraction.clamp(0.0, 1.0)) as u64
}
