//! What was sent on a stream.

use std::collections::VecDeque;

use bytes::Bytes;
use virtwire_protocol::session::StreamItem;

/// What was sent on a stream and has not been received, neighbouring pieces of one kind joined.
/// Each byte follows from its position, so that none can be lost, doubled or moved.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    seed: u32,
    recorded: u64,
    played: u64,
    segments: VecDeque<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    Data(u64),
    Hole(u64),
}

impl Tape {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            seed,
            recorded: 0,
            played: 0,
            segments: VecDeque::new(),
        }
    }

    /// The next bytes to send.
    pub(super) fn record(&mut self, length: usize) -> Bytes {
        let data = (self.recorded..)
            .take(length)
            .map(|at| self.byte(at))
            .collect();
        self.recorded += length as u64;
        self.push(Segment::Data(length as u64));
        data
    }

    pub(super) fn push(&mut self, segment: Segment) {
        match (self.segments.back_mut(), segment) {
            (Some(Segment::Data(length)), Segment::Data(more))
            | (Some(Segment::Hole(length)), Segment::Hole(more)) => *length += more,
            _ => self.segments.push_back(segment),
        }
    }

    /// Takes off what was received; it must be what comes next.
    pub(super) fn play(&mut self, item: StreamItem) {
        let (kind, mut length) = match item {
            StreamItem::Data(data) => {
                for (at, byte) in (self.played..).zip(&data) {
                    assert_eq!(*byte, self.byte(at), "at {at}");
                }
                self.played += data.len() as u64;
                (Segment::Data(0), data.len() as u64)
            }
            StreamItem::Hole(length) => (Segment::Hole(0), length),
            StreamItem::Eof => return assert!(self.is_over(), "the end came before the data"),
            other => panic!("{other:?}"),
        };
        while length > 0 {
            let front = self.segments.front_mut().expect("nothing more was sent");
            let left = match (kind, front) {
                (Segment::Data(_), Segment::Data(left))
                | (Segment::Hole(_), Segment::Hole(left)) => left,
                (kind, front) => panic!("{kind:?} came, {front:?} was sent"),
            };
            let taken = length.min(*left);
            length -= taken;
            *left -= taken;
            if *left == 0 {
                self.segments.pop_front();
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.segments.is_empty()
    }

    fn byte(&self, at: u64) -> u8 {
        let [.., low] = (at.wrapping_mul(0x9e37_79b9) >> 7)
            .wrapping_add(self.seed.into())
            .to_be_bytes();
        low
    }
}
