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
    /// The job keeps up with the guest, and goes on.
    pub(super) ready: &'static str,
    /// The job kept up with the guest and was ended without a pivot, as asked.
    pub(super) finished: &'static str,
}

pub(super) const PULL: Words = Words {
    label: "Block Pull",
    started: "Block Pull started",
    noun: "Pull",
    ready: "",
    finished: "",
};

pub(super) const COMMIT: Words = Words {
    label: "Block commit",
    started: "Block Commit started",
    noun: "Commit",
    ready: "Now in synchronized phase",
    finished: "Commit complete, overlay image kept",
};

pub(super) const ACTIVE_COMMIT: Words = Words {
    started: "Active Block Commit started",
    ..COMMIT
};

pub(super) const COPY: Words = Words {
    label: "Block Copy",
    started: "Block Copy started",
    noun: "Copy",
    ready: "Now in mirroring phase",
    finished: "Successfully copied",
};
