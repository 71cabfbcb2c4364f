//! Bytes inside a structured input.

use std::fmt;

use arbitrary::{Arbitrary, Result, Unstructured};

/// Some bytes, with their length before them: so a seed can be written from front to back, and a
/// change to one blob leaves the others where they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a>(&'a [u8]);

impl<'a> Blob<'a> {
    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Arbitrary<'a> for Blob<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let length = usize::from(u.arbitrary::<u16>()?);
        u.bytes(length.min(u.len())).map(Self)
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (2, None)
    }
}

impl fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}
