//! Cutting a byte stream into packets.

use arbitrary::Arbitrary;
use bytes::BufMut;
use virtwire_protocol::frame::{Frame, FrameDecoder, FrameError};

use crate::budget::within;
use crate::dice::Dice;

/// What a peer sends, and how the network cuts it.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// Where the reads end.
    pub reads: u32,
    /// The bytes of the peer.
    pub stream: &'a [u8],
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
struct Cut {
    frames: Vec<Frame>,
    /// How many bytes wait for more, or why no more can be cut.
    end: Result<usize, FrameError>,
}

/// The packets are the same however the bytes arrive, they hold every byte, and what is kept is
/// bounded by what was received.
pub fn check(input: &Input<'_>) {
    // A read needs room before anything is known, and room that grows is there twice for a moment.
    let budget = (128 << 10) + 8 * input.stream.len();
    let mut dice = Dice::new(input.reads);
    let whole = within(budget, || cut(input.stream, || usize::MAX));
    let chunked = within(budget, || cut(input.stream, || dice.read_length()));
    assert_eq!(whole, chunked);
    let packets = put_together(&whole.frames);
    match whole.end {
        Ok(rest) => assert_eq!(packets, input.stream[..input.stream.len() - rest]),
        Err(_) => assert!(input.stream.starts_with(&packets)),
    }
}

/// Reads as a driver does: never more at once than there is room for.
fn cut(mut stream: &[u8], mut read_length: impl FnMut() -> usize) -> Cut {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let buffer = decoder.buffer_mut();
        let room = buffer.capacity() - buffer.len();
        assert!(room > 0, "nothing can ever be read into no room");
        let (read, rest) = stream.split_at(read_length().min(room).min(stream.len()));
        buffer.put_slice(read);
        stream = rest;
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Err(error), "an error lasts");
                    return Cut {
                        frames,
                        end: Err(error),
                    };
                }
            }
        }
    }
    Cut {
        frames,
        end: Ok(decoder.buffered()),
    }
}

fn put_together(frames: &[Frame]) -> Vec<u8> {
    let mut stream = Vec::new();
    for frame in frames {
        let start = stream.len();
        stream.put_u32(0);
        stream.put_slice(&frame.header.encode());
        if frame.header.kind.has_fds() {
            stream.put_u32(frame.fds);
        }
        stream.put_slice(&frame.payload);
        let length = u32::try_from(stream.len() - start).expect("shorter than the input");
        stream[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    stream
}
