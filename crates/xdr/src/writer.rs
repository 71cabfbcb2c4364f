use bytes::{BufMut, BytesMut};

use crate::{EncodeError, EncodeErrorKind, Opaque, Str, UNIT, padding};

/// Appends XDR values to a buffer that its owner reuses from message to message.
///
/// The scalar methods are named after the Rust type they take and cannot fail.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut BytesMut,
    start: usize,
}

macro_rules! scalars {
    ($($(#[$doc:meta])* $name:ident as $wide:ident)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self, value: $name) {
            self.buffer.put_slice(&$wide::from(value).to_be_bytes());
        }
    )*};
}

impl<'b> Writer<'b> {
    /// Appends to what `buffer` already holds.
    #[must_use]
    pub fn new(buffer: &'b mut BytesMut) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    /// The number of bytes written by this writer.
    #[must_use]
    pub fn written(&self) -> usize {
        self.buffer.len() - self.start
    }

    scalars! {
        /// Writes an integer (RFC 4506 §4.1).
        i32 as i32
        /// Writes an unsigned integer (§4.2).
        u32 as u32
        /// Writes a hyper integer (§4.5).
        i64 as i64
        /// Writes an unsigned hyper integer (§4.5).
        u64 as u64
        /// Writes a single-precision number (§4.6).
        f32 as f32
        /// Writes a double-precision number (§4.7).
        f64 as f64
        /// Writes a `char`: four bytes.
        i8 as i32
        /// Writes an `unsigned char`: four bytes.
        u8 as u32
        /// Writes a `short`: four bytes.
        i16 as i32
        /// Writes an `unsigned short`: four bytes.
        u16 as u32
        /// Writes a boolean (§4.4).
        bool as u32
    }

    /// Writes a string of at most `max` bytes (§4.11).
    ///
    /// # Errors
    ///
    /// When it is longer, or holds a zero byte, which a peer written in C takes for its end.
    #[inline]
    pub fn string(&mut self, value: &Str<'_>, max: u32) -> Result<(), EncodeError> {
        let bytes = value.as_bytes();
        if has_zero(bytes) {
            return Err(self.zero_byte(bytes));
        }
        self.counted_bytes(bytes, max)
    }

    /// Writes variable-length opaque data of at most `max` bytes (§4.10).
    ///
    /// # Errors
    ///
    /// When it is longer.
    #[inline]
    pub fn opaque(&mut self, value: &Opaque<'_>, max: u32) -> Result<(), EncodeError> {
        self.counted_bytes(value.as_bytes(), max)
    }

    /// Writes fixed-length opaque data (§4.9).
    #[inline]
    pub fn fixed_opaque<const N: usize>(&mut self, value: &[u8; N]) {
        self.buffer.put_slice(value);
        self.buffer.put_bytes(0, const { padding(N) });
    }

    /// Writes optional data (§4.19).
    ///
    /// # Errors
    ///
    /// What `write` returns.
    #[inline]
    pub fn optional<T>(
        &mut self,
        value: &Option<T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.bool(value.is_some());
        match value {
            Some(value) => write(self, value),
            None => Ok(()),
        }
    }

    /// Writes a variable-length array of at most `max` elements (§4.13).
    ///
    /// # Errors
    ///
    /// When it has more, and what `write` returns.
    #[inline]
    pub fn array<T>(
        &mut self,
        elements: &[T],
        max: u32,
        write: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.count(elements.len(), max)?;
        self.fixed_array(elements, write)
    }

    /// Writes a fixed-length array (§4.12): the elements without a count.
    ///
    /// # Errors
    ///
    /// What `write` returns.
    #[inline]
    pub fn fixed_array<T>(
        &mut self,
        elements: &[T],
        mut write: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        for (index, element) in elements.iter().enumerate() {
            write(self, element).map_err(|error| error.in_element(index))?;
        }
        Ok(())
    }

    /// Writes `char x<max>`: a count, then each character as a C `signed char` widened to four
    /// bytes.
    ///
    /// # Errors
    ///
    /// When there are more than `max`.
    pub fn chars(&mut self, value: &[u8], max: u32) -> Result<(), EncodeError> {
        self.count(value.len(), max)?;
        self.widened(value);
        Ok(())
    }

    /// Writes `char x[N]`: each character as a C `signed char` widened to four bytes.
    pub fn fixed_chars<const N: usize>(&mut self, value: &[u8; N]) {
        self.widened(value);
    }

    /// Appends bytes that are XDR already.
    pub fn raw(&mut self, xdr: &[u8]) {
        self.buffer.put_slice(xdr);
    }

    fn widened(&mut self, value: &[u8]) {
        for byte in value {
            self.i8(i8::from_be_bytes([*byte]));
        }
    }

    #[inline]
    fn counted_bytes(&mut self, bytes: &[u8], max: u32) -> Result<(), EncodeError> {
        self.count(bytes.len(), max)?;
        self.buffer.put_slice(bytes);
        self.pad(bytes.len());
        Ok(())
    }

    /// Appends the padding after `length` bytes: a whole unit and back, for a copy of constant
    /// size is quicker than a fill of one to three bytes.
    #[inline]
    fn pad(&mut self, length: usize) {
        let end = self.buffer.len() + padding(length);
        self.buffer.put_slice(&[0; UNIT]);
        self.buffer.truncate(end);
    }

    #[inline]
    fn count(&mut self, length: usize, max: u32) -> Result<(), EncodeError> {
        match u32::try_from(length) {
            Ok(count) if count <= max => {
                self.u32(count);
                Ok(())
            }
            _ => Err(self.error(EncodeErrorKind::TooLong { length, max })),
        }
    }

    #[cold]
    fn zero_byte(&self, bytes: &[u8]) -> EncodeError {
        let position = bytes.iter().take_while(|byte| **byte != 0).count();
        self.error(EncodeErrorKind::ZeroByte { position })
    }

    #[cold]
    fn error(&self, kind: EncodeErrorKind) -> EncodeError {
        EncodeError::new(kind, self.written())
    }
}

/// Whether a byte is zero, looking at eight at a time.
#[inline]
fn has_zero(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.contains(&0);
    };
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk() {
        if zero_among(chunk) {
            return true;
        }
        rest = after;
    }
    zero_among(last)
}

/// Subtracting one borrows into the top bit of a byte only where that byte is zero, or has a top
/// bit of its own.
#[inline]
fn zero_among(bytes: &[u8; 8]) -> bool {
    let word = u64::from_ne_bytes(*bytes);
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_are_found_wherever_they_stand() {
        for length in 0..40 {
            for filler in [1, 0x7f, 0x80, 0x81, 0xff] {
                let mut bytes = vec![filler; length];
                assert!(!has_zero(&bytes), "{length} × {filler:#x}");
                for position in 0..length {
                    bytes[position] = 0;
                    assert!(has_zero(&bytes), "{position} of {length} × {filler:#x}");
                    bytes[position] = filler;
                }
            }
        }
    }
}
