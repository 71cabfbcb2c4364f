//! What can be made to go wrong with a block job.

use std::time::Duration;

use virtwire_protocol::RemoteError;

/// Something that goes wrong with the next block job of a disk. Several may be planned for the
/// same job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BlockJobFault {
    /// The hypervisor does not start it, and this is the answer.
    Refuse(RemoteError),
    /// It fails when so much of its work is done: 0 is at once, 1 is in place of completing, or of
    /// becoming ready.
    FailAt {
        /// The part of the work that is done then, from 0 to 1.
        fraction: f64,
        /// What the hypervisor says of it.
        error: String,
    },
    /// It fails so long after it became ready.
    FailWhenReady {
        /// How long after.
        after: Duration,
        /// What the hypervisor says of it.
        error: String,
    },
    /// The hypervisor refuses the first request to pivot; the job stays ready, and the next one
    /// succeeds.
    RefusePivot,
    /// The job fails while it pivots, and is gone.
    FailPivot {
        /// What the hypervisor says of it.
        error: String,
    },
    /// Everything is done before the call that starts the job is answered.
    CompleteFirst,
    /// Nothing ever moves.
    Stall,
    /// The job is gone so long before anybody is told.
    DelayEvent(Duration),
    /// The job is gone, and nobody is told.
    LoseEvent,
}

impl BlockJobFault {
    /// The storage that the job writes to is full when so much of its work is done.
    #[must_use]
    pub fn no_space_at(fraction: f64) -> Self {
        Self::FailAt {
            fraction,
            error: String::from("No space left on device"),
        }
    }

    /// The storage that the job reads or writes fails when so much of its work is done.
    #[must_use]
    pub fn io_error_at(fraction: f64) -> Self {
        Self::FailAt {
            fraction,
            error: String::from("Input/output error"),
        }
    }
}
