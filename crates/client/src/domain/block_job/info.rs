use std::time::Duration;

use virtwire_protocol::constants::DomainBlockJobType;
use virtwire_protocol::remote;

use crate::Bandwidth;

/// What the daemon says of a running block job. The figures are the daemon's own;
/// [`progress`](Self::progress) reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockJobInfo {
    /// What kind of job it is; a newer daemon may name one that this version does not know.
    pub kind: DomainBlockJobType,
    /// The limit.
    pub bandwidth: Bandwidth,
    /// How far the job is, in a unit of the daemon's choice (bytes, in practice).
    pub current: u64,
    /// Where it ends. It may grow while the guest writes, and it is 0 or 1 while the daemon has
    /// no figures: at the very start and at the very end.
    pub end: u64,
    /// Whether it is known that the job can be [pivoted](crate::BlockJob::pivot). The daemon's
    /// figures never tell: that `current` has reached `end` does not mean it. What tells is an
    /// event, or the XML, so [`Disk::job_info`](crate::Disk::job_info), which asks neither, leaves
    /// this `false`.
    pub ready: bool,
}

impl BlockJobInfo {
    pub(crate) fn from_wire(wire: &remote::DomainGetBlockJobInfoRet) -> Option<Self> {
        (wire.found != 0).then(|| Self {
            kind: DomainBlockJobType(wire.type_),
            bandwidth: Bandwidth::from_wire_bytes(wire.bandwidth),
            current: wire.cur,
            end: wire.end,
            ready: false,
        })
    }

    /// Whether the job keeps two images equal until it is [pivoted](crate::BlockJob::pivot) or
    /// cancelled: a copy or a commit of the active image.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        is_mirror(self.kind)
    }

    /// The progress that the figures speak of.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            current: self.current,
            end: self.end,
            bandwidth: self.bandwidth,
            ready: self.ready,
            rate: None,
            eta: None,
            convergence: None,
        }
    }
}

pub(crate) fn is_mirror(kind: DomainBlockJobType) -> bool {
    matches!(
        kind,
        DomainBlockJobType::COPY | DomainBlockJobType::ACTIVE_COMMIT
    )
}

/// How far a block job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How far the job is, in bytes.
    pub current: u64,
    /// Where it ends, in bytes; may grow.
    pub end: u64,
    /// The limit in force.
    pub bandwidth: Bandwidth,
    /// Whether the job waits to be pivoted or cancelled.
    pub ready: bool,
    /// Bytes per second over the last ten seconds; `None` until two figures nearly half a second
    /// apart have been seen.
    pub rate: Option<u64>,
    /// How long it takes until nothing is left, if everything goes on as in the last ten seconds:
    /// what the guest writes meanwhile is reckoned with. `None` when that is not in sight.
    pub eta: Option<Duration>,
    /// Whether a mirror that is not ready gets nearer to it; `None` for other jobs, and while
    /// there are not enough figures.
    pub convergence: Option<Convergence>,
}

/// Whether a copy or an active commit gets nearer to its end, which moves away as the guest
/// writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Convergence {
    /// There is less left to copy than ten seconds ago.
    Converging,
    /// There is as much left to copy as ten seconds ago.
    Stalled,
    /// There is more left to copy than ten seconds ago: the guest writes faster than the job
    /// copies. Lift the job's limit, throttle the guest, or use synchronous writes in a copy.
    Diverging,
}

impl Progress {
    /// The part that is done, from 0 to 1; `None` while the daemon has no figures.
    ///
    /// A fraction of 1 does not mean that the job has completed, nor that it can be pivoted: only
    /// its event does.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        // The daemon reports 0/0 or 0/1 for a job that QEMU has no figures of.
        if self.end == 0 || (self.end == 1 && self.current == 0) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a fraction needs no 64 exact bits"
        )]
        let fraction = self.current as f64 / self.end as f64;
        Some(fraction.clamp(0.0, 1.0))
    }

    /// The part that is done in per cent, 0 while the daemon has no figures.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.fraction().map_or(0.0, |fraction| fraction * 100.0)
    }

    /// What is left, in bytes.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(current: u64, end: u64) -> Progress {
        let info = BlockJobInfo {
            kind: DomainBlockJobType::PULL,
            bandwidth: Bandwidth::UNLIMITED,
            current,
            end,
            ready: false,
        };
        info.progress()
    }

    #[test]
    fn figures_that_mean_no_data_are_not_progress() {
        assert_eq!(progress(0, 0).fraction(), None);
        assert_eq!(progress(0, 1).fraction(), None);
        assert_eq!(progress(0, 1).percent(), 0.0);
    }

    #[test]
    fn fraction_stays_within_its_range() {
        assert_eq!(progress(0, 100).fraction(), Some(0.0));
        assert_eq!(progress(50, 100).percent(), 50.0);
        assert_eq!(progress(1, 1).fraction(), Some(1.0));
        assert_eq!(progress(200, 100).fraction(), Some(1.0));
        assert_eq!(progress(200, 100).remaining(), 0);
    }
}
