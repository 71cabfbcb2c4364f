//! Random messages made from the schema: a second encoder, written after RFC 4506 alone and
//! sharing nothing with the codec under test.

use std::ops::ControlFlow::{self, Break, Continue};

use virtwire_protocol::schema::{StructSchema, TypeSchema, UnionSchema};

use virtwire_tests::random::Random;

/// Bytes that one message may grow to, about.
const BUDGET: usize = 4096;

/// A field that is made longer than a message of [`BUDGET`] would have it, but no longer than this.
const LONG: usize = 1 << 20;

/// What to do to one place of a message, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// The length of this bounded field is its bound, if that is of reasonable size.
    Full(usize),
    /// The length of this bounded field is its bound and one more. Zeros follow.
    TooLong(usize),
    /// The discriminant of this union has no arm. Zeros follow.
    NoArm(usize),
}

/// A message and what it was made of.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// How many lengths with a bound there are.
    pub(crate) bounded: usize,
    /// How many unions there are.
    pub(crate) unions: usize,
    /// What the decoder has to say where a special place spoilt the message.
    pub(crate) flaw: Option<Flaw>,
}

/// A flaw and where its word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong { max: u32, offset: usize },
    NoArm { discriminant: i32, offset: usize },
}

/// A random message of this layout; the same seed makes the same message.
pub(crate) fn sample(layout: &StructSchema, seed: u64, special: Option<Special>) -> Sample {
    let mut sampler = Sampler {
        random: Random::new(seed),
        bytes: Vec::new(),
        bounded: 0,
        unions: 0,
        special,
    };
    let flaw = sampler.structure(layout).break_value();
    if flaw.is_some() {
        // So much that the arrays around the flaw do not look cut short.
        sampler.bytes.resize(sampler.bytes.len() + BUDGET, 0);
    }
    Sample {
        bytes: sampler.bytes,
        bounded: sampler.bounded,
        unions: sampler.unions,
        flaw,
    }
}

/// The least number of bytes that a value of this layout takes.
pub(crate) fn min_size(layout: &StructSchema) -> usize {
    layout
        .fields
        .iter()
        .map(|field| min_size_of(&field.ty))
        .sum()
}

fn min_size_of(ty: &TypeSchema) -> usize {
    match ty {
        TypeSchema::Hyper | TypeSchema::UHyper | TypeSchema::Double => 8,
        TypeSchema::FixedOpaque { len } => len.next_multiple_of(4),
        TypeSchema::FixedChars { len } => 4 * len,
        TypeSchema::FixedArray { element, len } => len * min_size_of(element),
        TypeSchema::Struct(layout) => min_size(layout),
        TypeSchema::Union(union) => {
            let arms = union
                .arms
                .iter()
                .map(|arm| arm.ty.map_or(0, |ty| min_size_of(&ty)));
            4 + arms.min().unwrap_or(0)
        }
        _ => 4,
    }
}

struct Sampler {
    random: Random,
    bytes: Vec<u8>,
    bounded: usize,
    unions: usize,
    special: Option<Special>,
}

type Flow = ControlFlow<Flaw>;

impl Sampler {
    fn structure(&mut self, layout: &StructSchema) -> Flow {
        layout
            .fields
            .iter()
            .try_for_each(|field| self.value(&field.ty))
    }

    fn value(&mut self, ty: &TypeSchema) -> Flow {
        match *ty {
            TypeSchema::Int | TypeSchema::UInt | TypeSchema::Float | TypeSchema::Enum(_) => {
                self.raw::<4>();
            }
            TypeSchema::Hyper | TypeSchema::UHyper | TypeSchema::Double => self.raw::<8>(),
            TypeSchema::Bool => {
                let flag = self.random.below(2);
                self.word(u32::try_from(flag).unwrap());
            }
            TypeSchema::Char => self.character(),
            TypeSchema::UChar => {
                let value = self.random.byte();
                self.word(value.into());
            }
            TypeSchema::Short => {
                let value = i32::from(i16::from_be_bytes(self.random.bytes()));
                self.put(&value.to_be_bytes());
            }
            TypeSchema::UShort => {
                let value = u16::from_be_bytes(self.random.bytes());
                self.word(value.into());
            }
            TypeSchema::String { max } => {
                let length = self.length(max, 1)?;
                self.padded(length, |random| random.byte().max(1));
            }
            TypeSchema::Opaque { max } => {
                let length = self.length(max, 1)?;
                self.padded(length, Random::byte);
            }
            TypeSchema::FixedOpaque { len } => self.padded(len, Random::byte),
            TypeSchema::Chars { max } => {
                let length = self.length(max, 4)?;
                (0..length).for_each(|_| self.character());
            }
            TypeSchema::FixedChars { len } => (0..len).for_each(|_| self.character()),
            TypeSchema::Array { element, max } => {
                let length = self.length(max, min_size_of(element))?;
                (0..length).try_for_each(|_| self.value(element))?;
            }
            TypeSchema::FixedArray { element, len } => {
                (0..len).try_for_each(|_| self.value(element))?;
            }
            TypeSchema::Optional(inner) => {
                if self.random.below(3) > 0 {
                    self.word(1);
                    self.value(inner)?;
                } else {
                    self.word(0);
                }
            }
            TypeSchema::Struct(layout) => self.structure(layout)?,
            TypeSchema::Union(union) => self.union(union)?,
            ref other => panic!("{other:?} is new to this test"),
        }
        Continue(())
    }

    fn union(&mut self, union: &UnionSchema) -> Flow {
        let index = self.unions;
        self.unions += 1;
        if self.special == Some(Special::NoArm(index)) {
            let discriminant = (1..).find(|d| union.arms.iter().all(|arm| arm.value != *d));
            let discriminant = discriminant.unwrap();
            let offset = self.bytes.len();
            self.put(&discriminant.to_be_bytes());
            return Break(Flaw::NoArm {
                discriminant,
                offset,
            });
        }
        let arm = &union.arms[self.random.below(union.arms.len())];
        self.put(&arm.value.to_be_bytes());
        arm.ty.map_or(Continue(()), |ty| self.value(&ty))
    }

    /// Writes the length of a field whose elements take at least `size` bytes each.
    fn length(&mut self, max: u32, size: usize) -> ControlFlow<Flaw, usize> {
        let index = self.bounded;
        self.bounded += 1;
        let room = BUDGET.saturating_sub(self.bytes.len()) / size;
        let likely = [0, 1, 1, 2, 3, self.random.below(20)][self.random.below(6)];
        let bound = max as usize;
        let length = match self.special {
            Some(Special::TooLong(at)) if at == index => {
                let offset = self.bytes.len();
                self.word(max + 1);
                return Break(Flaw::TooLong { max, offset });
            }
            Some(Special::Full(at)) if at == index && bound * size <= LONG => bound,
            _ => likely.min(bound).min(room),
        };
        self.word(u32::try_from(length).unwrap());
        Continue(length)
    }

    /// A `char`: the sign is extended to four bytes.
    fn character(&mut self) {
        let value = i32::from(i8::from_be_bytes(self.random.bytes()));
        self.put(&value.to_be_bytes());
    }

    fn padded(&mut self, length: usize, byte: impl Fn(&mut Random) -> u8) {
        let end = self.bytes.len() + length.next_multiple_of(4);
        (0..length).for_each(|_| {
            let byte = byte(&mut self.random);
            self.bytes.push(byte);
        });
        self.bytes.resize(end, 0);
    }

    fn raw<const N: usize>(&mut self) {
        let bytes = self.random.bytes::<N>();
        self.put(&bytes);
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}
