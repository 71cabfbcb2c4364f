use std::array;

use crate::{DecodeError, DecodeErrorKind, Opaque, Str, padding};

/// A cursor over a received message that reads XDR values and borrows from it.
///
/// The scalar methods are named after the Rust type they return; each takes the bytes of one XDR
/// item and leaves the reader where it was when there are too few.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

macro_rules! scalars {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// When the message ends within the value.
        #[inline]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            self.take().map($name::from_be_bytes)
        }
    )*};
}

macro_rules! narrow {
    ($($(#[$doc:meta])* $name:ident from $wide:ident)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// When the message ends within the value, or the value does not fit.
        #[inline]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            let offset = self.offset();
            let value = self.$wide()?;
            $name::try_from(value).map_err(|_| {
                DecodeError::new(DecodeErrorKind::OutOfRange { value: value.into() }, offset)
            })
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the start of `message`.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            length: message.len(),
        }
    }

    /// The number of bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The number of bytes read.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing follows what was read.
    ///
    /// # Errors
    ///
    /// When bytes remain.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(DecodeErrorKind::TrailingBytes { count })),
        }
    }

    scalars! {
        /// Reads an integer (RFC 4506 §4.1).
        i32
        /// Reads an unsigned integer (§4.2).
        u32
        /// Reads a hyper integer (§4.5).
        i64
        /// Reads an unsigned hyper integer (§4.5).
        u64
        /// Reads a single-precision number (§4.6).
        f32
        /// Reads a double-precision number (§4.7).
        f64
    }

    narrow! {
        /// Reads a `char`: four bytes.
        i8 from i32
        /// Reads an `unsigned char`: four bytes.
        u8 from u32
        /// Reads a `short`: four bytes.
        i16 from i32
        /// Reads an `unsigned short`: four bytes.
        u16 from u32
    }

    /// Reads a boolean (§4.4). Any value but zero is true: peers that link Sun's library send and
    /// accept that.
    ///
    /// # Errors
    ///
    /// When the message ends within the value.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.u32().map(|word| word != 0)
    }

    /// Reads a string of at most `max` bytes (§4.11). The padding may hold anything.
    ///
    /// # Errors
    ///
    /// When the length exceeds `max` or the message ends within the string.
    #[inline]
    pub fn string(&mut self, max: u32) -> Result<Str<'a>, DecodeError> {
        self.counted_bytes(max).map(Str::from_bytes)
    }

    /// Reads variable-length opaque data of at most `max` bytes (§4.10).
    ///
    /// # Errors
    ///
    /// When the length exceeds `max` or the message ends within the data.
    #[inline]
    pub fn opaque(&mut self, max: u32) -> Result<Opaque<'a>, DecodeError> {
        self.counted_bytes(max).map(Opaque::from)
    }

    /// Reads fixed-length opaque data (§4.9).
    ///
    /// # Errors
    ///
    /// When the message ends within the data.
    #[inline]
    pub fn fixed_opaque<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut ahead = self.clone();
        let data = ahead.take::<N>()?;
        ahead.skip(padding(N))?;
        *self = ahead;
        Ok(data)
    }

    /// Reads optional data (§4.19). As for a boolean, any value but zero says that it is there.
    ///
    /// # Errors
    ///
    /// When the message ends early, and what `read` returns.
    #[inline]
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads a variable-length array of at most `max` elements (§4.13), each of at least
    /// `min_size` bytes (at least one unit is assumed).
    ///
    /// # Errors
    ///
    /// When the count exceeds `max`, when fewer bytes remain than that many elements need, and
    /// what `read` returns.
    #[inline]
    pub fn array<T>(
        &mut self,
        max: u32,
        min_size: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(max)?;
        self.require(count.saturating_mul(min_size.max(crate::UNIT)))?;
        let mut elements = Vec::with_capacity(count);
        for index in 0..count {
            let element = read(self).map_err(|error| error.in_element(index))?;
            // There is always room, but `push` does not know and would build every element on the
            // stack first, which takes twice the time.
            if elements.len() < elements.capacity() {
                elements.push(element);
            }
        }
        Ok(elements)
    }

    /// Reads a fixed-length array (§4.12).
    ///
    /// # Errors
    ///
    /// What `read` returns.
    pub fn fixed_array<T: Default, const N: usize>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<[T; N], DecodeError> {
        let mut elements = array::from_fn(|_| T::default());
        for (index, element) in elements.iter_mut().enumerate() {
            *element = read(self).map_err(|error| error.in_element(index))?;
        }
        Ok(elements)
    }

    /// Reads `char x<max>`: a count, then four bytes for each character, whose low eight bits
    /// are kept (C's `char` has a sign on some machines only).
    ///
    /// # Errors
    ///
    /// When the count exceeds `max` or the message ends early.
    pub fn chars(&mut self, max: u32) -> Result<Vec<u8>, DecodeError> {
        self.array(max, crate::UNIT, Self::low_byte)
    }

    /// Reads `char x[N]`: four bytes for each character, whose low eight bits are kept.
    ///
    /// # Errors
    ///
    /// When the message ends early.
    pub fn fixed_chars<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.fixed_array(Self::low_byte)
    }

    /// The error for a union whose discriminant, just read, has no arm.
    #[must_use]
    pub fn unknown_discriminant(&self, discriminant: i32) -> DecodeError {
        let offset = self.offset().saturating_sub(crate::UNIT);
        DecodeError::new(
            DecodeErrorKind::UnknownDiscriminant { discriminant },
            offset,
        )
    }

    fn low_byte(&mut self) -> Result<u8, DecodeError> {
        let [.., low] = self.take::<4>()?;
        Ok(low)
    }

    #[inline]
    fn counted_bytes(&mut self, max: u32) -> Result<&'a [u8], DecodeError> {
        let mut ahead = self.clone();
        let length = ahead.count(max)?;
        let Some((data, rest)) = ahead.rest.split_at_checked(length) else {
            return Err(ahead.end(length));
        };
        ahead.rest = rest;
        ahead.skip(padding(length))?;
        *self = ahead;
        Ok(data)
    }

    #[inline]
    fn count(&mut self, max: u32) -> Result<usize, DecodeError> {
        let length = self.u32()?;
        if length > max {
            return Err(self.too_long(length, max));
        }
        usize::try_from(length).map_err(|_| self.too_long(length, max))
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.end(N));
        };
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        let Some((_, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.end(count));
        };
        self.rest = rest;
        Ok(())
    }

    #[inline]
    fn require(&self, needed: usize) -> Result<(), DecodeError> {
        if needed > self.remaining() {
            Err(self.end(needed))
        } else {
            Ok(())
        }
    }

    #[cold]
    fn end(&self, needed: usize) -> DecodeError {
        self.error(DecodeErrorKind::UnexpectedEnd {
            needed,
            remaining: self.remaining(),
        })
    }

    #[cold]
    fn too_long(&self, length: u32, max: u32) -> DecodeError {
        let offset = self.offset().saturating_sub(crate::UNIT);
        DecodeError::new(DecodeErrorKind::TooLong { length, max }, offset)
    }

    #[cold]
    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.offset())
    }
}
