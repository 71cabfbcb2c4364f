use std::fmt;

use virtwire_protocol::constants::ConnectDomainEventBlockJobStatus;

use super::{BlockJobInfo, Evidence};
use crate::Source;

/// How a block job ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The daemon announced that a pull, an inner commit, or whatever else cannot be pivoted, has
    /// done its work.
    ///
    /// What was copied is in QEMU's hands then, and not yet safe: QEMU may have tables of the image
    /// in its memory alone, and loses them if it is killed or if there is no room for them.
    /// [Suspend](crate::Domain::suspend) and [resume](crate::Domain::resume) the domain,
    /// which writes them down, before you remove the images that are not needed any more.
    Completed,
    /// The daemon announced that a copy or an active commit has done its work and the guest uses
    /// the destination, and the live XML, which was looked at then, does not contradict that. Where
    /// nothing could be looked at, [`NextStart::NotKnown`] stands beside it.
    Pivoted(NextStart),
    /// The daemon announced that the job was cancelled: the guest's data is whole, and libvirt
    /// counts the disk's images as before.
    ///
    /// libvirt also says this of a job that finishes after it accepted the cancellation
    /// (`qemu_blockjob.c`), so the image itself may be ahead of the XML then. A copy that was
    /// ready leaves its destination as a copy of the disk at the moment of the cancellation.
    Cancelled,
    /// The daemon announced that the job failed. The guest's data is whole, and libvirt counts the
    /// disk's images as before.
    ///
    /// After a pull for which there was no room, make some before the guest stops. QEMU has been seen
    /// to have changed what the image stands on although the job failed, and to lose what it had
    /// copied when it stopped without room.
    Failed(JobFailure),
    /// The job is gone, or out of sight, and nobody announced how it ended. It may have completed
    /// and it may not: look at the evidence before acting on the disk.
    Vanished(Box<Evidence>),
}

/// Which image the next start of the domain will use, after a pivot of the running one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStart {
    /// The same as the guest uses now.
    NewImage,
    /// This one, since the definition did not name the image that the guest used before the
    /// pivot; libvirt then leaves it alone. To start from it loses what the guest writes now.
    OtherImage(Option<Source>),
    /// There is no definition: the domain is transient.
    NoDefinition,
    /// It could not be asked, or the definition has no such disk.
    NotKnown,
}

/// What is known of a failure. The event carries no text; the host's logs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// The status in the event: `FAILED`. One that this version does not know ends nothing.
    pub status: ConnectDomainEventBlockJobStatus,
    /// The last figures seen.
    pub last_info: Option<BlockJobInfo>,
}

impl Outcome {
    /// Whether the job has done what it was started for: it has completed, or was pivoted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Completed | Self::Pivoted(_))
    }

    /// Whether the job was pivoted.
    #[must_use]
    pub fn is_pivoted(&self) -> bool {
        matches!(self, Self::Pivoted(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Pivoted(NextStart::OtherImage(_)) => {
                f.write_str("pivoted, but the next start uses another image")
            }
            Self::Pivoted(_) => f.write_str("pivoted"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Failed(_) => f.write_str("failed"),
            Self::Vanished(evidence) => write!(f, "vanished: {}", evidence.reason),
        }
    }
}
