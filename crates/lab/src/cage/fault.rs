//! What the kernel logs of a program that crashes: where, which no exit status says.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;

/// The kernel's log from here on, and the threads whose faults count.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None` where the log cannot be read; then nothing is known.
    log: Option<File>,
    pid: i32,
    /// The kernel names the thread and not the process, and only says so when both are gone.
    threads: BTreeSet<i32>,
}

impl Watch {
    /// Watches a process.
    pub(super) fn of(pid: i32) -> Self {
        let open = || {
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
            let mut options = OpenOptions::new();
            let mut log = options
                .read(true)
                .custom_flags(flags)
                .open("/dev/kmsg")
                .ok()?;
            // What was logged before belongs to others.
            log.seek(SeekFrom::End(0)).ok()?;
            Some(log)
        };
        let mut watch = Self {
            log: open(),
            pid,
            threads: BTreeSet::new(),
        };
        watch.look();
        watch
    }

    /// Notes the threads that the process has now.
    pub(super) fn look(&mut self) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid));
        let tasks = tasks.into_iter().flatten();
        self.threads
            .extend(tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<i32>().ok()));
    }

    /// The last fault of one of the threads.
    pub(super) fn fault(&self) -> Option<String> {
        let mut log = self.log.as_ref()?;
        let mut record = [0; 8192];
        let mut found = None;
        // Each read gives one record; the end is an error, since one could wait for the next.
        while let Ok(length) = log.read(&mut record) {
            let text = String::from_utf8_lossy(record.get(..length)?).into_owned();
            found = fault(&text, &self.threads).or(found);
        }
        found
    }
}

/// The part of a record that is the same whenever the same thing happens.
fn fault(record: &str, threads: &BTreeSet<i32>) -> Option<String> {
    let (_, message) = record.split_once(';')?;
    let message = message.lines().next()?;
    let message = message.strip_prefix("traps: ").unwrap_or(message);
    let (task, what) = message.split_once(']')?;
    let (_, thread) = task.rsplit_once('[')?;
    if !threads.contains(&thread.parse().ok()?) {
        return None;
    }
    let what = what.trim_start_matches([':', ' ']);
    let (_, place) = what.rsplit_once(" in ")?;
    // `LIBRARY[OFFSET,BASE+SIZE]`; where the library was loaded differs each time.
    let (library, offset) = place.split_once('[')?;
    let offset = offset.split([',', ']']).next()?;
    let kind = what.split(" ip").next()?;
    Some(format!("{kind} in {library}[{offset}]"))
}

#[cfg(test)]
mod tests {
    use super::fault;

    const RECORD: &str = "6,441,11750736729,-;rpc-libvirtd[28196]: segfault at 0 \
        ip 00007f90e2185ad8 sp 00007ffdcea02b38 error 4 in \
        libvirt.so.0.9000.0[167ad8,7f90e2044000+156000] likely on CPU 1 (core 1, socket 0)\n";

    #[test]
    fn a_fault_is_named_by_its_place() {
        let expected = Some("segfault at 0 in libvirt.so.0.9000.0[167ad8]".to_owned());
        assert_eq!(fault(RECORD, &[28_195, 28_196].into()), expected);
        let trap = "6,1,2,-;traps: rpc-libvirtd[7] trap int3 ip:7f sp:7f error:0 \
            in libglib-2.0.so.0.7400.6[5b747,7fd0+8f000]\n";
        let expected = Some("trap int3 in libglib-2.0.so.0.7400.6[5b747]".to_owned());
        assert_eq!(fault(trap, &[7].into()), expected);
    }

    #[test]
    fn faults_of_others_do_not_count() {
        assert_eq!(fault(RECORD, &[28_197].into()), None);
        assert_eq!(fault("6,1,2,-;eth0: link up", &[1].into()), None);
        assert_eq!(fault("", &[1].into()), None);
    }
}
