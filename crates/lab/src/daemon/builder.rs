//! What an instance shall be like.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Daemon;
use crate::Error;
use crate::error::IoContext as _;

/// How much the daemon writes to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What it does.
    Info,
    /// What may be wrong.
    Warning,
    /// What failed.
    Error,
}

impl LogLevel {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warning => 3,
            Self::Error => 4,
        }
    }
}

/// The root file system of a distribution with another libvirt release.
///
/// [`Suite`](crate::Suite) has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    path: PathBuf,
}

impl Rootfs {
    /// Uses the root file system in this directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Builds a [`Daemon`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    pub(crate) session: bool,
    pub(crate) tcp: bool,
    pub(crate) log_level: LogLevel,
    pub(crate) rootfs: Option<Rootfs>,
    pub(crate) settings: Vec<(String, String)>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            session: false,
            tcp: false,
            log_level: LogLevel::Warning,
            rootfs: None,
            settings: Vec::new(),
        }
    }

    /// Starts a session daemon as an unprivileged user instead of the system's.
    pub fn session(mut self) -> Self {
        self.session = true;
        self
    }

    /// Also listens for TCP on 127.0.0.1, at a free port.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Lets the daemon ask after each interval of silence whether its client is alive, and give up
    /// after that many questions without an answer.
    pub fn keepalive(self, interval: Duration, count: u32) -> Self {
        self.setting("keepalive_interval", interval.as_secs().to_string())
            .setting("keepalive_count", count.to_string())
    }

    /// Limits the calls that one client may have under way.
    pub fn max_client_requests(self, limit: u32) -> Self {
        self.setting("max_client_requests", limit.to_string())
    }

    /// Says how much the daemon logs; warnings and errors if not set.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = level;
        self
    }

    /// Runs the libvirtd and QEMU of another root file system.
    pub fn rootfs(mut self, rootfs: Rootfs) -> Self {
        self.rootfs = Some(rootfs);
        self
    }

    /// Adds a line to libvirtd.conf; the value is as written there, strings with their quotes.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the daemon and returns when it answers.
    ///
    /// # Errors
    ///
    /// When not root, when a program is missing, when the namespace is refused, and when the daemon
    /// ends or does not answer in time, which then carries its log.
    pub fn start(self) -> Result<Daemon, Error> {
        if !self.tcp {
            return Daemon::start_at(self, None);
        }
        // Another process can take a free port before libvirtd does: that ends libvirtd.
        for _ in 0..2 {
            match Daemon::start_at(self.clone(), Some(free_port()?)) {
                Err(Error::Exited { .. }) => {}
                other => return other,
            }
        }
        Daemon::start_at(self, Some(free_port()?))
    }

    /// Where the daemon's programs are looked up.
    pub(crate) fn root_dir(&self) -> &Path {
        self.rootfs
            .as_ref()
            .map_or_else(|| Path::new("/"), Rootfs::path)
    }

    /// The root directory to change to, if any.
    pub(crate) fn chroot(&self) -> Option<&Path> {
        self.rootfs.as_ref().map(Rootfs::path)
    }
}

fn free_port() -> Result<u16, Error> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(address
        .doing("find a free port on", Path::new("127.0.0.1"))?
        .port())
}
