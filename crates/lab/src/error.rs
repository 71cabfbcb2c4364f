//! The one error of the lab.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::install::Missing;

/// Says why a lab could not be had or did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A private instance needs a mount and a PID namespace, and so root.
    #[error("a private libvirtd needs root: run this as root (uid 0)")]
    NotRoot,
    /// Programs that the lab needs are not on this machine.
    #[error("{0}")]
    Missing(Missing),
    /// A program ran and failed.
    #[error("`{command}` failed with {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// A program answered something that cannot be understood.
    #[error("`{command}` printed something unexpected: {detail}")]
    Output {
        /// The command line.
        command: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The private namespace could not be set up.
    #[error("cannot set up the private namespace: {detail}")]
    Namespace {
        /// What the supervisor said.
        detail: String,
    },
    /// The daemon runs, but not confined as a caged one has to be.
    #[error("the cage does not hold libvirtd: {complaint}")]
    NotCaged {
        /// What is missing of the cage.
        complaint: String,
    },
    /// The daemon ended instead of serving.
    #[error("libvirtd ended with {status} instead of serving; its log:\n{log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The daemon did not answer in time.
    #[error("libvirtd did not answer within {within:?}; its log:\n{log}")]
    NotReady {
        /// The time it was given.
        within: Duration,
        /// The end of its log.
        log: String,
    },
    /// The daemon was killed or stopped before.
    #[error("libvirtd is not running")]
    NotRunning,
    /// The libvirt of another release is not on this machine.
    #[error("no root file system with the libvirt of {suite}: {remedy}")]
    NoRootfs {
        /// The release.
        suite: &'static str,
        /// What to do about it.
        remedy: String,
    },
    /// The package manager has no version of a package that can be installed here.
    #[error("the distribution has no {package} that fits: {detail}")]
    NotPackaged {
        /// The package that was looked for.
        package: String,
        /// What was found instead.
        detail: String,
    },
}

/// Adds what was being done, and to which path, to an I/O error.
pub(crate) trait IoContext<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}
