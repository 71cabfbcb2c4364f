//! A guest that writes, without a guest: QEMU is told to write to its disks as a device would.
//!
//! The way there is a monitor of our own, beside libvirt's. What is written goes on while libvirtd
//! is away and waits for none of its locks, and which writes were acknowledged is QEMU's word alone.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Error;
use crate::error::IoContext as _;

/// A write that takes longer is none: the disk, or QEMU, hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// QEMU reads its monitor byte by byte, so asking is dear.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// Bytes for a disk: `length` times `pattern` from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// Where the first byte goes.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// What each of them is.
    pub pattern: u8,
}

impl Write {
    /// Describes a write.
    #[must_use]
    pub fn new(offset: u64, length: u64, pattern: u8) -> Self {
        Self {
            offset,
            length,
            pattern,
        }
    }
}

/// A connection to the monitor of one guest that [`guest::monitored_xml`](crate::guest::monitored_xml)
/// describes.
#[derive(Debug)]
pub struct Monitor {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    /// What each device had counted after the last write to it: nobody else writes.
    counted: BTreeMap<String, Counters>,
}

impl Monitor {
    /// Connects; QEMU takes one such connection at a time.
    ///
    /// # Errors
    ///
    /// When the guest does not run.
    pub fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket).doing("connect to", socket)?;
        let limited = stream.set_read_timeout(Some(PATIENCE));
        limited.doing("wait for", socket)?;
        let mut monitor = Self {
            socket: socket.to_owned(),
            stream: BufReader::new(stream),
            counted: BTreeMap::new(),
        };
        monitor.line()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Writes to a disk by its target, and says whether the write was acknowledged: then it is in
    /// the image, not only on its way there. `false` means that it failed.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or not in time. The write may then have been done, or in part.
    pub fn write(&mut self, target: &str, write: Write) -> Result<bool, Error> {
        let Write {
            offset,
            length,
            pattern,
        } = write;
        let device = device(target);
        let before = match self.counted.get(&device) {
            Some(before) => *before,
            None => self.counters(&device)?,
        };
        let line =
            format!("qemu-io -d {device} \"aio_write -f -q -P {pattern} {offset} {length}\"");
        self.execute("human-monitor-command", &json!({"command-line": line}))?;
        let end = Instant::now() + PATIENCE;
        let mut pause = SHORTEST_PAUSE;
        while Instant::now() < end {
            thread::sleep(pause);
            let now = self.counters(&device)?;
            if now != before {
                self.counted.insert(device, now);
                return Ok(now.done > before.done);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(self.unexpected("a write that does not end"))
    }

    /// How many writes were done and how many failed: what `qemu-io` found it tells to QEMU's
    /// standard output alone, but the device counts.
    fn counters(&mut self, device: &str) -> Result<Counters, Error> {
        let all = self.execute("query-blockstats", &json!({}))?;
        let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
        let of_device = |entry: &&Value| entry.get("qdev").and_then(Value::as_str) == Some(device);
        let stats = all
            .iter()
            .find(of_device)
            .and_then(|entry| entry.get("stats"));
        let number = |name: &str| stats?.get(name)?.as_u64();
        match (number("wr_operations"), number("failed_wr_operations")) {
            (Some(done), Some(failed)) => Ok(Counters { done, failed }),
            _ => Err(self.unexpected("no such disk")),
        }
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let request = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        let written = self.stream.get_mut().write_all(request.as_bytes());
        written.doing("write to", &self.socket)?;
        loop {
            let mut line = self.line()?;
            if let Some(answer) = line.get_mut("return") {
                return Ok(answer.take());
            }
            // Between answers there are events.
            if line.get("event").is_none() {
                return Err(self.unexpected(&line.to_string()));
            }
        }
    }

    fn line(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        read.doing("read from", &self.socket)?;
        serde_json::from_str(&line).map_err(|_| self.unexpected(&format!("{line:?}")))
    }

    fn unexpected(&self, detail: &str) -> Error {
        Error::Output {
            command: format!("the monitor at {}", self.socket.display()),
            detail: detail.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    done: u64,
    failed: u64,
}

/// What QEMU calls the end of a virtio disk that the guest has: libvirt numbers them as the
/// alphabet does.
fn device(target: &str) -> String {
    let letter = target.bytes().last().unwrap_or(b'a');
    let number = letter.saturating_sub(b'a');
    format!("/machine/peripheral/virtio-disk{number}/virtio-backend")
}
