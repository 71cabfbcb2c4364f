//! One direction of a connection, without the connection: bytes go in, and what is to be done comes
//! out.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::record::{Counter, Trace};
use super::splitter::Splitter;
use super::{At, Fault};

/// One direction and what goes wrong with it.
#[derive(Debug)]
pub(super) struct Line {
    /// Bytes that may pass, faults at certain bytes excepted.
    ready: BytesMut,
    marks: Vec<Mark>,
    one_by_one: bool,
    packets: Option<Packets>,
    /// Whether the sender has sent everything.
    ended: bool,
    counter: Counter,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Read from the sender and [`push`](Line::push), or [`finish`](Line::finish).
    Read,
    /// Deliver these bytes.
    Pass(Bytes),
    /// Do nothing for so long.
    Wait(Duration),
    /// Do nothing for ever.
    Stall,
    /// End this direction.
    HalfClose,
    /// End the connection.
    End,
    /// Break the connection.
    Reset,
}

/// Something that happens at a certain byte.
#[derive(Debug, Clone, Copy)]
struct Mark {
    place: At,
    effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Split,
    Delay(Duration),
    Stall,
    Flip { bit: u64 },
    End,
    HalfClose,
    Reset,
}

impl Line {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let mut line = Self {
            ready: BytesMut::new(),
            marks: faults.iter().filter_map(mark_of).collect(),
            one_by_one: faults.contains(&Fault::OneByOne),
            packets: faults
                .iter()
                .any(needs_packets)
                .then(|| Packets::new(faults)),
            ended: false,
            counter: Counter::default(),
        };
        line.place_marks(0, 0);
        line
    }

    /// Takes what the sender has sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Some(packets) = &mut self.packets else {
            self.ready.extend_from_slice(bytes);
            return;
        };
        packets.push(bytes);
        while let Some(packet) = self.packets.as_mut().and_then(Packets::next) {
            self.ready.extend_from_slice(&packet.bytes);
            self.place_marks(packet.number, self.passed() + self.ready.len() as u64);
        }
    }

    /// Notes that the sender has sent everything.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        if let Some(packets) = &mut self.packets {
            self.ready.extend_from_slice(&packets.take_rest());
        }
    }

    /// What is to be done next, with at most `room` bytes.
    pub(super) fn next(&mut self, room: usize) -> Step {
        if let Some(step) = self.strike() {
            return step;
        }
        if self.ready.is_empty() {
            return if self.ended {
                Step::HalfClose
            } else {
                Step::Read
            };
        }
        let room = if self.one_by_one { 1 } else { room };
        let length = self.ready.len().min(room).min(self.distance());
        let mut bytes = self.ready.split_to(length);
        self.flip(&mut bytes);
        self.counter.count(&bytes);
        Step::Pass(bytes.freeze())
    }

    /// What has passed.
    pub(super) fn trace(&self) -> &Trace {
        self.counter.trace()
    }

    fn passed(&self) -> u64 {
        self.counter.trace().bytes
    }

    /// What happens before the next byte passes.
    fn strike(&mut self) -> Option<Step> {
        let here = At::Byte(self.passed());
        let waiting = !self.ready.is_empty();
        let index = self
            .marks
            .iter()
            .position(|mark| mark.place == here && mark.effect.strikes(waiting))?;
        match self.marks.get(index)?.effect {
            Effect::Delay(duration) => {
                self.marks.swap_remove(index);
                Some(Step::Wait(duration))
            }
            Effect::Stall => Some(Step::Stall),
            Effect::End => Some(Step::End),
            Effect::HalfClose => Some(Step::HalfClose),
            Effect::Reset => Some(Step::Reset),
            Effect::Split | Effect::Flip { .. } => None,
        }
    }

    /// How many bytes may pass before the next mark has its effect.
    fn distance(&self) -> usize {
        let passed = self.passed();
        let cuts = self
            .marks
            .iter()
            .filter(|mark| !matches!(mark.effect, Effect::Flip { .. }));
        let ahead = cuts.filter_map(|mark| match mark.place {
            At::Byte(at) => at.checked_sub(passed).filter(|distance| *distance > 0),
            At::Packet(_) => None,
        });
        ahead
            .min()
            .and_then(|distance| usize::try_from(distance).ok())
            .unwrap_or(usize::MAX)
    }

    /// Inverts the bits of the next bytes that are to be inverted.
    fn flip(&self, bytes: &mut [u8]) {
        for mark in &self.marks {
            let (At::Byte(place), Effect::Flip { bit }) = (mark.place, mark.effect) else {
                continue;
            };
            let offset = (place + bit / 8).checked_sub(self.passed());
            let byte = offset
                .and_then(|offset| usize::try_from(offset).ok())
                .and_then(|offset| bytes.get_mut(offset));
            if let Some(byte) = byte {
                *byte ^= 0x80 >> (bit % 8);
            }
        }
    }

    /// Marks the byte at which so many packets have passed.
    fn place_marks(&mut self, packets: u64, byte: u64) {
        for mark in &mut self.marks {
            if mark.place == At::Packet(packets) {
                mark.place = At::Byte(byte);
            }
        }
    }
}

