//! The codec alone: one small message and one of 958 KB, both ways, beside a plain copy.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use virtwire_benches::message;
use virtwire_protocol::remote;
use virtwire_xdr::{Decode, Encode, IntoOwned, Reader, Writer};

criterion_main!(benches);
criterion_group!(benches, small, stats);

type Small<'a> = remote::DomainGetInfoArgs<'a>;
type Stats<'a> = remote::ConnectGetAllDomainStatsRet<'a>;

fn small(criterion: &mut Criterion) {
    let value = message::small();
    let bytes = encoded(&value);
    let mut group = criterion.benchmark_group("small");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("copy", |b| {
        let mut copy = vec![0; bytes.len()];
        b.iter(|| copy.copy_from_slice(black_box(&bytes)));
    });
    group.bench_function("decode", |b| {
        b.iter(|| Small::decode(&mut Reader::new(black_box(&bytes))));
    });
    group.bench_function("decode owned", |b| {
        b.iter(|| Small::decode(&mut Reader::new(black_box(&bytes))).map(Small::into_owned));
    });
    group.bench_function("encode", |b| {
        let mut buffer = BytesMut::with_capacity(bytes.len());
        b.iter(|| {
            buffer.clear();
            black_box(&value).encode(&mut Writer::new(&mut buffer))
        });
    });
    group.finish();
}

fn stats(criterion: &mut Criterion) {
    warm_up_the_allocator();
    let value = message::stats();
    let bytes = encoded(&value);
    let mut group = criterion.benchmark_group("stats");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("copy", |b| {
        let mut copy = vec![0; bytes.len()];
        b.iter(|| copy.copy_from_slice(black_box(&bytes)));
    });
    group.bench_function("decode", |b| {
        b.iter(|| Stats::decode(&mut Reader::new(black_box(&bytes))));
    });
    group.bench_function("decode owned", |b| {
        b.iter(|| Stats::decode(&mut Reader::new(black_box(&bytes))).map(Stats::into_owned));
    });
    group.bench_function("encode", |b| {
        let mut buffer = BytesMut::with_capacity(bytes.len());
        b.iter(|| {
            buffer.clear();
            black_box(&value).encode(&mut Writer::new(&mut buffer))
        });
    });
    group.finish();
}

fn encoded(value: &impl Encode) -> BytesMut {
    let mut buffer = BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer)).unwrap();
    buffer
}

/// A client that receives replies of this size has freed a buffer of that size before, after which
/// glibc no longer gives the top of the heap back to the kernel on every free. Without this the
/// page faults of a fresh heap would be measured, not the codec.
fn warm_up_the_allocator() {
    drop(black_box(vec![1_u8; 4 << 20]));
}
