//! Packets on a byte stream: a length, a header, a payload.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use virtwire_xdr::{EncodeError, Writer};

use crate::header::{HEADER_LEN, Header, HeaderError, Serial};

/// The length of the word that holds a packet's length.
const LENGTH_LEN: usize = 4;

/// The bytes before the payload: length and header.
pub const PREFIX_LEN: usize = LENGTH_LEN + HEADER_LEN;

/// The longest packet that a peer accepts, its length word included
/// (`VIR_NET_MESSAGE_MAX` + 4).
pub const MAX_PACKET_LEN: usize = (32 << 20) + LENGTH_LEN;

/// The longest payload that fits into a packet (`VIR_NET_MESSAGE_PAYLOAD_MAX`).
pub const MAX_PAYLOAD_LEN: usize = MAX_PACKET_LEN - PREFIX_LEN;

/// The longest payload of a stream packet that libvirt itself sends
/// (`VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX`).
pub const MAX_STREAM_CHUNK: usize = (256 << 10) - HEADER_LEN;

/// The most file descriptors that a packet can announce (`VIR_NET_MESSAGE_NUM_FDS_MAX`).
pub const MAX_FDS: u32 = 32;

/// The room that there is at first. A process may have thousands of connections on which next to
/// nothing happens.
const MIN_CHUNK: usize = 1 << 10;

/// The room that is asked for when the buffer has run out again and again.
const MAX_CHUNK: usize = 16 << 10;

/// The most room that past packets can justify at once.
const MAX_USUAL: usize = 512 << 10;

/// A packet, taken apart as far as every packet is alike.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// How many file descriptors follow the packet. Zero for the types that have none.
    pub fds: u32,
    /// What follows the header; shares the memory that it was received into.
    pub payload: Bytes,
}

/// A packet that cannot be taken apart. Nothing after it can be understood either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The announced length leaves no room for a header.
    #[error("packet of {length} bytes is shorter than its header")]
    TooShort {
        /// The announced length.
        length: usize,
    },
    /// The announced length exceeds the limit.
    #[error("packet of {length} bytes exceeds the limit of {max}")]
    TooLong {
        /// The announced length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The header makes no sense.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The packet is of a type with file descriptors but does not say how many.
    #[error("packet with file descriptors does not say how many")]
    MissingFdCount,
    /// The packet announces more file descriptors than the protocol allows.
    #[error("packet announces {count} file descriptors, {MAX_FDS} are allowed")]
    TooManyFds {
        /// The announced number.
        count: u32,
    },
}

/// A packet that cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeFrameError {
    /// A value has no form on the wire.
    #[error(transparent)]
    Payload(#[from] EncodeError),
    /// The packet would be longer than any peer accepts.
    #[error("packet of {length} bytes exceeds the limit of {MAX_PACKET_LEN}")]
    TooLong {
        /// The length it would have.
        length: usize,
    },
}

impl Frame {
    /// A packet without file descriptors.
    #[must_use]
    pub const fn new(header: Header, payload: Bytes) -> Self {
        Self {
            header,
            fds: 0,
            payload,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("header", &self.header)
            .field("fds", &self.fds)
            .field("payload", &Redacted(&self.payload))
            .finish()
    }
}

/// Bytes whose `Debug` shows their number only: payloads carry passwords and secrets.
pub(crate) struct Redacted<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// Cuts a byte stream into packets.
///
/// Whoever reads the stream appends to [`buffer_mut`](Self::buffer_mut) and then takes packets
/// until there is no whole one left. Payloads share the memory of that buffer.
///
/// The room in the buffer grows with the bytes that have arrived, never with a length that was
/// merely announced: four bytes from a hostile peer cost nothing.
pub struct FrameDecoder {
    buffer: BytesMut,
    max_len: usize,
    /// The room that was asked for the last time; doubles whenever it runs out.
    chunk: usize,
    /// A bound on recently received packets that decays, so that a bulk transfer is not read
    /// through a buffer that has to grow anew for every packet.
    usual: usize,
}

impl FrameDecoder {
    /// A decoder with the limit of the protocol.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_len(MAX_PACKET_LEN)
    }

