//! Bounds on both sides, truncation, leniency, hostile lengths, and what errors say.

#![cfg(test)]

use bytes::BytesMut;
use virtwire_xdr::{
    DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, InField, Opaque, Reader, Str,
    Writer,
};

type Read<T> = fn(&mut Reader<'static>) -> Result<T, DecodeError>;

fn refused<'a, T: std::fmt::Debug>(
    message: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> DecodeError {
    read(&mut Reader::new(message)).unwrap_err()
}

fn unencodable(write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>) -> EncodeError {
    write(&mut Writer::new(&mut BytesMut::new())).unwrap_err()
}

// Bounds.

#[test]
fn lengths_up_to_the_bound_are_encoded_and_longer_ones_are_not() {
    let fits = b"abc".to_vec();
    let long = b"abcd".to_vec();
    let mut buffer = BytesMut::new();
    let mut w = Writer::new(&mut buffer);
    w.string(&fits.clone().into(), 3).unwrap();
    w.opaque(&fits.clone().into(), 3).unwrap();
    w.chars(&fits, 3).unwrap();
    w.array(&fits, 3, |_, _| Ok(())).unwrap();

    let expected = EncodeErrorKind::TooLong { length: 4, max: 3 };
    let errors = [
        unencodable(|w| w.string(&long.clone().into(), 3)),
        unencodable(|w| w.opaque(&long.clone().into(), 3)),
        unencodable(|w| w.chars(&long, 3)),
        unencodable(|w| w.array(&long, 3, |_, _| Ok(()))),
    ];
    for error in errors {
        assert_eq!(error.kind(), &expected);
        assert_eq!(
            error.to_string(),
            "length 4 exceeds the bound of 3 (byte 0)"
        );
    }
}

#[test]
fn lengths_up_to_the_bound_are_decoded_and_longer_ones_are_not() {
    let fits = b"\0\0\0\x02\0\0\0\x01\0\0\0\x02";
    assert_eq!(Reader::new(fits).string(2).unwrap().as_bytes(), b"\0\0");
    assert_eq!(Reader::new(fits).opaque(2).unwrap().as_bytes(), b"\0\0");
    assert_eq!(Reader::new(fits).chars(2).unwrap(), [1, 2]);
    assert_eq!(Reader::new(fits).array(2, 4, Reader::i32).unwrap(), [1, 2]);

    let expected = DecodeErrorKind::TooLong { length: 2, max: 1 };
    let errors = [
        refused(fits, |r| r.string(1).map(|_| ())),
        refused(fits, |r| r.opaque(1).map(|_| ())),
        refused(fits, |r| r.chars(1)),
        refused(fits, |r| r.array(1, 4, Reader::i32)),
    ];
    for error in errors {
        assert_eq!(error.kind(), &expected);
        assert_eq!(error.offset(), 0, "the length word itself is at fault");
    }
}

#[test]
fn a_string_with_a_zero_byte_is_not_sent() {
    let error = unencodable(|w| w.string(&Str::from("vd\0a"), 9));
    assert_eq!(error.kind(), &EncodeErrorKind::ZeroByte { position: 2 });
    let received = Reader::new(b"\0\0\0\x02\0a\0\0").string(9).unwrap();
    assert_eq!(received.as_bytes(), b"\0a", "but is received");
}

#[test]
fn characters_and_shorts_out_of_range_are_refused() {
    let out_of_range = |error: DecodeError| match error.kind() {
        DecodeErrorKind::OutOfRange { value } => *value,
        other => panic!("{other:?}"),
    };
    assert_eq!(out_of_range(refused(&[0, 0, 0, 0x80], Reader::i8)), 128);
    assert_eq!(out_of_range(refused(&[0, 0, 1, 0], Reader::u8)), 256);
    assert_eq!(out_of_range(refused(&[0, 0, 0x80, 0], Reader::i16)), 32768);
    assert_eq!(
        out_of_range(refused(&[0xff; 4], Reader::u16)),
        i64::from(u32::MAX)
    );
}

// Truncation.

#[test]
fn every_truncation_of_every_type_is_refused_and_leaves_the_reader_in_place() {
    fn check<T: std::fmt::Debug>(message: &'static [u8], read: Read<T>) {
        let mut whole = Reader::new(message);
        read(&mut whole).unwrap();
        whole.finish().unwrap();
        for length in 0..message.len() {
            let mut reader = Reader::new(&message[..length]);
            let error = read(&mut reader).unwrap_err();
            assert!(
                matches!(error.kind(), DecodeErrorKind::UnexpectedEnd { needed, remaining }
                    if needed > remaining),
                "cut at {length}: {error}"
            );
        }
    }
    check(&[0; 4], Reader::i8);
    check(&[0; 4], Reader::u8);
    check(&[0; 4], Reader::i16);
    check(&[0; 4], Reader::u16);
    check(&[0; 4], Reader::i32);
    check(&[0; 4], Reader::u32);
    check(&[0; 4], Reader::f32);
    check(&[0; 4], Reader::bool);
    check(&[0; 8], Reader::i64);
    check(&[0; 8], Reader::u64);
    check(&[0; 8], Reader::f64);
    check(&[0; 8], Reader::fixed_opaque::<5>);
    check(&[0; 8], |r| r.fixed_array::<u32, 2>(Reader::u32));
    check(&[0; 12], Reader::fixed_chars::<3>);
    check(b"\0\0\0\x01a\0\0\0", |r| r.string(9));
    check(b"\0\0\0\x05abcde\0\0\0", |r| r.opaque(9));
    check(b"\0\0\0\x01\0\0\0a", |r| r.chars(9));
    check(b"\0\0\0\x01\0\0\0\x09", |r| r.optional(Reader::u32));
    check(b"\0\0\0\x02\0\0\0\0\0\0\0\0", |r| {
        r.array(9, 4, Reader::u32)
    });
}

#[test]
fn items_that_are_cut_short_are_not_consumed() {
    let message = b"\0\0\0\x05abc\0";
    let mut reader = Reader::new(message);
    reader.string(9).unwrap_err();
    reader.i64().map(|_| ()).unwrap();
    let mut reader = Reader::new(message);
    reader.fixed_opaque::<9>().unwrap_err();
    assert_eq!((reader.offset(), reader.remaining()), (0, 8));
}

#[test]
fn finish_counts_what_follows() {
    let mut reader = Reader::new(&[0; 7]);
    reader.u32().unwrap();
    assert_eq!(reader.rest(), [0; 3]);
    let error = reader.finish().unwrap_err();
    assert_eq!(error.kind(), &DecodeErrorKind::TrailingBytes { count: 3 });
    assert_eq!(error.to_string(), "3 bytes follow the value (byte 4)");
}

// Leniency: what other implementations are known to send.

#[test]
fn any_boolean_but_zero_is_true_and_any_padding_is_skipped() {
    assert!(Reader::new(&[0, 0, 0, 2]).bool().unwrap());
    assert!(Reader::new(&[0x80, 0, 0, 0]).bool().unwrap());
    let some = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7])
        .optional(Reader::u32)
        .unwrap();
    assert_eq!(some, Some(7));
    let mut reader = Reader::new(b"\0\0\0\x01a\xff\x01\x7fbcdef\xff\xff\xff");
    assert_eq!(reader.string(9).unwrap(), "a");
    assert_eq!(reader.fixed_opaque().unwrap(), *b"bcdef");
    reader.finish().unwrap();
}

