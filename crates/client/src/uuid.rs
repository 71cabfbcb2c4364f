//! The identifier that a domain keeps for life.

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// A UUID, as libvirt sends it: 16 bytes, in the order in which they are written.
///
/// ```
/// # use virtwire::Uuid;
/// let uuid: Uuid = "6695EB01-F6A4-8304-79AA-97F2502E193F".parse()?;
/// assert_eq!(uuid.to_string(), "6695eb01-f6a4-8304-79aa-97f2502e193f");
/// # Ok::<(), virtwire::InvalidUuid>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

/// A text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a UUID has 32 hex digits, with dashes after the 8th, 12th, 16th and 20th or without any")]
#[non_exhaustive]
pub struct InvalidUuid;

impl Uuid {
    /// Makes a UUID of its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Parses 32 hex digits, with all four dashes in their places or without any.
    ///
    /// # Errors
    ///
    /// When `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidUuid> {
        let dashed = text.len() == 36;
        let mut digits = text.bytes().enumerate().filter_map(|(position, byte)| {
            let separator = dashed && matches!(position, 8 | 13 | 18 | 23);
            if separator {
                (byte != b'-').then_some(None)
            } else {
                Some(hex_digit(byte))
            }
        });
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let high = digits.next().flatten().ok_or(InvalidUuid)?;
            let low = digits.next().flatten().ok_or(InvalidUuid)?;
            *byte = high << 4 | low;
        }
        digits
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or(InvalidUuid)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn into_bytes(self) -> [u8; 16] {
        self.0
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl From<Uuid> for [u8; 16] {
    fn from(uuid: Uuid) -> Self {
        uuid.0
    }
}

impl AsRef<[u8]> for Uuid {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        Self::parse(text)
    }
}

impl Display for Uuid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let dash = if matches!(position, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Debug for Uuid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dashes_are_all_or_none() {
        let uuid = Uuid::parse("6695eb01-f6a4-8304-79aa-97f2502e193f").unwrap();
        assert_eq!(Uuid::parse("6695EB01F6A4830479AA97F2502E193F"), Ok(uuid));
        assert_eq!(
            format!("{uuid:?}"),
            "Uuid(6695eb01-f6a4-8304-79aa-97f2502e193f)"
        );
        for text in [
            "",
            "test",
            "6695eb01-f6a4-8304-79aa97f2502e193f",
            "6695eb01f6a4-8304-79aa-97f2502e193f-",
            "6695eb01-f6a4-8304-79aa-97f2502e193",
            "6695eb01-f6a4-8304-79aa-97f2502e193g",
            "6695eb01f6a4830479aa97f2502e193f0",
            "6695eb01f6a4830479aa97f2502e193f0000",
            "{6695eb01f6a4830479aa97f2502e193f}",
        ] {
            assert_eq!(Uuid::parse(text), Err(InvalidUuid), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_uuids_parse_to_the_same_value(bytes: [u8; 16]) {
            let uuid = Uuid::from(bytes);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
            prop_assert_eq!(uuid.to_string().replace('-', "").parse(), Ok(uuid));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{30,38}") {
            let _ = Uuid::parse(&text);
        }
    }
}
