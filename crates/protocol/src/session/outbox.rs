//! Bytes on their way to the socket.

use std::collections::VecDeque;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::{EncodeFrameError, prefix};
use crate::header::Header;

/// Packets up to this length are copied together and leave in one piece; longer ones leave as they
/// are, since copying them costs more than another entry of a vectored write.
const COPY_LIMIT: usize = 8 << 10;

/// The size of the buffer that short packets are copied into, until more of them wait at once.
const SCRATCH: usize = 1 << 10;

/// Packets in the order in which they go out, as pieces for a vectored write.
pub(super) struct Outbox {
    /// Finished pieces, oldest first.
    pieces: VecDeque<Bytes>,
    /// The piece under construction; comes after all finished ones.
    scratch: BytesMut,
    /// Bytes in all of them.
    len: usize,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({} bytes)", self.len)
    }
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            scratch: BytesMut::with_capacity(SCRATCH),
            len: 0,
        }
    }

    /// Bytes that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a short piece by copying it.
    pub(super) fn put_slice(&mut self, bytes: &[u8]) {
        self.scratch.put_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds a packet.
    pub(super) fn put_packet(&mut self, packet: BytesMut) {
        if packet.len() <= COPY_LIMIT {
            self.put_slice(&packet);
        } else {
            self.put_bytes(packet.freeze());
        }
    }

    /// Adds a piece, sharing its memory when it is long.
    pub(super) fn put_bytes(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_LIMIT {
            self.put_slice(&bytes);
            return;
        }
        self.flush();
        self.len += bytes.len();
        self.pieces.push_back(bytes);
    }

    /// Adds a packet whose payload exists already.
    ///
    /// # Errors
    ///
    /// When the packet would be too long; nothing is added then.
    pub(super) fn put_frame(
        &mut self,
        header: &Header,
        payload: Bytes,
    ) -> Result<(), EncodeFrameError> {
        self.put_slice(&prefix(header, payload.len())?);
        self.put_bytes(payload);
        Ok(())
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.flush();
        }
        let piece = self.pieces.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Gives back memory that busier times have left behind.
    pub(super) fn release(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.scratch.clear();
        self.len = 0;
    }

    fn flush(&mut self) {
        if !self.scratch.is_empty() {
            self.pieces.push_back(self.scratch.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_packets_leave_together_and_long_ones_as_they_are() {
        let mut outbox = Outbox::new();
        let long = Bytes::from(vec![7; COPY_LIMIT + 1]);
        outbox.put_slice(b"ab");
        outbox.put_packet(BytesMut::from("cd"));
        outbox.put_bytes(long.clone());
        outbox.put_bytes(Bytes::from_static(b"ef"));
        assert_eq!(outbox.len(), 6 + long.len());
        assert_eq!(outbox.take().unwrap(), "abcd");
        let piece = outbox.take().unwrap();
        assert_eq!(piece.as_ptr(), long.as_ptr());
        assert_eq!(outbox.take().unwrap(), "ef");
        assert_eq!(outbox.take(), None);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, which takes Miri an hour")]
    fn the_buffer_is_reused_once_its_pieces_are_gone() {
        let mut outbox = Outbox::new();
        outbox.put_slice(b"first");
        drop(outbox.take());
        let (mut lowest, mut highest) = (usize::MAX, 0);
        for _ in 0..10_000 {
            outbox.put_slice(&[0; 60]);
            let at = outbox.take().unwrap().as_ptr().addr();
            (lowest, highest) = (lowest.min(at), highest.max(at));
        }
        assert!(highest - lowest < SCRATCH);
    }

    #[test]
    fn what_a_busy_time_took_is_given_back() {
        let mut outbox = Outbox::new();
        (0..100).for_each(|_| outbox.put_slice(&[0; 60]));
        outbox.release();
        assert_eq!(outbox.take().unwrap().len(), 6000);
        outbox.release();
        assert_eq!(outbox.scratch.capacity(), SCRATCH);
    }
}