#[test]
fn characters_keep_their_low_eight_bits_whatever_their_sign() {
    let arm = b"\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff";
    assert_eq!(Reader::new(arm).chars(2).unwrap(), [0xff, 0xff]);
}

// Hostile lengths.

#[test]
fn a_hostile_length_allocates_nothing_but_the_error() {
    let most_one_error = |name: &str, refuse: &dyn Fn() -> DecodeError| {
        let mut needed = 0;
        let allocated = allocation_counter::measure(|| match refuse().kind() {
            DecodeErrorKind::UnexpectedEnd { needed: n, .. } => needed = *n,
            DecodeErrorKind::TooLong { length, .. } => needed = *length as usize,
            other => panic!("{name}: {other:?}"),
        });
        assert!(needed >= 0x0010_0000, "{name}: {needed}");
        assert!(allocated.count_total <= 1, "{name}: {allocated:?}");
        assert!(allocated.bytes_max <= 256, "{name}: {allocated:?}");
    };
    for length in [u32::MAX, u32::MAX - 3, 0x8000_0000, 0x0010_0000] {
        let mut message = length.to_be_bytes().to_vec();
        message.extend([0; 16]);
        for max in [u32::MAX, length, 0x000f_ffff] {
            most_one_error("string", &|| {
                refused(&message, |r| r.string(max).map(|_| ()))
            });
            most_one_error("opaque", &|| {
                refused(&message, |r| r.opaque(max).map(|_| ()))
            });
            most_one_error("chars", &|| refused(&message, |r| r.chars(max)));
            for min_size in [0, 4, 24, usize::MAX] {
                most_one_error("array", &|| {
                    refused(&message, |r| r.array(max, min_size, Reader::u64))
                });
            }
        }
    }
}

