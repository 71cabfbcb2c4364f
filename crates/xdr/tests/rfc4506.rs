//! Byte vectors written out from RFC 4506, both ways for every type.

#![cfg(test)]

use bytes::BytesMut;
use virtwire_xdr::{
    Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, InField, Opaque, Reader, Str, Writer,
};

/// What `write` appends to an empty buffer.
fn encoded(write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write(&mut Writer::new(&mut buffer)).unwrap();
    buffer.to_vec()
}

/// What `read` makes of all of `message`.
fn decoded<'a, T>(
    message: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> T {
    let mut reader = Reader::new(message);
    let value = read(&mut reader).unwrap();
    reader.finish().unwrap();
    value
}

/// Asserts that `value` has exactly the form `message`, through the traits and both ways.
fn assert_form<'a, T>(value: &T, message: &'a [u8])
where
    T: Encode + Decode<'a> + PartialEq + std::fmt::Debug,
{
    assert_eq!(encoded(|w| value.encode(w)), message, "{value:?}");
    assert_eq!(&decoded(message, T::decode), value);
    assert!(T::MIN_SIZE <= message.len());
}

// §4.1, §4.2: two's complement and unsigned, most significant byte first.

#[test]
fn integers_are_four_bytes_most_significant_first() {
    assert_form(&0x0102_0304_i32, &[1, 2, 3, 4]);
    assert_form(&-1_i32, &[0xff; 4]);
    assert_form(&i32::MIN, &[0x80, 0, 0, 0]);
    assert_form(&i32::MAX, &[0x7f, 0xff, 0xff, 0xff]);
    assert_form(&0_u32, &[0; 4]);
    assert_form(&u32::MAX, &[0xff; 4]);
    assert_form(&0x8000_0001_u32, &[0x80, 0, 0, 1]);
}

// §4.3: an enumeration travels as an integer.

#[test]
fn enumerations_are_integers_whose_unknown_values_survive() {
    #[derive(Debug, PartialEq)]
    struct Colour(i32);
    const YELLOW: Colour = Colour(3);
    assert_eq!(decoded(&[0, 0, 0, 3], |r| r.i32().map(Colour)), YELLOW);
    let unknown = decoded(&[0xff, 0xff, 0xff, 0xfe], |r| r.i32().map(Colour));
    assert_eq!(
        encoded(|w| {
            w.i32(unknown.0);
            Ok(())
        }),
        [0xff, 0xff, 0xff, 0xfe]
    );
}

// §4.4

#[test]
fn booleans_are_zero_and_one() {
    assert_form(&false, &[0, 0, 0, 0]);
    assert_form(&true, &[0, 0, 0, 1]);
}

// §4.5

