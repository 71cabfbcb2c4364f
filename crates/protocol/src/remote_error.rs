//! What the daemon says when something fails.

use std::fmt;

use virtwire_xdr::{Decode, DecodeError, Encode, EncodeError, Reader, Str, Writer};

use crate::generated::constants::{ErrorCode, ErrorDomain, ErrorLevel};
use crate::generated::net;

/// An error as a daemon sends it (`virNetMessageError`), with every field as sent.
///
/// The message may be in the language of the daemon: match on [`code`](Self::code), never on text.
/// [`Display`](fmt::Display) shows the message with control characters escaped, so it can go to a
/// terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteError {
    /// What went wrong.
    pub code: ErrorCode,
    /// Which part of libvirt says so.
    pub domain: ErrorDomain,
    /// How bad it is.
    pub level: ErrorLevel,
    /// The text for people.
    pub message: Option<String>,
    /// The name of the domain it is about. No daemon of today sends it.
    pub dom: Option<String>,
    /// Extra text; often the format of the message.
    pub str1: Option<String>,
    /// Extra text; often what was put into the format.
    pub str2: Option<String>,
    /// Extra text.
    pub str3: Option<String>,
    /// An extra number: `errno` for [`ErrorCode::SYSTEM_ERROR`], otherwise mostly −1.
    pub int1: i32,
    /// An extra number, mostly −1.
    pub int2: i32,
    /// The name of the network it is about. No daemon of today sends it.
    pub net: Option<String>,
}

impl RemoteError {
    /// An error with a message and nothing extra.
    #[must_use]
    pub fn new(code: ErrorCode, domain: ErrorDomain, message: impl Into<String>) -> Self {
        Self {
            code,
            domain,
            level: ErrorLevel::ERROR,
            message: Some(message.into()),
            dom: None,
            str1: None,
            str2: None,
            str3: None,
            int1: -1,
            int2: -1,
            net: None,
        }
    }

    /// Reads the payload of an error packet. Bytes after it are for peers newer than this one.
    ///
    /// # Errors
    ///
    /// When the payload ends early or a string exceeds its bound.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        net::MessageError::decode(&mut Reader::new(payload)).map(Self::from)
    }

    /// Writes the payload of an error packet. The objects that it is about are left out, as every
    /// daemon does: their names alone do not make one.
    ///
    /// # Errors
    ///
    /// When a string exceeds its bound or contains a zero byte.
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        net::MessageError {
            code: self.code.0,
            domain: self.domain.0,
            message: borrowed(&self.message),
            level: self.level.0,
            dom: None,
            str1: borrowed(&self.str1),
            str2: borrowed(&self.str2),
            str3: borrowed(&self.str3),
            int1: self.int1,
            int2: self.int2,
            net: None,
        }
        .encode(writer)
    }
}

impl From<net::MessageError<'_>> for RemoteError {
    fn from(error: net::MessageError<'_>) -> Self {
        Self {
            code: ErrorCode(error.code),
            domain: ErrorDomain(error.domain),
            level: ErrorLevel(error.level),
            message: owned(error.message),
            dom: owned(error.dom.map(|dom| dom.name)),
            str1: owned(error.str1),
            str2: owned(error.str2),
            str3: owned(error.str3),
            int1: error.int1,
            int2: error.int2,
            net: owned(error.net.map(|net| net.name)),
        }
    }
}

fn borrowed(text: &Option<String>) -> Option<Str<'_>> {
    text.as_ref().map(Str::from)
}

fn owned(text: Option<Str<'_>>) -> Option<String> {
    text.map(|text| text.to_string_lossy().into_owned())
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(message) = &self.message else {
            return write!(f, "error {:?} without a message", self.code);
        };
        for character in message.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for RemoteError {}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn error() -> RemoteError {
        RemoteError {
            str1: Some("Domain not found: %s".into()),
            str2: Some(String::new()),
            int1: 2,
            ..RemoteError::new(
                ErrorCode::NO_DOMAIN,
                ErrorDomain::QEMU,
                "Domain not found: vm",
            )
        }
    }

    fn encoded(error: &RemoteError) -> BytesMut {
        let mut bytes = BytesMut::new();
        error.encode(&mut Writer::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn every_field_survives() {
        let error = error();
        assert_eq!(RemoteError::decode(&encoded(&error)), Ok(error));
    }

    #[test]
    fn unknown_numbers_survive() {
        let error = RemoteError {
            code: ErrorCode(4711),
            domain: ErrorDomain(-5),
            level: ErrorLevel(9),
            message: None,
            ..error()
        };
        assert_eq!(RemoteError::decode(&encoded(&error)), Ok(error));
    }

    #[test]
    fn every_truncation_is_an_error_and_trailing_bytes_are_not() {
        let mut bytes = encoded(&error());
        for len in 0..bytes.len() {
            assert!(RemoteError::decode(&bytes[..len]).is_err());
        }
        bytes.extend_from_slice(b"newer");
        assert_eq!(RemoteError::decode(&bytes), Ok(error()));
    }

    #[test]
    fn what_is_shown_cannot_steer_a_terminal() {
        let mut error = error();
        error.message = Some("tür \u{1b}[2J\n\u{9b}1m".into());
        assert_eq!(error.to_string(), "tür \\u{1b}[2J\\n\\u{9b}1m");
    }
}
