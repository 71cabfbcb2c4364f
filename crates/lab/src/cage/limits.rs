//! What a cage allows its inmates at most.

use std::time::Duration;

/// What a cage allows at most; the kernel sees to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of address space of each process.
    pub memory: u64,
    /// Processes and threads of all together.
    pub tasks: u64,
    /// Bytes in one file.
    pub file: u64,
    /// Bytes in all files.
    pub space: u64,
    /// Files and directories.
    pub files: u64,
    /// Open files of each process.
    pub open_files: u64,
    /// Processor time of each process, in whole seconds.
    pub processor: Duration,
    /// After this, everything in the cage is killed; in whole seconds.
    pub lifetime: Duration,
}

impl Default for Limits {
    /// Enough for a libvirtd and a dozen tiny guests.
    fn default() -> Self {
        Self {
            memory: 3 << 30,
            tasks: 200,
            file: 64 << 20,
            space: 192 << 20,
            files: 20_000,
            open_files: 1024,
            processor: Duration::from_secs(600),
            lifetime: Duration::from_secs(1800),
        }
    }
}

impl Limits {
    /// The options of `prlimit`. No core dumps, and no memory that cannot be swapped out.
    pub(super) fn options(&self) -> [String; 7] {
        [
            format!("--as={}", self.memory),
            format!("--nproc={}", self.tasks),
            format!("--fsize={}", self.file),
            format!("--nofile={}", self.open_files),
            format!("--cpu={}", self.processor.as_secs()),
            "--core=0".to_owned(),
            "--memlock=0".to_owned(),
        ]
    }

    /// What the kernel then says of a process, in the words of `/proc/PID/limits`.
    pub(super) fn names(&self) -> [(&'static str, u64); 7] {
        [
            ("Max address space", self.memory),
            ("Max processes", self.tasks),
            ("Max file size", self.file),
            ("Max open files", self.open_files),
            ("Max cpu time", self.processor.as_secs()),
            ("Max core file size", 0),
            ("Max locked memory", 0),
        ]
    }
}
