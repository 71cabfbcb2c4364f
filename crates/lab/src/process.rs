//! The process table, as far as the lab needs it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// One living process; zombies do not count.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
}

impl Process {
    /// The PID namespace it lives in, as the kernel names it.
    pub(crate) fn pid_namespace(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/ns/pid", self.pid)).ok()
    }

    /// The words it was started with.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = line.split(|&byte| byte == 0);
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    fn read(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()
        };
        if matches!(field("State:")?, "Z" | "X") {
            return None;
        }
        Some(Self {
            pid,
            parent: field("PPid:")?.parse().ok()?,
        })
    }
}

/// Whether there is such a process, and it lives.
pub(crate) fn is_alive(pid: i32) -> bool {
    Process::read(pid).is_some()
}

/// Every living process that this one can see.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir(Path::new("/proc")) else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).collect()
}

/// The living children of a process.
pub(crate) fn children(parent: u32) -> Vec<Process> {
    all()
        .into_iter()
        .filter(|process| u32::try_from(process.parent) == Ok(parent))
        .collect()
}

/// Sends a signal; a process that is gone already is not an error.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The only other failure is EPERM, which root does not meet.
        let _ = kill_process(pid, signal);
    }
}