#[test]
fn hypers_are_eight_bytes_most_significant_first() {
    assert_form(&0x0102_0304_0506_0708_i64, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_form(&-2_i64, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
    assert_form(&i64::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0]);
    assert_form(&u64::MAX, &[0xff; 8]);
    assert_form(&1_u64, &[0, 0, 0, 0, 0, 0, 0, 1]);
}

// §4.6, §4.7: sign, exponent, fraction of IEEE 754.

#[test]
fn floats_are_ieee_single_precision() {
    assert_form(&1.0_f32, &[0x3f, 0x80, 0, 0]);
    assert_form(&-0.15625_f32, &[0xbe, 0x20, 0, 0]);
    assert_form(&f32::INFINITY, &[0x7f, 0x80, 0, 0]);
    assert_eq!(encoded(|w| (-0.0_f32).encode(w)), [0x80, 0, 0, 0]);
}

#[test]
fn doubles_are_ieee_double_precision() {
    assert_form(&1.0_f64, &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    assert_form(&-2.5_f64, &[0xc0, 0x04, 0, 0, 0, 0, 0, 0]);
    assert_form(&f64::NEG_INFINITY, &[0xff, 0xf0, 0, 0, 0, 0, 0, 0]);
    let nan = decoded(&[0x7f, 0xf8, 0, 0, 0, 0, 0, 1], Reader::f64);
    assert_eq!(nan.to_bits(), 0x7ff8_0000_0000_0001, "a payload survives");
}

// Sun's `char` and `short`: an integer each.

#[test]
fn chars_and_shorts_take_four_bytes() {
    assert_form(&-1_i8, &[0xff; 4]);
    assert_form(&i8::MAX, &[0, 0, 0, 0x7f]);
    assert_form(&255_u8, &[0, 0, 0, 0xff]);
    assert_form(&i16::MIN, &[0xff, 0xff, 0x80, 0]);
    assert_form(&u16::MAX, &[0, 0, 0xff, 0xff]);
}

// §4.9: zero bytes fill up to a multiple of four.

#[test]
fn fixed_opaque_is_padded() {
    assert_eq!(
        encoded(|w| {
            w.fixed_opaque(b"");
            w.fixed_opaque(b"a");
            w.fixed_opaque(b"abcd");
            w.fixed_opaque(b"abcde");
            Ok(())
        }),
        *b"a\0\0\0abcdabcde\0\0\0"
    );
    assert_eq!(decoded(b"", Reader::fixed_opaque::<0>), *b"");
    assert_eq!(decoded(b"abc\0", Reader::fixed_opaque::<3>), *b"abc");
    assert_eq!(decoded(b"abcd", Reader::fixed_opaque::<4>), *b"abcd");
}

// §4.10, §4.11: a length, the bytes, zero bytes up to a multiple of four.

#[test]
fn strings_and_opaques_of_every_padding() {
    let vectors: [(&[u8], &[u8]); 6] = [
        (b"", b"\0\0\0\0"),
        (b"a", b"\0\0\0\x01a\0\0\0"),
        (b"ab", b"\0\0\0\x02ab\0\0"),
        (b"abc", b"\0\0\0\x03abc\0"),
        (b"abcd", b"\0\0\0\x04abcd"),
        (b"\xff\xfe\x80", b"\0\0\0\x03\xff\xfe\x80\0"),
    ];
    for (value, message) in vectors {
        let string = Str::from_bytes(value);
        let opaque = Opaque::from(value);
        assert_eq!(encoded(|w| w.string(&string, 4)), message);
        assert_eq!(decoded(message, |r| r.string(4)), string);
        assert_eq!(encoded(|w| w.opaque(&opaque, 4)), message);
        assert_eq!(decoded(message, |r| r.opaque(4)), opaque);
    }
}

#[test]
fn decoded_strings_and_opaques_borrow_from_the_message() {
    let message = b"\0\0\0\x03vda\0".to_vec();
    let string = decoded(&message, |r| r.string(9));
    assert_eq!(string.as_bytes().as_ptr(), message[4..].as_ptr());
    let opaque = decoded(&message, |r| r.opaque(9));
    assert_eq!(opaque.as_ptr(), message[4..].as_ptr());
}

// §4.12, §4.13

#[test]
fn fixed_arrays_are_their_elements() {
    let message = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        encoded(|w| w.fixed_array(&[1_i32, -1], |w, v| v.encode(w))),
        message
    );
    assert_eq!(
        decoded(&message, |r| r.fixed_array::<i32, 2>(Reader::i32)),
        [1, -1]
    );
}

#[test]
fn variable_arrays_are_a_count_and_their_elements() {
    let message = [0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 7];
    assert_eq!(
        encoded(|w| w.array(&[5_u32, 7], 2, |w, v| v.encode(w))),
        message
    );
    assert_eq!(decoded(&message, |r| r.array(2, 4, Reader::u32)), [5, 7]);
    assert_eq!(encoded(|w| w.array::<u32>(&[], 2, |_, _| Ok(()))), [0; 4]);
    assert!(decoded(&[0; 4], |r| r.array(2, 4, Reader::u32)).is_empty());
}

#[test]
fn char_arrays_are_integers_and_extend_the_sign() {
    let message = b"\0\0\0\x03\0\0\0\x41\xff\xff\xff\xff\0\0\0\0";
    let value = [0x41, 0xff, 0x00];
    assert_eq!(encoded(|w| w.chars(&value, 3)), message);
    assert_eq!(decoded(message, |r| r.chars(3)), value);
    let fixed = &message[4..];
    assert_eq!(
        encoded(|w| {
            w.fixed_chars(&value);
            Ok(())
        }),
        fixed
    );
    assert_eq!(decoded(fixed, Reader::fixed_chars::<3>), value);
}

// §4.14 structure, §4.15 union, §4.16 void, §4.19 optional: the linked list of the RFC's text.

#[test]
fn optional_data_is_a_boolean_and_the_value() {
    assert_form(&None::<u32>, &[0, 0, 0, 0]);
    assert_form(&Some(7_u32), &[0, 0, 0, 1, 0, 0, 0, 7]);
    assert_form(&Some(Some(())), &[0, 0, 0, 1, 0, 0, 0, 1]);
    assert_form(&(), &[]);
}

#[derive(Debug, PartialEq)]
struct Entry<'a> {
    item: Str<'a>,
    next: Option<Box<Self>>,
}