#[test]
fn an_array_of_nothing_cannot_spin() {
    let error = refused(&u32::MAX.to_be_bytes(), |r| {
        r.array(u32::MAX, 0, |_| Ok(())).map(|_| ())
    });
    assert!(matches!(
        error.kind(),
        DecodeErrorKind::UnexpectedEnd { .. }
    ));
}

#[test]
fn arrays_within_arrays_allocate_in_proportion_to_the_message() {
    let mut message = 1000_u32.to_be_bytes().to_vec();
    message.extend(u32::MAX.to_be_bytes());
    message.extend([0; 4000]);
    let allocated = allocation_counter::measure(|| {
        refused(&message, |r| {
            r.array(u32::MAX, 4, |r| r.array(u32::MAX, 4, Reader::u32))
        });
    });
    assert!(allocated.bytes_max < 8 * 4004, "{allocated:?}");
}

// Errors.

#[test]
fn the_path_of_an_error_leads_through_fields_and_elements() {
    let message = b"\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x63";
    let error = refused(message, |r| {
        r.array(9, 4, |r| {
            r.array(9, 4, |r| r.string(8))
                .in_field("Record", "names")
                .map(|names| names.len())
        })
        .in_field("Reply", "records")
    });
    assert_eq!(error.path(), "Reply.records[1].names[0]");
    assert_eq!(error.offset(), 16);
    assert_eq!(
        error.to_string(),
        "Reply.records[1].names[0]: length 99 exceeds the bound of 8 (byte 16)"
    );
}

#[test]
fn the_path_of_an_encoding_error_does_too() {
    let names = [Str::from("a"), Str::from("four")];
    let error = unencodable(|w| {
        w.u32(1);
        w.array(&names, 2, |w, name| {
            w.string(name, 3).in_field("Pool", "name")
        })
        .in_field("Args", "pools")
    });
    assert_eq!(error.path(), "Args.pools[1].name");
    assert_eq!(
        error.to_string(),
        "Args.pools[1].name: length 4 exceeds the bound of 3 (byte 16)"
    );
}

#[test]
fn a_writer_appends_and_counts_its_own_bytes() {
    let mut buffer = BytesMut::from(&b"header"[..]);
    let mut w = Writer::new(&mut buffer);
    w.bool(true);
    assert_eq!(w.written(), 4);
    let error = w.opaque(&Opaque::from(&b"ab"[..]), 1).unwrap_err();
    assert!(error.to_string().ends_with("(byte 4)"), "{error}");
    assert_eq!(buffer, &b"header\0\0\0\x01"[..]);
}
