//! Block jobs: what they are doing, and what they say of it.

mod fault;
mod finish;
mod progress;
mod start;
mod step;
mod task;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use virtwire_protocol::constants::{ConnectDomainEventBlockJobStatus, DomainBlockJobType};
use virtwire_protocol::remote::DomainGetBlockJobInfoRet;

pub use self::fault::BlockJobFault;
use self::progress::Progress;
pub(crate) use self::start::{CopyTo, NewJob, bytes_per_second};
pub(crate) use self::task::follow;
use super::Uuid;
use super::model::Pace;

/// Which job: a later one on the same disk is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobKey {
    pub(crate) domain: Uuid,
    pub(crate) target: String,
    pub(crate) serial: u64,
}

/// A job on a disk.
#[derive(Debug)]
pub(crate) struct BlockJob {
    pub(crate) serial: u64,
    /// QEMU's name for it, as messages have it.
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the hypervisor begins with the work.
    begins: Instant,
    progress: Progress,
    /// The work as it was at the start.
    size: u64,
    /// What the guest sees of the disk, in bytes.
    capacity: u64,
    /// In bytes a second; 0 for none.
    limit: u64,
    /// Where it writes to.
    pub(crate) writes_to: Option<String>,
    pace: Pace,
    faults: Vec<BlockJobFault>,
    /// What the hypervisor said when it failed.
    pub(crate) error: Option<String>,
    /// A call that holds the domain's turn waits for the end.
    pub(crate) synchronous: bool,
    frozen: bool,
    /// Told whenever the job's next step may be another.
    nudge: watch::Sender<()>,
    ended: watch::Sender<Option<Ended>>,
}

/// What a job is there for. Images are named by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Brings the data from above `base`, or of all images, into the first one.
    Pull { base: Option<u32>, relative: bool },
    /// Brings the data of `top` and of what is below it into `base`.
    Commit {
        top: u32,
        base: u32,
        delete: bool,
        relative: bool,
    },
    /// The same from the image that the guest writes to.
    ActiveCommit { base: u32, delete: bool },
    /// Keeps another image in step with the guest's.
    Copy {
        /// Whether it is to stand on what the guest's image stands on.
        inherits: bool,
        /// Whether the guest's writes wait for both images.
        synchronous: bool,
    },
    /// Brings the data as it is now into a file.
    Backup {
        /// Only the blocks that change from now on, for somebody who reads the rest.
        pull: bool,
        /// Only the blocks that have changed since a checkpoint.
        incremental: bool,
    },
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// In step, and to stay so until it is told how to end.
    Ready,
    /// Told to end: to take the mirror's side, or to give it up.
    Ending {
        pivot: bool,
    },
    /// Over in the hypervisor; libvirt has not taken note yet.
    Over {
        failed: bool,
    },
    /// libvirt has taken note and tidies up.
    Tidying,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: ConnectDomainEventBlockJobStatus,
    pub(crate) error: Option<String>,
}

impl Work {
    /// What clients call it.
    pub(crate) fn kind(&self) -> DomainBlockJobType {
        match self {
            Self::Pull { .. } => DomainBlockJobType::PULL,
            Self::Commit { .. } => DomainBlockJobType::COMMIT,
            Self::ActiveCommit { .. } => DomainBlockJobType::ACTIVE_COMMIT,
            Self::Copy { .. } => DomainBlockJobType::COPY,
            Self::Backup { .. } => DomainBlockJobType::BACKUP,
        }
    }

    /// Whether it becomes ready and waits to be told how to end.
    fn is_mirror(&self) -> bool {
        matches!(self, Self::ActiveCommit { .. } | Self::Copy { .. })
    }

    /// Whether it ends only when it is told to.
    fn is_endless(&self) -> bool {
        matches!(self, Self::Backup { pull: true, .. })
    }
}

