use std::sync::{Arc, OnceLock};

use super::splitter::Splitter;

/// What has passed on one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Record {
    /// From the daemon to the client.
    pub to_client: Trace,
    /// From the client to the daemon.
    pub to_daemon: Trace,
}

/// What has passed in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Trace {
    /// How many bytes.
    pub bytes: u64,
    /// Where each whole packet ended, in order.
    pub packets: Vec<u64>,
}

/// Keeps the record of one connection once it is over.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<OnceLock<Record>>);

impl Recorder {
    /// The record; `None` until the byte stream was dropped.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.0.get()
    }

    pub(super) fn keep(&self, record: Record) {
        // A recorder that is used twice keeps the first.
        let _ = self.0.set(record);
    }
}

/// Counts what passes.
#[derive(Debug, Default)]
pub(super) struct Counter {
    splitter: Splitter,
    trace: Trace,
    packets_end: u64,
}

impl Counter {
    pub(super) fn count(&mut self, bytes: &[u8]) {
        self.trace.bytes += bytes.len() as u64;
        if self.splitter.is_lost() {
            return;
        }
        self.splitter.push(bytes);
        while let Some(packet) = self.splitter.next() {
            self.packets_end += packet.len() as u64;
            self.trace.packets.push(self.packets_end);
        }
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }
}
