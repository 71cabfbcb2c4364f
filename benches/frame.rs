//! Cutting a byte stream into packets: small ones that arrive many at a time, and large ones that
//! arrive in pieces.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use virtwire_protocol::Program;
use virtwire_protocol::frame::{FrameDecoder, MAX_STREAM_CHUNK, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};

criterion_main!(benches);
criterion_group!(benches, small, bulk, headers);

/// What a client reads at once.
const READ: usize = 64 << 10;

fn small(criterion: &mut Criterion) {
    let mut stream = BytesMut::new();
    for serial in 0..1000 {
        append(&mut stream, serial, MessageType::Reply, 32);
    }
    decode_all(criterion, "1000 packets of 60 bytes", &stream, 1000);
}

fn bulk(criterion: &mut Criterion) {
    let mut stream = BytesMut::new();
    for serial in 0..16 {
        append(&mut stream, serial, MessageType::Stream, MAX_STREAM_CHUNK);
    }
    decode_all(criterion, "16 packets of 256 KiB", &stream, 16);
}

fn decode_all(criterion: &mut Criterion, name: &str, stream: &[u8], packets: usize) {
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function(name, |b| {
        let mut decoder = FrameDecoder::new();
        b.iter(|| {
            let mut seen = 0;
            for piece in black_box(stream).chunks(READ) {
                decoder.buffer_mut().extend_from_slice(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen += 1;
                    black_box(frame);
                }
            }
            assert_eq!(seen, packets);
        });
    });
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    criterion.bench_function("encode a packet of 60 bytes", |b| {
        let mut buffer = BytesMut::with_capacity(READ);
        b.iter(|| {
            buffer.clear();
            append(&mut buffer, black_box(7), MessageType::Call, 32);
        });
    });
}

fn append(buffer: &mut BytesMut, serial: u32, kind: MessageType, payload: usize) {
    let header = Header {
        program: Program::new(0x2000_8086, 1),
        procedure: 16,
        kind,
        serial: Serial::new(serial),
        status: Status::Ok,
    };
    encode_frame(buffer, &header, |writer| {
        (0..payload / 4).for_each(|_| writer.u32(0));
        Ok(())
    })
    .unwrap();
}
