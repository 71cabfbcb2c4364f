//! Calls: those that wait for a slot, those in flight, and the serials that tell them apart.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use bytes::BytesMut;

use crate::header::{Header, Serial};
use crate::procedure::{Program, StreamDirection};

use super::request::{CallRequest, Lane};

/// Names a call for as long as the session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// A table with a serial for its key.
pub(super) type BySerial<V> = HashMap<Serial, V, BuildHasherDefault<SerialHasher>>;

/// Spreads serials over a table with one multiplication. Nothing better is needed: this side
/// chooses the serials, so no peer can make them collide.
#[derive(Debug, Default)]
pub(super) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, number: u32) {
        // The odd number nearest to 2⁶⁴ / φ (Fibonacci hashing).
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Waiting and sent calls; `T` is what the owner attached to each.
#[derive(Debug)]
pub(super) struct Calls<T> {
    last_id: u64,
    urgent: VecDeque<Waiting<T>>,
    ordinary: VecDeque<Waiting<T>>,
    waiting_bytes: usize,
    in_flight: BySerial<InFlight<T>>,
}

/// A call that waits for a slot.
#[derive(Debug)]
struct Waiting<T> {
    id: CallId,
    token: T,
    request: CallRequest,
}

/// A call that was sent. It keeps its slot until the daemon answers, even when it was cancelled:
/// the daemon counts it until then.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    pub(super) id: CallId,
    /// `None` once the call was cancelled.
    pub(super) token: Option<T>,
    pub(super) program: Program,
    pub(super) procedure: i32,
    pub(super) stream: StreamDirection,
}

impl<T> Calls<T> {
    pub(super) fn new() -> Self {
        Self {
            last_id: 0,
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: BySerial::default(),
        }
    }

    pub(super) fn next_id(&mut self) -> CallId {
        self.last_id += 1;
        CallId(self.last_id)
    }

    /// Puts a call at the end of its queue.
    pub(super) fn enqueue(&mut self, id: CallId, request: CallRequest, token: T) {
        self.waiting_bytes += request.packet_len();
        let queue = match request.lane() {
            Lane::Urgent => &mut self.urgent,
            Lane::Ordinary => &mut self.ordinary,
        };
        queue.push_back(Waiting { id, token, request });
    }

    /// Calls that wait for a slot.
    pub(super) fn waiting(&self) -> usize {
        self.urgent.len() + self.ordinary.len()
    }

    /// Those of one lane.
    pub(super) fn waiting_in(&self, lane: Lane) -> usize {
        match lane {
            Lane::Urgent => self.urgent.len(),
            Lane::Ordinary => self.ordinary.len(),
        }
    }

    /// Bytes of their packets.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Calls that were sent and not answered, cancelled ones included.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a call in flight has this serial.
    pub(super) fn holds(&self, serial: Serial) -> bool {
        self.in_flight.contains_key(&serial)
    }

    /// Moves the next waiting call into flight, under `serial`, and gives its packet. Calls that
    /// `launch` does not agree to are forgotten; those of the ordinary lane are left alone unless
    /// their turn has come as well.
    pub(super) fn launch(
        &mut self,
        serial: Serial,
        ordinary: bool,
        launch: &mut impl FnMut(&mut T, Serial) -> bool,
    ) -> Option<(BytesMut, &InFlight<T>)> {
        let (token, id, request) = loop {
            let next = match self.urgent.pop_front() {
                None if ordinary => self.ordinary.pop_front()?,
                next => next?,
            };
            let Waiting {
                id,
                mut token,
                request,
            } = next;
            self.waiting_bytes -= request.packet_len();
            if launch(&mut token, serial) {
                break (token, id, request);
            }
        };
        let call = InFlight {
            id,
            token: Some(token),
            program: request.program(),
            procedure: request.procedure(),
            stream: request.stream(),
        };
        let call = self.in_flight.entry(serial).insert_entry(call).into_mut();
        Some((request.into_packet(), call))
    }

    /// Takes the call that a reply with this header answers, by program and serial.
    pub(super) fn land(&mut self, header: &Header) -> Option<InFlight<T>> {
        if self.in_flight.get(&header.serial)?.program != header.program {
            return None;
        }
        self.in_flight.remove(&header.serial)
    }

    /// Gives a call up. It is forgotten when it was not sent; otherwise its reply will be
    /// swallowed.
    pub(super) fn cancel(&mut self, id: CallId) -> Option<T> {
        let sent = self.in_flight.values_mut().find(|call| call.id == id);
        if let Some(call) = sent {
            return call.token.take();
        }
        for queue in [&mut self.urgent, &mut self.ordinary] {
            // Ids only grow along a queue.
            if let Ok(index) = queue.binary_search_by_key(&id, |call| call.id) {
                let call = queue.remove(index)?;
                self.waiting_bytes -= call.request.packet_len();
                return Some(call.token);
            }
        }
        None
    }

    /// Drops the waiting calls that `keep` does not want, and says how many they were.
    pub(super) fn retain_waiting(&mut self, mut keep: impl FnMut(&T) -> bool) -> usize {
        let before = self.waiting();
        for queue in [&mut self.urgent, &mut self.ordinary] {
            queue.retain(|call| {
                let kept = keep(&call.token);
                if !kept {
                    self.waiting_bytes -= call.request.packet_len();
                }
                kept
            });
        }
        before - self.waiting()
    }

    /// Empties the table: first the calls in flight, by serial, then those that wait.
    pub(super) fn drain(&mut self) -> Drained<T> {
        let mut sent: Vec<_> = self.in_flight.drain().collect();
        sent.sort_unstable_by_key(|(serial, _)| *serial);
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.urgent)
            .into_iter()
            .chain(std::mem::take(&mut self.ordinary));
        Drained {
            sent: sent
                .into_iter()
                .filter_map(|(_, call)| Some((call.id, call.token?)))
                .collect(),
            waiting: waiting.map(|call| (call.id, call.token)).collect(),
        }
    }
}

/// The calls that a connection takes with it.
#[derive(Debug)]
pub(super) struct Drained<T> {
    pub(super) sent: Vec<(CallId, T)>,
    pub(super) waiting: Vec<(CallId, T)>,
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn neighbouring_serials_spread_over_the_table() {
        let hasher = BuildHasherDefault::<SerialHasher>::default();
        // A table of 128 takes its index from the low bits and its tag from the high ones.
        let mut indices: Vec<_> = (1..=64)
            .map(|n| hasher.hash_one(Serial::new(n)) % 128)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), 64);
        let mut tags: Vec<_> = (1..=64)
            .map(|n| hasher.hash_one(Serial::new(n)) >> 57)
            .collect();
        tags.sort_unstable();
        tags.dedup();
        assert!(tags.len() > 32);
    }
}