impl<'a> Entry<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = r.string(64)?;
        let next = r.optional(|r| Self::read(r).map(Box::new))?;
        Ok(Self { item, next })
    }

    fn write(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.string(&self.item, 64)?;
        w.optional(&self.next, |w, next| next.write(w))
    }
}

#[test]
fn a_linked_list_is_optional_data_in_itself() {
    let message = b"\0\0\0\x01a\0\0\0\0\0\0\x01\0\0\0\x02bc\0\0\0\0\0\0";
    let list = decoded(message, Entry::read);
    assert_eq!(
        list.next.as_ref().map(|e| e.item.clone()),
        Some("bc".into())
    );
    assert_eq!(encoded(|w| list.write(w)), message);
}

/// The `file` of §7, with the only value the RFC spells out byte by byte.
#[derive(Debug, PartialEq)]
struct File<'a> {
    filename: Str<'a>,
    kind: FileType<'a>,
    owner: Str<'a>,
    data: Opaque<'a>,
}

#[derive(Debug, PartialEq)]
enum FileType<'a> {
    Text,
    Data(Str<'a>),
    Exec(Str<'a>),
}

impl<'a> FileType<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match r.i32()? {
            0 => Ok(Self::Text),
            1 => r.string(255).map(Self::Data),
            2 => r.string(255).map(Self::Exec),
            other => Err(r.unknown_discriminant(other)),
        }
    }

    fn write(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let (kind, name) = match self {
            Self::Text => (0, None),
            Self::Data(creator) => (1, Some(creator)),
            Self::Exec(interpreter) => (2, Some(interpreter)),
        };
        w.i32(kind);
        name.map_or(Ok(()), |name| w.string(name, 255))
    }
}

impl<'a> File<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            filename: r.string(255).in_field("File", "filename")?,
            kind: FileType::read(r).in_field("File", "type")?,
            owner: r.string(32).in_field("File", "owner")?,
            data: r.opaque(65535).in_field("File", "data")?,
        })
    }

    fn write(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.string(&self.filename, 255).in_field("File", "filename")?;
        self.kind.write(w).in_field("File", "type")?;
        w.string(&self.owner, 32).in_field("File", "owner")?;
        w.opaque(&self.data, 65535).in_field("File", "data")
    }
}

const SILLYPROG: &[u8; 48] = b"\0\0\0\x09sillyprog\0\0\0\0\0\0\x02\0\0\0\x04lisp\
    \0\0\0\x04john\0\0\0\x06(quit)\0\0";

fn sillyprog() -> File<'static> {
    File {
        filename: "sillyprog".into(),
        kind: FileType::Exec("lisp".into()),
        owner: "john".into(),
        data: Opaque::from(&b"(quit)"[..]),
    }
}

#[test]
fn the_file_of_section_7_has_its_bytes() {
    assert_eq!(encoded(|w| sillyprog().write(w)), SILLYPROG);
    assert_eq!(decoded(SILLYPROG, File::read), sillyprog());
}

#[test]
fn every_truncation_of_the_file_names_its_field_and_offset() {
    for length in 0..SILLYPROG.len() {
        let error = File::read(&mut Reader::new(&SILLYPROG[..length])).unwrap_err();
        let field = match length {
            0..16 => "File.filename",
            16..28 => "File.type",
            28..36 => "File.owner",
            _ => "File.data",
        };
        assert_eq!(error.path(), field, "cut at {length}");
        assert!(error.offset() <= length, "cut at {length}");
        assert!(
            matches!(error.kind(), DecodeErrorKind::UnexpectedEnd { needed, remaining }
                if needed > remaining && error.offset() + remaining == length),
            "cut at {length}: {error}"
        );
    }
}

#[test]
fn a_discriminant_without_an_arm_is_named_where_it_stands() {
    let mut message = *SILLYPROG;
    message[19] = 9;
    let error = File::read(&mut Reader::new(&message)).unwrap_err();
    assert_eq!(
        error.kind(),
        &DecodeErrorKind::UnknownDiscriminant { discriminant: 9 }
    );
    assert_eq!((error.path().as_str(), error.offset()), ("File.type", 16));
    assert_eq!(error.to_string(), "File.type: union has no arm 9 (byte 16)");
}
