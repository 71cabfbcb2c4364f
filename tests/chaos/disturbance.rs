//! What comes between a job and its end.

use std::fmt;

use crate::operation::Operation;

/// One thing that comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Disturbance {
    /// Nothing.
    Calm,
    /// A cancellation.
    Cancel,
    /// A pivot that is asked for as soon as the job is started.
    PivotEarliest,
    /// A pivot some time after the job was ready.
    PivotLate,
    /// Two pivots.
    PivotTwice,
    /// A pivot and a cancellation at the same time.
    PivotAndCancel,
    /// The domain is destroyed.
    Destroy,
    /// The guest's QEMU is killed.
    KillQemu,
    /// The daemon is killed and started again; the client's connection is one that lasts.
    KillDaemonLasting,
    /// The daemon is killed and started again; the client connects anew and attaches to the job.
    KillDaemonAttach,
    /// The client's connection breaks, and is one that lasts.
    CutLasting,
    /// The client's connection breaks; it connects anew and attaches to the job.
    CutAttach,
    /// There is no room where the job writes to.
    NoRoom,
    /// A cluster cannot be written, or of a pull be read.
    BadCluster,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 14] = [
        Self::Calm,
        Self::Cancel,
        Self::PivotEarliest,
        Self::PivotLate,
        Self::PivotTwice,
        Self::PivotAndCancel,
        Self::Destroy,
        Self::KillQemu,
        Self::KillDaemonLasting,
        Self::KillDaemonAttach,
        Self::CutLasting,
        Self::CutAttach,
        Self::NoRoom,
        Self::BadCluster,
    ];

    pub(crate) fn applies_to(self, operation: Operation) -> bool {
        match self {
            Self::PivotEarliest | Self::PivotLate | Self::PivotTwice | Self::PivotAndCancel => {
                operation.pivots()
            }
            // Only what the guest writes is written then.
            Self::NoRoom => operation != Operation::PullBackup,
            Self::BadCluster => !operation.is_backup(),
            _ => true,
        }
    }

    /// Whether it happens to the whole guest, or all of the daemon, at one moment.
    pub(crate) fn is_common(self) -> bool {
        self.stops_the_guest() || self.breaks_the_connection()
    }

    pub(crate) fn stops_the_guest(self) -> bool {
        matches!(self, Self::Destroy | Self::KillQemu)
    }

    pub(crate) fn kills_the_daemon(self) -> bool {
        matches!(self, Self::KillDaemonLasting | Self::KillDaemonAttach)
    }

    pub(crate) fn cuts(self) -> bool {
        matches!(self, Self::CutLasting | Self::CutAttach)
    }

    pub(crate) fn breaks_the_connection(self) -> bool {
        self.kills_the_daemon() || self.cuts()
    }

    /// Whether the client's connection is opened again by itself.
    pub(crate) fn lasts(self) -> bool {
        matches!(self, Self::KillDaemonLasting | Self::CutLasting)
    }

    /// Whether what the job works on is unsound.
    pub(crate) fn is_of_storage(self) -> bool {
        matches!(self, Self::NoRoom | Self::BadCluster)
    }

    /// Whether a job may be out of sight, or gone without a word, because of it.
    pub(crate) fn explains_vanished(self) -> bool {
        self.is_common()
    }

    /// Whether a job may have been cancelled because of it.
    pub(crate) fn cancels(self) -> bool {
        matches!(self, Self::Cancel | Self::PivotAndCancel)
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Calm => "calm",
            Self::Cancel => "cancel",
            Self::PivotEarliest => "pivot-earliest",
            Self::PivotLate => "pivot-late",
            Self::PivotTwice => "pivot-twice",
            Self::PivotAndCancel => "pivot-and-cancel",
            Self::Destroy => "destroy",
            Self::KillQemu => "kill-qemu",
            Self::KillDaemonLasting => "kill-daemon-lasting",
            Self::KillDaemonAttach => "kill-daemon-attach",
            Self::CutLasting => "cut-lasting",
            Self::CutAttach => "cut-attach",
            Self::NoRoom => "no-room",
            Self::BadCluster => "bad-cluster",
        })
    }
}
