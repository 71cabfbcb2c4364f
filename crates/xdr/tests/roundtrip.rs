//! Whatever is written is read back, and whatever is read does no harm.

#![cfg(test)]

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use virtwire_xdr::{
    Decode, DecodeError, Encode, EncodeError, IntoOwned, Opaque, Reader, Str, Writer,
};

const MAX: u32 = 40;

/// One of everything.
#[derive(Debug, Clone, PartialEq)]
struct Composite<'a> {
    integers: (i32, u32, i64, u64),
    narrow: (i8, u8, i16, u16),
    real: (f32, f64),
    flag: bool,
    name: Str<'a>,
    label: Option<Str<'a>>,
    data: Opaque<'a>,
    uuid: [u8; 16],
    odd: [u8; 5],
    text: Vec<u8>,
    model: [u8; 6],
    cells: [u32; 3],
    arms: Vec<Arm<'a>>,
    next: Option<Box<Self>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Arm<'a> {
    Nothing,
    Number(i64),
    Text(Str<'a>),
}

impl Encode for Arm<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Nothing => w.i32(0),
            Self::Number(number) => {
                w.i32(1);
                w.i64(*number);
            }
            Self::Text(text) => {
                w.i32(-7);
                w.string(text, MAX)?;
            }
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Arm<'a> {
    const MIN_SIZE: usize = 4;

    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match r.i32()? {
            0 => Ok(Self::Nothing),
            1 => r.i64().map(Self::Number),
            -7 => r.string(MAX).map(Self::Text),
            other => Err(r.unknown_discriminant(other)),
        }
    }
}

impl Encode for Composite<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.i32(self.integers.0);
        w.u32(self.integers.1);
        w.i64(self.integers.2);
        w.u64(self.integers.3);
        w.i8(self.narrow.0);
        w.u8(self.narrow.1);
        w.i16(self.narrow.2);
        w.u16(self.narrow.3);
        w.f32(self.real.0);
        w.f64(self.real.1);
        w.bool(self.flag);
        w.string(&self.name, MAX)?;
        w.optional(&self.label, |w, label| w.string(label, MAX))?;
        w.opaque(&self.data, MAX)?;
        w.fixed_opaque(&self.uuid);
        w.fixed_opaque(&self.odd);
        w.chars(&self.text, MAX)?;
        w.fixed_chars(&self.model);
        w.fixed_array(&self.cells, |w, cell| cell.encode(w))?;
        w.array(&self.arms, MAX, |w, arm| arm.encode(w))?;
        w.optional(&self.next, |w, next| next.encode(w))
    }
}

impl<'a> Decode<'a> for Composite<'a> {
    const MIN_SIZE: usize = 128;

    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            integers: (r.i32()?, r.u32()?, r.i64()?, r.u64()?),
            narrow: (r.i8()?, r.u8()?, r.i16()?, r.u16()?),
            real: (r.f32()?, r.f64()?),
            flag: r.bool()?,
            name: r.string(MAX)?,
            label: r.optional(|r| r.string(MAX))?,
            data: r.opaque(MAX)?,
            uuid: r.fixed_opaque()?,
            odd: r.fixed_opaque()?,
            text: r.chars(MAX)?,
            model: r.fixed_chars()?,
            cells: r.fixed_array(Reader::u32)?,
            arms: r.array(MAX, Arm::MIN_SIZE, Arm::decode)?,
            next: r.optional(|r| Self::decode(r).map(Box::new))?,
        })
    }
}

fn string() -> impl Strategy<Value = Str<'static>> {
    vec(1..=u8::MAX, 0..=MAX as usize).prop_map(Str::from)
}

fn arm() -> impl Strategy<Value = Arm<'static>> {
    (0..3, any::<i64>(), string()).prop_map(|(kind, number, text)| match kind {
        0 => Arm::Nothing,
        1 => Arm::Number(number),
        _ => Arm::Text(text),
    })
}

fn leaf() -> impl Strategy<Value = Composite<'static>> {
    let scalars = any::<((i32, u32, i64, u64), (i8, u8, i16, u16), (f32, f64), bool)>();
    let fixed = any::<([u8; 16], [u8; 5], [u8; 6], [u32; 3])>();
    let bytes = vec(any::<u8>(), 0..=MAX as usize);
    let counted = (
        string(),
        option::of(string()),
        bytes.clone(),
        bytes,
        vec(arm(), 0..9),
    );
    (scalars, fixed, counted).prop_map(|(scalars, fixed, counted)| {
        let (integers, narrow, real, flag) = scalars;
        let (uuid, odd, model, cells) = fixed;
        let (name, label, data, text, arms) = counted;
        Composite {
            integers,
            narrow,
            real,
            flag,
            name,
            label,
            data: Opaque::from(data),
            uuid,
            odd,
            text,
            model,
            cells,
            arms,
            next: None,
        }
    })
}

fn composite() -> impl Strategy<Value = Composite<'static>> {
    vec(leaf(), 1..4).prop_map(|leaves| {
        let chain = leaves.into_iter().reduce(|next, mut head| {
            head.next = Some(Box::new(next));
            head
        });
        chain.expect("at least one leaf")
    })
}

fn encoded(value: &impl Encode) -> BytesMut {
    let mut buffer = BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer)).unwrap();
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(value in composite()) {
        let message = encoded(&value);
        assert_eq!(message.len() % 4, 0);
        assert!(message.len() >= Composite::MIN_SIZE);
        let mut reader = Reader::new(&message);
        assert_eq!(Composite::decode(&mut reader).unwrap(), value);
        reader.finish().unwrap();
    }

    #[test]
    fn every_truncation_is_refused(value in leaf()) {
        let message = encoded(&value);
        for length in 0..message.len() {
            let mut reader = Reader::new(&message[..length]);
            Composite::decode(&mut reader).unwrap_err();
        }
    }

    #[test]
    fn a_flipped_byte_does_no_harm(value in composite(), at: usize, to: u8) {
        let mut message = encoded(&value);
        let at = at % message.len();
        message[at] = to;
        read_to_the_end(&message);
    }

    #[test]
    fn garbage_does_no_harm(message in vec(any::<u8>(), 0..600)) {
        read_to_the_end(&message);
    }

    #[test]
    fn small_words_do_no_harm(words in vec(0_u32..4, 0..200)) {
        let message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        read_to_the_end(&message);
    }

    #[test]
    fn an_owned_value_equals_the_borrowed_one(text in string(), data in vec(any::<u8>(), 0..40)) {
        let pair = (Str::from_bytes(text.as_bytes()), Opaque::from(data.as_slice()));
        assert_eq!(pair.0.clone().into_owned(), pair.0);
        assert_eq!(pair.1.clone().into_owned(), pair.1);
        assert_eq!(vec![Some(pair.0.clone())].into_owned(), [Some(text.clone())]);
    }
}

/// Decodes whatever values follow each other; each takes bytes, so that this ends.
fn read_to_the_end(message: &[u8]) {
    let mut reader = Reader::new(message);
    loop {
        let before = reader.remaining();
        match Composite::decode(&mut reader) {
            Ok(_) => assert!(before - reader.remaining() >= Composite::MIN_SIZE),
            Err(error) => {
                assert!(error.offset() <= message.len());
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
}