    /// A decoder that accepts packets of at most `max_len` bytes, their length word included.
    #[must_use]
    pub fn with_max_len(max_len: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(MIN_CHUNK),
            max_len: max_len.clamp(PREFIX_LEN, MAX_PACKET_LEN),
            chunk: MIN_CHUNK,
            usual: 0,
        }
    }

    /// The buffer to append received bytes to, with some room in it.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        let held = self.buffer.len();
        // Less than that is not worth a system call.
        let least = self.chunk / 4;
        let wanted = match self.announced() {
            Some(length) if length > held => {
                (length - held).min(held.max(self.usual).max(MAX_CHUNK))
            }
            _ => least,
        };
        // Not before the room is used up, lest the buffer double while half of it is free.
        if self.buffer.capacity() - held < wanted.min(self.usual.max(least)) {
            self.chunk = (2 * self.chunk).min(MAX_CHUNK);
            self.buffer.reserve(wanted.max(self.chunk));
        }
        &mut self.buffer
    }

    /// Gives back memory that busier times have left behind, unless part of a packet is in it. For
    /// now and then: the room grows again when it is needed.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            *self = Self::with_max_len(self.max_len);
        }
    }

    /// How many received bytes wait for the rest of their packet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the next whole packet; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the bytes are no packet. The decoder stays where it is, so every further call says the
    /// same.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(length) = self.announced() else {
            return Ok(None);
        };
        if length < PREFIX_LEN {
            return Err(FrameError::TooShort { length });
        }
        if length > self.max_len {
            return Err(FrameError::TooLong {
                length,
                max: self.max_len,
            });
        }
        let Some((header, fds)) = self.read_prefix(length)? else {
            return Ok(None);
        };
        let mut packet = self.buffer.split_to(length);
        if length > MAX_USUAL {
            // Leave the large allocation to this packet alone, lest later ones keep it alive.
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        packet.advance(PREFIX_LEN + if header.kind.has_fds() { 4 } else { 0 });
        self.usual = length.max(self.usual - self.usual / 8).min(MAX_USUAL);
        Ok(Some(Frame {
            header,
            fds,
            payload: packet.freeze(),
        }))
    }

    /// The length that the packet at the front claims to have.
    fn announced(&self) -> Option<usize> {
        let word = self.buffer.first_chunk::<LENGTH_LEN>()?;
        // A length beyond the address space is beyond the limit too.
        Some(usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX))
    }

    /// Checks what can be checked of a packet of `length` bytes, as soon as the header is here.
    fn read_prefix(&self, length: usize) -> Result<Option<(Header, u32)>, FrameError> {
        let Some(header) = self.buffer.get(LENGTH_LEN..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let header = Header::decode(header)?;
        let Some(mut payload) = self.buffer.get(PREFIX_LEN..length) else {
            return Ok(None);
        };
        if !header.kind.has_fds() {
            return Ok(Some((header, 0)));
        }
        match payload.try_get_u32() {
            Err(_) => Err(FrameError::MissingFdCount),
            Ok(count) if count > MAX_FDS => Err(FrameError::TooManyFds { count }),
            Ok(count) => Ok(Some((header, count))),
        }
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("buffer", &Redacted(&self.buffer))
            .field("max_len", &self.max_len)
            .finish_non_exhaustive()
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends a packet to `buffer`; `payload` writes what follows the header.
///
/// # Errors
///
/// When a value of the payload has no form on the wire, or the packet would be longer than
/// [`MAX_PACKET_LEN`]. The buffer is then as it was before.
pub fn encode_frame(
    buffer: &mut BytesMut,
    header: &Header,
    payload: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeFrameError> {
    let start = buffer.len();
    buffer.put_u32(0);
    buffer.put_slice(&header.encode());
    let outcome = payload(&mut Writer::new(buffer))
        .map_err(EncodeFrameError::from)
        .and_then(|()| patch_length(buffer, start));
    if outcome.is_err() {
        buffer.truncate(start);
    }
    outcome
}

/// Sets the serial of the packet that starts at `packet`.
pub(crate) fn patch_serial(packet: &mut [u8], serial: Serial) {
    const OFFSET: usize = LENGTH_LEN + 16;
    if let Some(word) = packet.get_mut(OFFSET..OFFSET + 4) {
        word.copy_from_slice(&serial.get().to_be_bytes());
    }
}

/// The first bytes of a packet whose payload of `payload_len` bytes is sent from elsewhere.
pub(crate) fn prefix(
    header: &Header,
    payload_len: usize,
) -> Result<[u8; PREFIX_LEN], EncodeFrameError> {
    let length = checked_length(PREFIX_LEN.saturating_add(payload_len))?;
    let mut bytes = [0; PREFIX_LEN];
    let mut out = bytes.as_mut_slice();
    out.put_u32(length);
    out.put_slice(&header.encode());
    Ok(bytes)
}

fn patch_length(buffer: &mut BytesMut, start: usize) -> Result<(), EncodeFrameError> {
    let length = checked_length(buffer.len() - start)?;
    if let Some(word) = buffer.get_mut(start..start + LENGTH_LEN) {
        word.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn checked_length(length: usize) -> Result<u32, EncodeFrameError> {
    u32::try_from(length)
        .ok()
        .filter(|_| length <= MAX_PACKET_LEN)
        .ok_or(EncodeFrameError::TooLong { length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{MessageType, Status};
    use crate::procedure::Program;

    fn header(kind: MessageType) -> Header {
        Header {
            program: Program::new(0x2000_8086, 1),
            procedure: 16,
            kind,
            serial: Serial::new(3),
            status: Status::Ok,
        }
    }

    fn packet(kind: MessageType, words: &[u32]) -> BytesMut {
        let mut buffer = BytesMut::new();
        encode_frame(&mut buffer, &header(kind), |w| {
            words.iter().for_each(|&word| w.u32(word));
            Ok(())
        })
        .unwrap();
        buffer
    }

    fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut decoder = FrameDecoder::new();
        decoder.buffer_mut().extend_from_slice(bytes);
        decoder.next_frame()
    }

    #[test]
    fn a_packet_comes_out_as_it_went_in() {
        let bytes = packet(MessageType::Reply, &[1, 2]);
        assert_eq!(bytes.first_chunk(), Some(&36_u32.to_be_bytes()));
        let frame = decode(&bytes).unwrap().unwrap();
        assert_eq!(frame.header, header(MessageType::Reply));
        assert_eq!(frame.payload, b"\0\0\0\x01\0\0\0\x02"[..]);
    }

    #[test]
    fn lengths_outside_the_limits_are_errors_at_once() {
        for length in [0_usize, 3, 4, 27] {
            let word = u32::try_from(length).unwrap().to_be_bytes();
            assert_eq!(decode(&word), Err(FrameError::TooShort { length }));
        }
        for length in [MAX_PACKET_LEN + 1, 0xffff_fff0] {
            let word = u32::try_from(length).unwrap().to_be_bytes();
            let max = MAX_PACKET_LEN;
            assert_eq!(decode(&word), Err(FrameError::TooLong { length, max }));
        }
    }

    #[test]
    fn the_limit_can_be_lowered_and_not_raised() {
        let mut decoder = FrameDecoder::with_max_len(32);
        decoder
            .buffer_mut()
            .extend_from_slice(&packet(MessageType::Reply, &[1, 2]));
        let error = FrameError::TooLong {
            length: 36,
            max: 32,
        };
        assert_eq!(decoder.next_frame(), Err(error));
        assert_eq!(decoder.next_frame(), Err(error));
        assert_eq!(
            FrameDecoder::with_max_len(usize::MAX).max_len,
            MAX_PACKET_LEN
        );
    }

    #[test]
    fn an_unknown_type_is_an_error_before_the_payload_arrives() {
        let mut bytes = packet(MessageType::Reply, &[0; 8]);
        bytes[19] = 9;
        bytes.truncate(PREFIX_LEN);
        let error = FrameError::Header(HeaderError::UnknownMessageType(9));
        assert_eq!(decode(&bytes), Err(error));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let mut decoder = FrameDecoder::new();
        let length = u32::try_from(MAX_PACKET_LEN).unwrap();
        decoder
            .buffer_mut()
            .extend_from_slice(&length.to_be_bytes());
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.buffer_mut().capacity() <= 2 * MAX_CHUNK);
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, which takes Miri an hour")]
    fn room_grows_with_what_has_arrived() {
        let mut decoder = FrameDecoder::new();
        let length = u32::try_from(MAX_PACKET_LEN).unwrap();
        decoder.buffer_mut().put_u32(length);
        decoder
            .buffer_mut()
            .put_slice(&header(MessageType::Reply).encode());
        while decoder.buffered() < 4 << 20 {
            let buffer = decoder.buffer_mut();
            let room = buffer.capacity() - buffer.len();
            assert!(room > 0);
            assert!(buffer.capacity() <= 4 * buffer.len() + 2 * MAX_CHUNK);
            buffer.put_bytes(0, room);
            assert_eq!(decoder.next_frame(), Ok(None));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, which takes Miri an hour")]
    fn room_does_not_grow_while_there_is_some_left() {
        let mut decoder = FrameDecoder::new();
        let length = u32::try_from(MAX_PACKET_LEN).unwrap();
        decoder.buffer_mut().put_u32(length);
        while decoder.buffered() < 4 << 20 {
            let buffer = decoder.buffer_mut();
            assert!(buffer.capacity() <= 2 * buffer.len() + 2 * MAX_CHUNK);
            buffer.put_bytes(0, 1000);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, which takes Miri an hour")]
    fn small_packets_reuse_the_buffer() {
        let bytes = packet(MessageType::Reply, &[1]);
        let mut decoder = FrameDecoder::new();
        let mut places = Vec::new();
        for _ in 0..10_000 {
            decoder.buffer_mut().extend_from_slice(&bytes);
            places.push(decoder.buffer.as_ptr().addr());
            assert!(decoder.next_frame().unwrap().is_some());
        }
        let grown = &places[1_000..];
        let (lowest, highest) = (grown.iter().min().unwrap(), grown.iter().max().unwrap());
        assert!(highest - lowest < 2 * MAX_CHUNK);
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, which takes Miri an hour")]
    fn a_large_packet_takes_its_memory_with_it() {
        let mut decoder = FrameDecoder::new();
        let large = packet(MessageType::Reply, &vec![0; MAX_USUAL]);
        let small = packet(MessageType::Reply, &[7]);
        decoder.buffer_mut().extend_from_slice(&large);
        decoder.buffer_mut().extend_from_slice(&small);
        assert!(decoder.next_frame().unwrap().is_some());
        assert!(decoder.buffer_mut().capacity() < MAX_USUAL);
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.payload, b"\0\0\0\x07"[..]);
    }

    #[test]
    fn a_quiet_connection_keeps_little() {
        let small = packet(MessageType::Reply, &[1]);
        let mut decoder = FrameDecoder::new();
        for _ in 0..20 {
            let buffer = decoder.buffer_mut();
            assert!(buffer.capacity() <= MIN_CHUNK);
            buffer.extend_from_slice(&small);
            assert!(decoder.next_frame().unwrap().is_some());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "moves a flood, which takes Miri minutes")]
    fn room_grows_with_a_flood_and_is_given_back() {
        let small = packet(MessageType::Message, &[1]);
        let mut flood = small.iter().copied().cycle();
        let mut decoder = FrameDecoder::new();
        let mut rooms = Vec::new();
        for _ in 0..8 {
            let buffer = decoder.buffer_mut();
            let room = buffer.capacity() - buffer.len();
            buffer.extend(flood.by_ref().take(room));
            rooms.push(room);
            while decoder.next_frame().unwrap().is_some() {}
        }
        assert!(rooms.is_sorted(), "{rooms:?}");
        assert!((MAX_CHUNK..=2 * MAX_CHUNK).contains(&rooms[7]), "{rooms:?}");

        let held = decoder.buffered();
        decoder.release();
        assert_eq!(decoder.buffered(), held);
        decoder.buffer_mut().extend(flood.take(small.len() - held));
        assert!(decoder.next_frame().unwrap().is_some());
        decoder.release();
        assert_eq!(decoder.buffer_mut().capacity(), MIN_CHUNK);
    }

    #[test]
    fn what_is_logged_shows_no_payload() {
        let frame = decode(&packet(MessageType::Reply, &[0x7365_6372]));
        let text = format!("{frame:?}");
        assert!(text.contains("<4 bytes>"), "{text}");
        assert!(!text.contains("secr"), "{text}");
    }

    #[test]
    fn descriptor_counts_are_checked() {
        let frame = decode(&packet(MessageType::ReplyWithFds, &[32, 7]));
        let frame = frame.unwrap().unwrap();
        assert_eq!((frame.fds, &frame.payload[..]), (32, &b"\0\0\0\x07"[..]));
        assert_eq!(
            decode(&packet(MessageType::CallWithFds, &[33])),
            Err(FrameError::TooManyFds { count: 33 })
        );
        assert_eq!(
            decode(&packet(MessageType::ReplyWithFds, &[])),
            Err(FrameError::MissingFdCount)
        );
    }

    #[test]
    fn a_packet_that_is_too_long_leaves_the_buffer_as_it_was() {
        let mut buffer = BytesMut::from("before");
        let chunk = [0; 1 << 20];
        let outcome = encode_frame(&mut buffer, &header(MessageType::Call), |w| {
            (0..33).for_each(|_| w.fixed_opaque(&chunk));
            Ok(())
        });
        let length = (33 << 20) + PREFIX_LEN;
        assert_eq!(outcome, Err(EncodeFrameError::TooLong { length }));
        assert_eq!(buffer, "before");
        assert!(prefix(&header(MessageType::Stream), MAX_PAYLOAD_LEN).is_ok());
        assert!(prefix(&header(MessageType::Stream), MAX_PAYLOAD_LEN + 1).is_err());
    }
}
