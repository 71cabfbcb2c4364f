//! A real and a simulated daemon side by side, and virsh's answers of both.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use virtwire_lab::{Daemon, Driver, guest, image};
use virtwire_sim::{Image, Simulator};

use crate::served::{Served, virsh};

const MIB: u64 = 1 << 20;

/// What a guest's disk holds, from the bottom to the top.
const SIZE: u64 = 16 * MIB;

/// A real and a simulated daemon with the same images at the same paths.
pub(crate) struct Both {
    real: Daemon,
    pub(crate) simulated: Served,
    listeners: [Child; 2],
}

impl Both {
    pub(crate) async fn new() -> Self {
        let real = Daemon::start().unwrap();
        let simulator = Simulator::builder().disk_throughput(64 * MIB).start();
        let simulated = Served::new(simulator);
        let listeners = [
            listen(&real.uri(Driver::Qemu)),
            listen(&simulated.uri("qemu")),
        ];
        // Both are to hear all of it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Self {
            real,
            simulated,
            listeners,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.real.images_dir().join(name)
    }

    /// A chain of three images full of data and a guest's XML with it as `vda`, in a file.
    pub(crate) fn guest(&self, name: &str) {
        let [base, mid, top] =
            ["base", "mid", "top"].map(|part| self.path(&format!("{name}-{part}.qcow2")));
        image::create_base(&base, SIZE, 1).unwrap();
        image::create_overlay(&mid, &base).unwrap();
        fill(&mid);
        image::create_overlay(&top, &mid).unwrap();
        let full = || Image::qcow2(SIZE).with_data(SIZE);
        self.put(&base, full());
        self.put(&mid, full().on(base.to_str().unwrap()));
        self.put(&top, Image::qcow2(SIZE).on(mid.to_str().unwrap()));
        let disk = guest::Disk::new("vda", &top);
        let xml = guest::xml(name, guest::domain_type(), &[disk]);
        fs::write(self.path(&format!("{name}.xml")), xml).unwrap();
    }

    fn put(&self, path: &Path, image: Image) {
        let path = path.to_str().unwrap();
        self.simulated.simulator.put_image(path, image).unwrap();
    }

    /// Runs a script, a command a line, on both and compares what is said, `DIR` being where the
    /// images are. A line that begins with `sleep` gives both a moment.
    pub(crate) async fn run(&self, script: &str) {
        let uris = [self.real.uri(Driver::Qemu), self.simulated.uri("qemu")];
        let directory = self
            .path("")
            .to_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        let script = script.replace("DIR", &directory);
        let [real, simulated] = uris.map(|uri| {
            let script = script.clone();
            async move { transcript(&uri, &script).await }
        });
        let (real, simulated) = tokio::join!(real, simulated);
        let mut different = String::new();
        for ((command, real), (_, simulated)) in real.iter().zip(&simulated) {
            if real != simulated {
                let _ = writeln!(
                    different,
                    "$ {command}\n--- real\n{real}--- simulated\n{simulated}"
                );
            }
        }
        assert!(different.is_empty(), "\n{different}");
    }

    /// What both have told of the block jobs, which is to be the same.
    pub(crate) async fn events(mut self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut heard = Vec::new();
        for listener in &mut self.listeners {
            listener.start_kill().unwrap();
            let mut text = String::new();
            let mut output = listener.stdout.take().unwrap();
            output.read_to_string(&mut text).await.unwrap();
            let told: Vec<String> = text
                .lines()
                .filter(|line| line.contains("block") || line.contains("job"))
                .map(str::to_owned)
                .collect();
            heard.push(told);
        }
        assert!(!heard[0].is_empty());
        assert_eq!(heard[0], heard[1], "left: real, right: simulated");
    }
}

/// Writes data all over an image.
fn fill(path: &Path) {
    let status = std::process::Command::new("qemu-io")
        .args(["-c", &format!("write -P 8 0 {SIZE}")])
        .arg(path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn listen(uri: &str) -> Child {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "virsh", "-c", uri, "event", "--all", "--loop"]);
    command.env("LC_ALL", "C").kill_on_drop(true);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

async fn transcript(uri: &str, script: &str) -> Vec<(String, String)> {
    let mut transcript = Vec::new();
    for command in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if command == "sleep" {
            tokio::time::sleep(Duration::from_millis(700)).await;
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        let output = virsh(uri, &words).await;
        let text = [output.stdout, output.stderr].concat();
        let mut text = mask(command, &String::from_utf8(text).unwrap());
        let _ = writeln!(text, "exit status {:?}", output.status.code());
        transcript.push((command.to_owned(), text));
    }
    transcript
}

/// Blots out when something happened and how long it took.
fn without_time(line: &str) -> String {
    let is_of_time = ["elapsed", "creationTime"]
        .iter()
        .any(|word| line.contains(word));
    let words = line.split_inclusive(' ').map(|word| {
        let digits = word.trim().trim_matches(|c: char| !c.is_ascii_digit());
        let is_date = digits.len() == 10 && digits.matches('-').count() == 2;
        let is_clock = digits.len() == 8 && digits.matches(':').count() == 2;
        if is_date || is_clock || is_of_time && word.contains(|c: char| c.is_ascii_digit()) {
            "TIME "
        } else {
            word
        }
    });
    let line: String = words.collect();
    if is_of_time {
        // The width of figures is of time as well.
        return line.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    line
}

/// Keeps of a domain's XML the disks, and of figures that move that they are there.
fn mask(command: &str, text: &str) -> String {
    let mut masked = String::new();
    let mut in_disk = false;
    let is_xml = command.starts_with("dumpxml");
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        if line.trim_start().starts_with("<domain ") && !is_xml {
            // What the domain was: not what is compared here.
            break;
        }
        in_disk |= line.contains("<disk ");
        if is_xml && !in_disk || line.contains("<address ") {
            continue;
        }
        in_disk &= !line.contains("</disk>");
        let line = match line.split_once('[') {
            Some((before, _)) if line.contains(" %]") => before,
            _ => line,
        };
        let line = without_time(line);
        // virsh shows the progress as often as it finds time to.
        if !masked.ends_with(&format!("{line}\n")) {
            let _ = writeln!(masked, "{line}");
        }
    }
    masked
}
