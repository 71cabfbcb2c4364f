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
}

impl BlockJobInfo {
    pub(crate) fn from_wire(wire: &remote::DomainGetBlockJobInfoRet) -> Option<Self> {
        (wire.found != 0).then(|| Self {
            kind: DomainBlockJobType(wire.type_),
            bandwidth: Bandwidth::from_wire_bytes(wire.bandwidth),
            current: wire.cur,
            end: wire.end,
        })
    }

    /// The progress that the figures speak of.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            current: self.current,
            end: self.end,
            bandwidth: self.bandwidth,
        }
    }
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
}

impl Progress {
    /// The part that is done, from 0 to 1; `None` while the daemon has no figures.
    ///
    /// A fraction of 1 does not mean that the job has completed, only its event does.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(current: u64, end: u64) -> Progress {
        Progress {
            current,
            end,
            bandwidth: Bandwidth::UNLIMITED,
        }
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
    }
}
