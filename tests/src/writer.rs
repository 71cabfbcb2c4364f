//! What a guest writes, and what its disks must hold therefore.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use virtwire_lab::Monitor;
use virtwire_lab::monitor::Write;

/// How many bytes are compared at once.
const PIECE: usize = 4096;

/// What a disk must hold, byte for byte: an oracle that neither libvirt nor the client has a part
/// in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    bytes: Vec<u8>,
    /// Writes of which nobody knows whether they were done.
    doubtful: Vec<Write>,
}

/// A byte that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where it is.
    pub offset: u64,
    /// What it must be.
    pub expected: u8,
    /// What it is, if there is one.
    pub found: Option<u8>,
}

impl Content {
    /// What a disk held in the beginning.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            doubtful: Vec::new(),
        }
    }

    /// Takes note of what was written to one of the disks.
    pub fn apply(&mut self, log: &[Entry], disk: usize) {
        for entry in log.iter().filter(|entry| entry.disk == disk) {
            match entry.fate {
                Fate::Acknowledged => self.write(entry.write),
                Fate::Doubtful => self.doubtful.push(entry.write),
            }
        }
    }

    /// Takes note of what was written to one of the disks, before or after the moment that this is
    /// of.
    pub fn doubt(&mut self, log: &[Entry], disk: usize) {
        let of_disk = log.iter().filter(|entry| entry.disk == disk);
        self.doubtful.extend(of_disk.map(|entry| entry.write));
    }

    fn write(&mut self, write: Write) {
        let range = range(write);
        if let Some(bytes) = self.bytes.get_mut(range) {
            bytes.fill(write.pattern);
        }
    }

    /// Where something else is found, if anywhere. What is doubtful may be there or not.
    #[must_use]
    pub fn difference(&self, found: &[u8]) -> Option<Difference> {
        let length = self.bytes.len().max(found.len());
        // What is equal is found to be so much faster as a whole.
        let differs = |start: &usize| {
            let piece = *start..(*start + PIECE).min(length);
            self.bytes.get(piece.clone()) != found.get(piece)
        };
        let differing = (0..length).step_by(PIECE).filter(differs);
        let mut places = differing.flat_map(|start| start..(start + PIECE).min(length));
        let place = places.find(|&place| {
            let (expected, found) = (self.bytes.get(place), found.get(place));
            expected != found && !self.is_doubtful(place, found)
        })?;
        Some(Difference {
            offset: place as u64,
            expected: self.bytes.get(place).copied().unwrap_or_default(),
            found: found.get(place).copied(),
        })
    }

    fn is_doubtful(&self, place: usize, found: Option<&u8>) -> bool {
        let may_be =
            |write: &Write| range(*write).contains(&place) && found == Some(&write.pattern);
        self.doubtful.iter().any(may_be)
    }
}

fn range(write: Write) -> std::ops::Range<usize> {
    let start = usize::try_from(write.offset).unwrap_or(usize::MAX);
    let length = usize::try_from(write.length).unwrap_or(usize::MAX);
    start..start.saturating_add(length)
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// QEMU said that it is done.
    Acknowledged,
    /// QEMU said that it failed, or said nothing more: it may be done, or a part of it.
    Doubtful,
}

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Which of the disks it went to.
    pub disk: usize,
    /// What was written.
    pub write: Write,
    /// What became of it.
    pub fate: Fate,
}

/// A guest that writes to its disks all the time, in a thread of its own.
#[derive(Debug)]
pub struct Writer {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Entry>>,
}

impl Writer {
    /// Begins to write to disks of this size, one after the other, until it is stopped or QEMU is
    /// gone. Nothing that it writes is zero.
    ///
    /// # Panics
    ///
    /// When the guest's monitor does not answer.
    #[must_use]
    pub fn start(
        monitor: &Path,
        targets: Vec<String>,
        size: u64,
        seed: u64,
        pause: Duration,
    ) -> Self {
        let mut monitor = Monitor::connect(monitor).expect("the guest has a monitor");
        let enough = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let mut log = Vec::new();
            let mut state = seed;
            for (disk, target) in targets.iter().enumerate().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let write = random_write(&mut state, size);
                let answer = monitor.write(target, write);
                let fate = match answer {
                    Ok(true) => Fate::Acknowledged,
                    _ => Fate::Doubtful,
                };
                log.push(Entry { disk, write, fate });
                if answer.is_err() {
                    break;
                }
                thread::sleep(pause);
            }
            log
        });
        Self { enough, thread }
    }

    /// Whether it has ended, because QEMU has.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops writing, and says what was written.
    ///
    /// # Panics
    ///
    /// When the writer did.
    #[must_use]
    pub fn stop(self) -> Vec<Entry> {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer ends")
    }
}

/// Some sectors somewhere, on no particular boundary of clusters.
fn random_write(state: &mut u64, size: u64) -> Write {
    let mut number = || {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    };
    let sectors = size / 512;
    let length = 1 + number() % 128;
    let start = number() % (sectors - length);
    let pattern = u8::try_from(1 + number() % 255).unwrap_or(1);
    Write::new(start * 512, length * 512, pattern)
}

#[cfg(test)]
mod tests {
    use super::{Content, Entry, Fate, Write};

    fn entry(offset: u64, pattern: u8, fate: Fate) -> Entry {
        Entry {
            disk: 0,
            write: Write::new(offset, 2, pattern),
            fate,
        }
    }

    fn offset(content: &Content, found: &[u8]) -> Option<u64> {
        content
            .difference(found)
            .map(|difference| difference.offset)
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there() {
        let mut content = Content::new(vec![0; 6]);
        content.apply(&[entry(2, 7, Fate::Acknowledged)], 0);
        content.apply(&[entry(4, 8, Fate::Acknowledged)], 1);
        assert_eq!(offset(&content, &[0, 0, 7, 7, 0, 0]), None);
        assert_eq!(offset(&content, &[0, 0, 7, 0, 0, 0]), Some(3));
        assert_eq!(offset(&content, &[0, 0, 7, 7, 0]), Some(5));
    }

    #[test]
    fn what_is_in_doubt_may_be_there_in_part_and_nothing_else() {
        let mut content = Content::new(vec![1; 6]);
        content.apply(&[entry(2, 7, Fate::Doubtful)], 0);
        assert_eq!(offset(&content, &[1, 1, 1, 1, 1, 1]), None);
        assert_eq!(offset(&content, &[1, 1, 7, 1, 1, 1]), None);
        assert_eq!(offset(&content, &[1, 1, 7, 8, 1, 1]), Some(3));
        assert_eq!(offset(&content, &[7, 1, 7, 7, 1, 1]), Some(0));
    }
}
