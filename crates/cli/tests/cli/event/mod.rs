//! Events: the lines that virsh prints, in the same order, and the ways in which a wait ends.

mod end;
mod live;
mod object;
mod simulated;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use virtwire_sim::Simulator;
use virtwire_sim::socket::{Address, Listener};

use crate::{Run, program};

/// Far more than anything here takes; two cores that also compile can be slow.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program that listens for events.
struct Listening {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Listening {
    fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { name, child, lines }
    }

    /// Our program.
    fn ours(uri: &str, arguments: &str) -> Self {
        let command = program(&[&["-c", uri], words(arguments).as_slice()].concat());
        Self::start("virtwire", command)
    }

    /// virsh with the same arguments.
    fn virsh(uri: &str, arguments: &str) -> Self {
        let mut command = Command::new("virsh");
        command.env("LC_ALL", "C").args(["-c", uri]);
        command.args(words(arguments));
        Self::start("virsh", command)
    }

    /// The next line.
    #[track_caller]
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(DEADLINE);
        line.unwrap_or_else(|_| panic!("{} says no more", self.name))
    }

    /// The next line that contains this, and those before it.
    #[track_caller]
    fn until(&self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines
            .last()
            .is_none_or(|line: &String| !line.contains(part))
        {
            lines.push(self.line());
        }
        lines
    }

    /// Has something happen again and again until a line with this part tells of it: everything
    /// is registered when what is registered last is heard of.
    fn wait_until_registered(&self, part: &str, happen: impl Fn()) {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            happen();
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                if line.contains(part) {
                    return;
                }
            }
        }
        panic!("{} hears nothing of {part}", self.name);
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status();
        assert!(status.unwrap().success());
    }

    /// The lines that are left, what was said on standard error, and the exit status.
    fn finish(mut self) -> Run {
        let mut stderr = String::new();
        let pipe = self.child.stderr.take();
        pipe.unwrap().read_to_string(&mut stderr).unwrap();
        let mut stdout = String::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        Run {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Both programs with the same arguments on the same daemon.
struct Pair {
    ours: Listening,
    virsh: Listening,
}

impl Pair {
    fn start(uri: &str, arguments: &str) -> Self {
        Self {
            ours: Listening::ours(uri, arguments),
            virsh: Listening::virsh(uri, arguments),
        }
    }

    /// As [`Listening::wait_until_registered`], for both.
    fn wait_until_registered(&self, part: &str, happen: impl Fn()) {
        self.virsh.wait_until_registered(part, &happen);
        self.ours.wait_until_registered(part, &happen);
    }

    /// What both say from `first` to `last`, which must be the same lines.
    #[track_caller]
    fn same(&self, first: &str, last: &str) -> Vec<String> {
        self.ours.until(first);
        self.virsh.until(first);
        let (ours, theirs) = (self.ours.until(last), self.virsh.until(last));
        assert_eq!(ours, theirs);
        ours
    }
}

/// A simulated daemon on a socket.
struct Simulated {
    simulator: Simulator,
    directory: TempDir,
    _runtime: Runtime,
}

impl Simulated {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let guard = runtime.enter();
        let xml = "<domain type='qemu'><name>guest</name><memory>1024</memory>\
                   <uuid>11111111-2222-3333-4444-555555555555</uuid>\
                   <os><type>hvm</type></os></domain>";
        let simulator = Simulator::builder().domain(xml).unwrap().start();
        let address = Address::Unix(directory.path().join("sock"));
        simulator.listen(Listener::bind(&address).unwrap());
        drop(guard);
        Self {
            simulator,
            directory,
            _runtime: runtime,
        }
    }

    fn uri(&self) -> String {
        let socket = self.directory.path().join("sock");
        format!("qemu+unix:///system?socket={}", socket.display())
    }
}
