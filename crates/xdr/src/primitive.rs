//! The traits for the types that XDR and Rust share.

use crate::{Decode, DecodeError, Encode, EncodeError, IntoOwned, Reader, UNIT, Writer};

macro_rules! scalar {
    ($($name:ident: $size:expr),* $(,)?) => {$(
        impl Encode for $name {
            #[inline]
            fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
                writer.$name(*self);
                Ok(())
            }
        }

        impl<'a> Decode<'a> for $name {
            const MIN_SIZE: usize = $size;

            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.$name()
            }
        }

        impl IntoOwned for $name {
            type Owned = Self;

            #[inline]
            fn into_owned(self) -> Self {
                self
            }
        }
    )*};
}

scalar! {
    i8: UNIT, u8: UNIT, i16: UNIT, u16: UNIT, i32: UNIT, u32: UNIT, f32: UNIT, bool: UNIT,
    i64: 2 * UNIT, u64: 2 * UNIT, f64: 2 * UNIT,
}

/// RFC 4506 §4.16: void takes no bytes.
impl Encode for () {
    #[inline]
    fn encode(&self, _: &mut Writer<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<'a> Decode<'a> for () {
    const MIN_SIZE: usize = 0;

    #[inline]
    fn decode(_: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl IntoOwned for () {
    type Owned = Self;

    #[inline]
    fn into_owned(self) -> Self {}
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.optional(self, |writer, value| value.encode(writer))
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    const MIN_SIZE: usize = UNIT;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.optional(T::decode)
    }
}

impl<T: IntoOwned> IntoOwned for Option<T> {
    type Owned = Option<T::Owned>;

    fn into_owned(self) -> Self::Owned {
        self.map(T::into_owned)
    }
}

impl<T: IntoOwned> IntoOwned for Vec<T> {
    type Owned = Vec<T::Owned>;

    fn into_owned(self) -> Self::Owned {
        self.into_iter().map(T::into_owned).collect()
    }
}

impl<T: IntoOwned, const N: usize> IntoOwned for [T; N] {
    type Owned = [T::Owned; N];

    fn into_owned(self) -> Self::Owned {
        self.map(T::into_owned)
    }
}
