//! XDR, the external data representation of [RFC 4506], on [`bytes`]: bounded, borrowing,
//! allocation-safe.
//!
//! ```
//! use bytes::BytesMut;
//! use virtwire_xdr::{Reader, Str, Writer};
//!
//! let mut buffer = BytesMut::new();
//! let mut writer = Writer::new(&mut buffer);
//! writer.u32(7);
//! writer.string(&Str::from("vda"), 255)?;
//! assert_eq!(buffer.as_ref(), b"\0\0\0\x07\0\0\0\x03vda\0");
//!
//! let mut reader = Reader::new(&buffer);
//! assert_eq!(reader.u32()?, 7);
//! assert_eq!(reader.string(255)?, "vda");
//! reader.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layout
//!
//! | RFC 4506 | Rust | [`Reader`] and [`Writer`] |
//! |---|---|---|
//! | 4.1–4.2 integer, unsigned integer | `i32`, `u32` | `i32`, `u32` |
//! | 4.3 enumeration | a newtype over `i32`, so that unknown values survive | `i32` |
//! | 4.4 boolean | `bool` | `bool` |
//! | 4.5 hyper integer, unsigned | `i64`, `u64` | `i64`, `u64` |
//! | 4.6–4.7 floating point | `f32`, `f64` | `f32`, `f64` |
//! | 4.9 fixed-length opaque | `[u8; N]` | `fixed_opaque` |
//! | 4.10 variable-length opaque | [`Opaque`] | `opaque` |
//! | 4.11 string | [`Str`] | `string` |
//! | 4.12 fixed-length array | `[T; N]` | `fixed_array` |
//! | 4.13 variable-length array | `Vec<T>` | `array` |
//! | 4.14 structure | a struct that implements [`Encode`] and [`Decode`] | |
//! | 4.15 discriminated union | an enum that implements them | `i32`, then the arm |
//! | 4.16 void | `()` | |
//! | 4.19 optional-data | `Option<T>` | `optional` |
//!
//! C's `char` and `short` take four bytes each, as in Sun's `rpcgen`; arrays of `char` have the
//! methods `chars` and `fixed_chars`.
//!
//! # Promises
//!
//! - Every variable length has a bound, enforced on encoding and on decoding.
//! - A length is compared with the bytes that remain before anything is allocated, so what a
//!   message can make its reader allocate is proportional to the size of the message.
//! - Decoding borrows: [`Str`] and [`Opaque`] are references into the message until
//!   [`IntoOwned::into_owned`] is asked for.
//! - No input makes the reader panic or loop without end.
//!
//! [RFC 4506]: https://www.rfc-editor.org/rfc/rfc4506

mod error;
mod opaque;
mod primitive;
mod reader;
mod string;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, InField};
pub use opaque::{Opaque, slice_of};
pub use reader::Reader;
pub use string::Str;
pub use writer::Writer;

/// The size that every XDR item is a multiple of, in bytes (RFC 4506 §3).
pub const UNIT: usize = 4;

/// A value that has an XDR form.
pub trait Encode {
    /// Appends the XDR form of this value.
    ///
    /// # Errors
    ///
    /// When a string, opaque or array is longer than its bound. What was appended before the
    /// failure stays in the buffer: the owner of the message truncates it.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError>;
}

/// A value that can be read from its XDR form, borrowing from it where it can.
pub trait Decode<'a>: Sized {
    /// The least number of bytes that any encoded value takes; what bounds the allocation for an
    /// array of this type.
    const MIN_SIZE: usize;

    /// Reads a value and advances the reader past it.
    ///
    /// # Errors
    ///
    /// When the bytes end early, a length exceeds its bound, or a union has an unknown arm.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

/// A value that can give up its borrows.
pub trait IntoOwned {
    /// The same type without borrows.
    type Owned: 'static;

    /// Copies what is borrowed.
    fn into_owned(self) -> Self::Owned;
}

/// The number of zero bytes that follow `length` bytes of string or opaque data.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % UNIT
}