/// What a job says of itself.
impl BlockJob {
    /// What a client is told, the figures adjusted as libvirt does.
    pub(crate) fn info(&self, now: Instant, in_bytes: bool) -> DomainGetBlockJobInfoRet {
        let (mut cur, mut end) = self.figures(now);
        if self.work.is_mirror() {
            let ready = self.is_ready();
            if (cur, end) == (0, 0) {
                (cur, end) = (u64::from(ready), 1);
            } else if !ready && cur == end {
                cur -= 1;
            }
        }
        DomainGetBlockJobInfoRet {
            found: 1,
            type_: self.work.kind().0,
            bandwidth: if in_bytes {
                self.limit
            } else {
                self.limit.div_ceil(1 << 20)
            },
            cur,
            end,
        }
    }

    /// How much is done and how much there is to do, as the hypervisor says it.
    pub(crate) fn figures(&self, now: Instant) -> (u64, u64) {
        let (done, total) = self.progress.at(now);
        match self.work {
            _ if now < self.begins && self.phase == Phase::Running => (0, 0),
            Work::Backup { pull: true, .. } => (done.min(self.capacity), self.capacity),
            Work::ActiveCommit { .. }
            | Work::Copy { .. }
            | Work::Backup {
                incremental: true, ..
            } => (done, total),
            // The others go through the whole disk, the parts without data included.
            _ if total == 0 => (self.capacity, self.capacity),
            _ => {
                let part = u128::from(self.capacity) * u128::from(done) / u128::from(total);
                (u64::try_from(part).unwrap_or(u64::MAX), self.capacity)
            }
        }
    }

    fn is_ready(&self) -> bool {
        !matches!(self.phase, Phase::Running | Phase::Over { .. })
    }

    /// How fast it moves now.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        match self.phase {
            Phase::Running | Phase::Ready => self.progress.rate(now),
            _ => 0,
        }
    }

    /// Whether the hypervisor is done with it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// How much it has moved so far.
    pub(crate) fn moved(&self, now: Instant) -> u64 {
        self.progress.at(now).0
    }
}

/// What a job is told.
impl BlockJob {
    /// Limits it, or lifts the limit with 0.
    pub(crate) fn set_limit(&mut self, limit: u64, writes: u64) {
        self.limit = limit;
        self.set_rates(writes);
    }

    /// The guest writes so much in a second.
    pub(crate) fn set_rates(&mut self, writes: u64) {
        let (rate, growth) = self.rates(writes);
        self.progress.set_rates(Instant::now(), rate, growth);
        self.nudge();
    }

    /// The guest has written so much at once.
    pub(crate) fn note_writes(&mut self, bytes: u64) {
        if self.work.is_endless() {
            self.progress.add(Instant::now(), bytes);
            self.nudge();
        }
    }

    /// The process that does the work stands still, or goes on.
    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        let stalled = self.faults.contains(&BlockJobFault::Stall);
        self.progress.halt(Instant::now(), frozen || stalled);
        self.nudge();
    }

    /// Ends it, this way or that.
    pub(crate) fn end(&mut self, pivot: bool) {
        self.enter(Phase::Ending { pivot });
    }

    /// A call that has the domain's turn waits for the end.
    pub(crate) fn wait_here(&mut self) -> watch::Receiver<Option<Ended>> {
        self.synchronous = true;
        self.nudge();
        self.ended.subscribe()
    }

    /// Whether it was told to end and has not yet.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Tidying)
    }

    /// A fault that happens once.
    pub(crate) fn take_fault(&mut self, wanted: &BlockJobFault) -> bool {
        let place = self.faults.iter().position(|fault| fault == wanted);
        place.map(|place| self.faults.remove(place)).is_some()
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
        self.nudge();
    }

    fn nudge(&self) {
        self.nudge.send_replace(());
    }

    fn rates(&self, writes: u64) -> (u64, u64) {
        if self.work.is_endless() {
            // Every block is kept before the guest writes to it.
            return (writes, 0);
        }
        let throughput = self.pace.throughput;
        let rate = match self.limit {
            0 => throughput,
            limit => limit.min(throughput),
        };
        let grows = match self.work {
            Work::ActiveCommit { .. } => true,
            Work::Copy { synchronous, .. } => !synchronous,
            _ => false,
        };
        (rate, if grows { writes } else { 0 })
    }

    fn delay(&self) -> Duration {
        let delays = self.faults.iter().filter_map(|fault| match fault {
            BlockJobFault::DelayEvent(delay) => Some(*delay),
            _ => None,
        });
        delays.sum()
    }
}
