//! Packets cut and mangled in every way.

use proptest::prelude::*;
use virtwire_protocol::frame::{Frame, FrameDecoder, PREFIX_LEN};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::Program;

fn any_header() -> impl Strategy<Value = Header> {
    let kinds = [
        MessageType::Call,
        MessageType::Reply,
        MessageType::Message,
        MessageType::Stream,
        MessageType::StreamHole,
    ];
    let kind = prop::sample::select(kinds.to_vec());
    let program = (any::<u32>(), any::<u32>()).prop_map(|(n, v)| Program::new(n, v));
    (program, any::<i32>(), kind, any::<u32>(), any::<i32>()).prop_map(
        |(program, procedure, kind, serial, status)| Header {
            program,
            procedure,
            kind,
            serial: Serial::new(serial),
            status: Status::from(status),
        },
    )
}

fn any_frames() -> impl Strategy<Value = Vec<Frame>> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    let frame =
        (any_header(), payload).prop_map(|(header, bytes)| Frame::new(header, bytes.into()));
    prop::collection::vec(frame, 0..12)
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let length = u32::try_from(length(frame)).unwrap();
        bytes.extend(length.to_be_bytes());
        bytes.extend(frame.header.encode());
        bytes.extend(&frame.payload);
    }
    bytes
}

fn length(frame: &Frame) -> usize {
    PREFIX_LEN + frame.payload.len()
}

/// Feeds the bytes in chunks of the given sizes, again and again, and takes frames as they come.
fn decoded(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        decoder.buffer_mut().extend_from_slice(chunk);
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same_frames(
        frames in any_frames(),
        sizes in prop::collection::vec(1_usize..300, 1..20),
    ) {
        let bytes = encoded(&frames);
        prop_assert_eq!(&decoded(&bytes, &[bytes.len()]), &frames);
        prop_assert_eq!(&decoded(&bytes, &[1]), &frames);
        prop_assert_eq!(&decoded(&bytes, &sizes), &frames);
    }

    #[test]
    fn every_truncation_waits_for_the_rest(frames in any_frames(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&frames);
        let cut = &bytes[..at.index(bytes.len() + 1)];
        let whole = decoded(cut, &[cut.len()]);
        prop_assert!(frames.starts_with(&whole));
        let taken: usize = whole.iter().map(length).sum();
        prop_assert!(taken <= cut.len());
        let next = frames.get(whole.len()).map(length);
        prop_assert!(next.is_none_or(|next| taken + next > cut.len()));
    }

    #[test]
    fn garbage_ends_in_an_error_or_in_waiting(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = FrameDecoder::new();
        decoder.buffer_mut().extend_from_slice(&bytes);
        // Each frame takes at least 28 bytes, so this ends.
        let mut frames = 0;
        while let Ok(Some(_)) = decoder.next_frame() {
            frames += 1;
        }
        prop_assert!(frames <= bytes.len() / PREFIX_LEN);
        prop_assert!(decoder.buffer_mut().capacity() <= 2 * bytes.len() + (32 << 10));
    }
}
