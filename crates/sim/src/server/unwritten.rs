//! What was put into the queue of outgoing bytes, and how far they were written.

use std::collections::VecDeque;

use crate::stream::StreamId;

/// A packet that somebody waits for to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// The answer to a call, which counts against the connection's requests until then.
    Reply,
    /// A packet of a stream, which sends no other until then.
    Stream(StreamId),
    /// An event of so many bytes.
    Event(usize),
}

/// Packets on their way to the client.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// Bytes written since the connection began.
    written: u64,
    /// Packets and where they end, counted in the same way, in order.
    packets: VecDeque<(u64, Packet)>,
    replies: usize,
    event_bytes: usize,
}

impl Unwritten {
    /// Notes a packet at the end of a queue of so many bytes.
    pub(super) fn push(&mut self, queued: usize, packet: Packet) {
        let queued = u64::try_from(queued).unwrap_or(u64::MAX);
        match packet {
            Packet::Reply => self.replies += 1,
            Packet::Stream(_) => {}
            Packet::Event(length) => self.event_bytes += length,
        }
        self.packets
            .push_back((self.written.saturating_add(queued), packet));
    }

    /// Notes that bytes were written.
    pub(super) fn advance(&mut self, length: usize) {
        self.written += u64::try_from(length).unwrap_or(u64::MAX);
    }

    /// Takes the next packet that was written, if any.
    pub(super) fn next(&mut self) -> Option<Packet> {
        let (end, _) = self.packets.front()?;
        if *end > self.written {
            return None;
        }
        let (_, packet) = self.packets.pop_front()?;
        match packet {
            Packet::Reply => self.replies -= 1,
            Packet::Stream(_) => {}
            Packet::Event(length) => self.event_bytes -= length,
        }
        Some(packet)
    }

    /// How many bytes of events wait to be written.
    pub(super) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    /// How many answers wait to be written.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_written_in_order_and_not_before_their_end() {
        let mut unwritten = Unwritten::default();
        unwritten.push(10, Packet::Reply);
        unwritten.push(30, Packet::Stream(StreamId(1)));
        unwritten.advance(9);
        assert_eq!((unwritten.next(), unwritten.replies()), (None, 1));
        unwritten.advance(1);
        assert_eq!(unwritten.next(), Some(Packet::Reply));
        assert_eq!((unwritten.next(), unwritten.replies()), (None, 0));
        unwritten.push(25, Packet::Event(5));
        assert_eq!(unwritten.event_bytes(), 5);
        unwritten.advance(20);
        assert_eq!(unwritten.next(), Some(Packet::Stream(StreamId(1))));
        assert_eq!(unwritten.next(), None);
        unwritten.advance(5);
        assert_eq!(unwritten.next(), Some(Packet::Event(5)));
        assert_eq!(unwritten.event_bytes(), 0);
    }
}
