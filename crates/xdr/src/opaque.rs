use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::IntoOwned;

/// Variable-length opaque data (RFC 4506 §4.10), borrowed from a message or owned.
///
/// `Debug` prints the length only: opaque data may be a secret. To keep bulk data without
/// copying it, take the part of the received frame with [`slice_of`].
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Opaque<'a>(Cow<'a, [u8]>);

impl Opaque<'_> {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The part of `frame` that `part` borrows from, sharing its memory; `None` when `part` does not
/// lie within `frame`.
#[must_use]
pub fn slice_of(frame: &Bytes, part: &[u8]) -> Option<Bytes> {
    let start = part.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= frame.len()).then(|| frame.slice(start..end))
}

impl IntoOwned for Opaque<'_> {
    type Owned = Opaque<'static>;

    fn into_owned(self) -> Opaque<'static> {
        Opaque(Cow::Owned(self.0.into_owned()))
    }
}

impl<'a> From<&'a [u8]> for Opaque<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Opaque<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl Deref for Opaque<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Opaque<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_of_a_frame_shares_its_memory() {
        let frame = Bytes::from_static(b"header and body");
        let part = slice_of(&frame, &frame[11..]).unwrap();
        assert_eq!(part, "body");
        assert_eq!(part.as_ptr(), frame[11..].as_ptr());
        assert_eq!(slice_of(&frame, b"elsewhere"), None);
    }
}
