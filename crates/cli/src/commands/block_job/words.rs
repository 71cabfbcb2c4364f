//! What is said of jobs: virsh's words.

/// The words of one command.
#[derive(Debug)]
pub(super) struct Words {
    /// Stands before the progress.
    pub(super) label: &'static str,
    /// The job has been started and is not waited for.
    pub(super) started: &'static str,
    /// The job, in messages about its end.
    pub(super) noun: &'static str,
}

pub(super) const PULL: Words = Words {
    label: "Block Pull",
    started: "Block Pull started",
    noun: "Pull",
};
