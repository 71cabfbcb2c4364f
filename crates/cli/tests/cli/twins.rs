//! Two simulated daemons with the same guest: what virsh does on one, the command does on the
//! other.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use virtwire_sim::socket::{Address, Listener};
use virtwire_sim::{Image, SimulatedDisk, Simulator};

use crate::{Run, program};

pub(crate) const MIB: u64 = 1 << 20;

/// What each disk's image holds itself.
const DATA: u64 = 16 * MIB;

/// A simulated daemon on a socket, with a guest whose disks have a chain of three images each.
pub(crate) struct Host {
    pub(crate) simulator: Simulator,
    directory: TempDir,
    _runtime: Runtime,
}

impl Host {
    pub(crate) fn start() -> Self {
        Self::with_throughput(1 << 40)
    }

    /// Jobs without a limit move so many bytes a second.
    pub(crate) fn with_throughput(bytes: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let guard = runtime.enter();
        let mut builder = Simulator::builder()
            .disk_throughput(bytes)
            .block_job_latency(Duration::from_millis(1));
        for disk in ["vda", "vdb"] {
            let [base, mid, top] = ["base", "mid", "top"].map(|part| format!("/{disk}-{part}"));
            let image = || Image::qcow2(64 * MIB).with_data(DATA);
            builder = builder
                .image(&base, image())
                .image(&mid, image().on(&base))
                .image(&top, image().on(&mid));
        }
        let simulator = builder.domain(&xml()).unwrap().start();
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

    pub(crate) fn disk(&self, target: &str) -> SimulatedDisk {
        self.simulator.domain("guest").unwrap().disk(target)
    }

    /// The command, not started yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let uri = self.uri();
        let arguments: Vec<_> = ["-c", &uri].into_iter().chain(words(line)).collect();
        let mut command = program(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Run {
        Run::new(&self.command(line).output().unwrap())
    }

    pub(crate) fn virsh(&self, line: &str) -> Run {
        let mut command = Command::new("virsh");
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command.args(["-c", &self.uri()]).args(words(line));
        Run::new(&command.output().unwrap())
    }
}

/// The guest, running, with an agent.
fn xml() -> String {
    let disks: String = ["vda", "vdb"]
        .iter()
        .map(|disk| {
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='/{disk}-top'/><target dev='{disk}' bus='virtio'/></disk>"
            )
        })
        .collect();
    format!(
        "<domain type='kvm'><name>guest</name><memory>32768</memory><vcpu>1</vcpu>\
         <uuid>11111111-2222-3333-4444-555555555555</uuid>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices>{disks}<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>\
         <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
         </devices></domain>"
    )
}

/// The words of a line. Files that it names are written before.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// What stands on the lines, without the empty ones that virsh has and the returns of its progress.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_end);
    lines.filter(|line| !line.is_empty()).collect()
}

/// Two hosts that were the same before anything was done.
pub(crate) struct Twins {
    pub(crate) ours: Host,
    pub(crate) theirs: Host,
}

impl Twins {
    pub(crate) fn start() -> Self {
        Self {
            ours: Host::start(),
            theirs: Host::start(),
        }
    }

    /// Runs a script, a command a line, by both. Each command must say the same and end with the
    /// same status, or both fail; in the end the guests must be the same.
    #[track_caller]
    pub(crate) fn do_the_same(&self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (ours, theirs) = (self.ours.run(line), self.theirs.virsh(line));
            if theirs.status == 0 {
                assert_eq!(ours.status, 0, "{line}: {ours:?}");
                let (said, expected) = (without_times(&ours.stdout), without_times(&theirs.stdout));
                assert_eq!(lines(&said), lines(&expected), "{line}");
            } else {
                assert_ne!(ours.status, 0, "{line}: {ours:?} {theirs:?}");
                let message = message(&theirs.stderr);
                assert!(ours.stderr.contains(message), "{line}: {ours:?} {theirs:?}");
            }
        }
        self.compare("dumpxml guest");
        self.compare("dumpxml guest --inactive");
    }

    #[track_caller]
    fn compare(&self, line: &str) {
        let (ours, theirs) = (self.ours.virsh(line), self.theirs.virsh(line));
        assert_eq!(ours.stdout, theirs.stdout, "{line}");
    }
}

/// What virsh says last is the daemon's message, unless it has something of its own to say.
fn message(stderr: &str) -> &str {
    let mut errors = stderr.lines().rev();
    errors
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or_default()
}

/// Blots out what comes from the clock: the two daemons are not asked in the same second.
fn without_times(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', '<', '>']);
    words
        .map(|word| {
            let time = word.len() > 8
                && word
                    .trim_end()
                    .trim_end_matches('<')
                    .chars()
                    .all(|c| c.is_ascii_digit() || c == ':');
            if time {
                "TIME".to_owned() + &word[word.len() - 1..]
            } else {
                word.to_owned()
            }
        })
        .collect()
}
