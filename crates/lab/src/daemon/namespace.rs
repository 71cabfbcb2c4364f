//! The private mount and PID namespace of one instance.
//!
//! Process 1 of the PID namespace is a small shell script, `supervisor.sh`, that holds the read
//! end of a pipe whose only write end is ours. When we die the kernel closes ours; the script then
//! kills what is left in the namespace, removes the directory and ends. If the script itself is
//! killed, the kernel kills everything in its namespace. Mounts live and die with the namespace.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::error::IoContext as _;
use crate::process::{self, Process};

const SUPERVISOR: &str = include_str!("supervisor.sh");
/// A guest that dies slowly (a big core dump, a slow disk) is waited for this long.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// A running namespace; dropping it ends everything in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// `unshare`, which waits for process 1 and takes it along if it dies itself.
    unshare: Child,
    /// Our end of the pipe: the life line of everything inside.
    lifeline: Option<ChildStdin>,
    /// Process 1 of the namespace, by the PID it has outside.
    init: i32,
    pid_namespace: PathBuf,
    /// The kinds beside those of mounts and PIDs, as options of `unshare` and `nsenter`.
    kinds: &'static [&'static str],
}

impl Namespace {
    /// Enters a namespace where `dir`'s state directories lie over the system's, below `root`.
    pub(crate) fn enter(dir: &Path, root: Option<&Path>) -> Result<Self, Error> {
        let root = root.unwrap_or_else(|| Path::new(""));
        Self::start(&[], SUPERVISOR, &[dir.as_os_str(), root.as_os_str()], dir)
    }

    /// Starts this supervisor as process 1 of a namespace, which has these kinds as well.
    pub(crate) fn start(
        kinds: &'static [&'static str],
        supervisor: &str,
        arguments: &[&OsStr],
        dir: &Path,
    ) -> Result<Self, Error> {
        let complaints = dir.join("log/supervisor.log");
        let stderr = File::create(&complaints).doing("create", &complaints)?;
        let mut unshare = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(kinds)
            .args(["--mount-proc", "sh", "-c", supervisor, "virtwire-lab"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // Ctrl-C on the terminal is for us alone.
            .process_group(0)
            .spawn()
            .doing("run", Path::new("unshare"))?;
        let lifeline = unshare.stdin.take();
        let mut answer = String::new();
        if let Some(stdout) = unshare.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut answer)
                .doing("read from", Path::new("unshare"))?;
        }
        let init = process::children(unshare.id()).pop();
        let entered = init.filter(|_| answer == "ready\n").and_then(|init| {
            let pid_namespace = init.pid_namespace()?;
            Some((init.pid, pid_namespace))
        });
        let Some((init, pid_namespace)) = entered else {
            drop(lifeline);
            let _ = unshare.wait();
            let detail = fs::read_to_string(&complaints).unwrap_or_default();
            return Err(Error::Namespace {
                detail: detail.trim().to_owned(),
            });
        };
        Ok(Self {
            unshare,
            lifeline,
            init,
            pid_namespace,
            kinds,
        })
    }

    /// Process 1, by the PID it has outside.
    pub(crate) fn init(&self) -> i32 {
        self.init
    }

    /// What `nsenter` has to be told before the command that shall run inside.
    pub(crate) fn entrance(&self) -> Vec<String> {
        // Without `--root` a mount namespace is entered at its real root, even from a chroot.
        let target = format!("--target={}", self.init);
        let words = [target.as_str(), "--mount", "--pid", "--root"];
        let words = words.iter().chain(self.kinds).chain(&["--"]);
        words.map(|&word| word.to_owned()).collect()
    }

    /// A command that will run inside, as a child of a shell that is one of a waiting `nsenter`.
    ///
    /// `nsenter` stands still when its child does. If we died then, nobody would wake it to reap
    /// the child, and a namespace does not end before its last zombie. The shell waits for what
    /// ends and for nothing else, and what is left when it is killed falls to process 1.
    pub(crate) fn command(&self, root: Option<&Path>, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.entrance());
        if let Some(root) = root {
            command.arg("chroot").arg(root);
        }
        command
            .args(["sh", "-c", "\"$@\"; exit $?", "virtwire-lab"])
            .arg(program)
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// The processes inside, without the supervisor's own.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let inside =
            |process: &Process| process.pid_namespace().as_ref() == Some(&self.pid_namespace);
        process::all()
            .into_iter()
            .filter(inside)
            .filter(|process| process.pid != self.init)
            .collect()
    }

    /// Ends every process inside and waits until they are gone.
    pub(crate) fn close(&mut self) {
        self.lifeline = None;
        if wait_until(CLOSE_DEADLINE, || {
            matches!(self.unshare.try_wait(), Ok(Some(_)) | Err(_))
        }) {
            return;
        }
        // `--kill-child` passes this on to process 1, and the kernel to everything inside.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.close();
    }
}

/// Polls until `done` or the deadline; says whether it was done.
pub(crate) fn wait_until(deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}