impl Effect {
    /// Whether it is felt at its place, where something waits to pass or not.
    fn strikes(self, waiting: bool) -> bool {
        match self {
            Self::Split | Self::Flip { .. } => false,
            Self::Delay(_) => waiting,
            Self::Stall | Self::End | Self::HalfClose | Self::Reset => true,
        }
    }
}

fn mark_of(fault: &Fault) -> Option<Mark> {
    let (place, effect) = match *fault {
        Fault::Split(at) => (at, Effect::Split),
        Fault::Delay(at, duration) => (at, Effect::Delay(duration)),
        Fault::Stall(at) => (at, Effect::Stall),
        Fault::Flip(at, bit) => (at, Effect::Flip { bit }),
        Fault::End(at) => (at, Effect::End),
        Fault::HalfClose(at) => (at, Effect::HalfClose),
        Fault::Reset(at) => (at, Effect::Reset),
        Fault::OneByOne | Fault::Lose(_) | Fault::Duplicate(_) | Fault::HoldBack { .. } => {
            return None;
        }
    };
    Some(Mark { place, effect })
}

fn needs_packets(fault: &Fault) -> bool {
    match mark_of(fault) {
        Some(mark) => matches!(mark.place, At::Packet(_)),
        None => *fault != Fault::OneByOne,
    }
}

/// Passes whole packets only, and not all of them as they came.
#[derive(Debug)]
struct Packets {
    splitter: Splitter,
    faults: Vec<Fault>,
    arrived: u64,
    passed: u64,
    /// Those that are held back, and how many are to overtake each.
    held: Vec<(Bytes, u64)>,
    /// Those that are to pass now.
    due: Vec<Bytes>,
}

/// A packet that passes, and how many have then.
struct Passing {
    bytes: Bytes,
    number: u64,
}

impl Packets {
    fn new(faults: &[Fault]) -> Self {
        Self {
            splitter: Splitter::default(),
            faults: faults.to_vec(),
            arrived: 0,
            passed: 0,
            held: Vec::new(),
            due: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.splitter.push(bytes);
        while let Some(packet) = self.splitter.next() {
            self.arrive(packet);
        }
        if self.splitter.is_lost() {
            let rest = self.splitter.take_rest();
            self.due.push(rest);
        }
    }

    fn arrive(&mut self, packet: Bytes) {
        let number = self.arrived;
        self.arrived += 1;
        let behind = self.faults.iter().find_map(|fault| match *fault {
            Fault::HoldBack { packet, behind } if packet == number => Some(behind),
            _ => None,
        });
        if let Some(behind) = behind {
            self.held.push((packet, behind));
            return;
        }
        if self.faults.contains(&Fault::Lose(number)) {
            return;
        }
        if self.faults.contains(&Fault::Duplicate(number)) {
            self.due.push(packet.clone());
        }
        self.due.push(packet);
        for (held, behind) in std::mem::take(&mut self.held) {
            match behind.saturating_sub(1) {
                0 => self.due.push(held),
                behind => self.held.push((held, behind)),
            }
        }
    }

    fn next(&mut self) -> Option<Passing> {
        if self.due.is_empty() {
            return None;
        }
        let bytes = self.due.remove(0);
        self.passed += 1;
        Some(Passing {
            bytes,
            number: self.passed,
        })
    }

    /// What is left when nothing more comes: those held back, and part of a packet.
    fn take_rest(&mut self) -> Bytes {
        let mut rest = BytesMut::new();
        for (packet, _) in self.held.drain(..) {
            rest.extend_from_slice(&packet);
        }
        rest.extend_from_slice(&self.splitter.take_rest());
        rest.freeze()
    }
}

#[cfg(test)]
mod tests;
