//! A libvirtd that was started.

use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;

use super::namespace::wait_until;
use crate::process;

/// libvirtd waits for its workers when told to end; then it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Running {
    /// Waits for libvirtd and ends as it does.
    pub(crate) nsenter: Child,
    /// libvirtd.
    pub(crate) pid: i32,
}

impl Running {
    pub(crate) fn pause(&self) {
        process::signal(self.pid, Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        process::signal(self.pid, Signal::CONT);
    }

    /// Sends the signal and waits for the end, which comes by force if it takes too long.
    pub(crate) fn end(&mut self, signal: Signal) {
        process::signal(self.pid, signal);
        self.resume();
        if !wait_until(STOP_DEADLINE, || self.has_ended()) {
            process::signal(self.pid, Signal::KILL);
            let _ = self.nsenter.kill();
            let _ = self.nsenter.wait();
        }
    }

    /// `nsenter` stands still when its child does, and hears of the child's end only when somebody
    /// wakes it: the kernel does so where it leaves nobody behind in its session, and not elsewhere.
    fn has_ended(&mut self) -> bool {
        if let Ok(nsenter) = i32::try_from(self.nsenter.id()) {
            process::signal(nsenter, Signal::CONT);
        }
        matches!(self.nsenter.try_wait(), Ok(Some(_)) | Err(_))
    }
}
