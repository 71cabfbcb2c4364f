use std::fmt;

/// A message that cannot be decoded: what was wrong, in which field, at which byte.
///
/// Displayed as `DomainGetInfoRet.state: 3 bytes left, 4 needed (byte 24)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Failure<DecodeErrorKind>>);

/// A value that has no XDR form: what was wrong and in which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError(Box<Failure<EncodeErrorKind>>);

/// What was wrong with the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The message ends before the value does.
    #[error("{remaining} bytes left, {needed} needed")]
    UnexpectedEnd {
        /// Bytes the value takes at least.
        needed: usize,
        /// Bytes the message still has.
        remaining: usize,
    },
    /// A string, opaque or array is longer than its bound.
    #[error("length {length} exceeds the bound of {max}")]
    TooLong {
        /// The announced length, in bytes or elements.
        length: u32,
        /// The bound.
        max: u32,
    },
    /// A `char` or `short` holds a value that does not fit.
    #[error("value {value} does not fit the type")]
    OutOfRange {
        /// The value as it stands in the message.
        value: i64,
    },
    /// A union has a discriminant without an arm.
    #[error("union has no arm {discriminant}")]
    UnknownDiscriminant {
        /// The discriminant as it stands in the message.
        discriminant: i32,
    },
    /// Bytes follow the value.
    #[error("{count} bytes follow the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

/// What was wrong with the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A string, opaque or array is longer than its bound.
    #[error("length {length} exceeds the bound of {max}")]
    TooLong {
        /// The length, in bytes or elements.
        length: usize,
        /// The bound.
        max: u32,
    },
    /// A string holds a zero byte, which a peer written in C would take for its end.
    #[error("string contains a zero byte at {position}")]
    ZeroByte {
        /// Where in the string.
        position: usize,
    },
}

/// Adds the field to an error on its way up, so that a log names the place.
pub trait InField {
    /// Records that the failure happened in `field` of the structure `type_name`.
    #[must_use]
    fn in_field(self, type_name: &'static str, field: &'static str) -> Self;
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure<K> {
    kind: K,
    offset: usize,
    /// From the innermost place outwards.
    path: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Field {
        type_name: &'static str,
        field: &'static str,
    },
    Element(usize),
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self(Box::new(Failure {
            kind,
            offset,
            path: Vec::new(),
        }))
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// How many bytes of the message come before the value that failed.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The field that failed, as `Type.field[3].inner`; empty at top level.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path_string()
    }

    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Place::Element(index));
        self
    }
}

impl EncodeError {
    #[cold]
    pub(crate) fn new(kind: EncodeErrorKind, offset: usize) -> Self {
        Self(Box::new(Failure {
            kind,
            offset,
            path: Vec::new(),
        }))
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> &EncodeErrorKind {
        &self.0.kind
    }

    /// The field that failed, as `Type.field[3].inner`; empty at top level.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path_string()
    }

    #[cold]
    pub(crate) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Place::Element(index));
        self
    }
}

impl<K> Failure<K> {
    fn path_string(&self) -> String {
        let mut text = String::new();
        for place in self.path.iter().rev() {
            match place {
                Place::Field { type_name, field } => {
                    text.push_str(if text.is_empty() { type_name } else { "" });
                    text.push('.');
                    text.push_str(field);
                }
                Place::Element(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }
}

impl<K: fmt::Display> fmt::Display for Failure<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path_string();
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{} (byte {})", self.kind, self.offset)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for DecodeError {}
impl std::error::Error for EncodeError {}

impl<T> InField for Result<T, DecodeError> {
    #[inline]
    fn in_field(self, type_name: &'static str, field: &'static str) -> Self {
        self.map_err(
            #[cold]
            |mut error| {
                error.0.path.push(Place::Field { type_name, field });
                error
            },
        )
    }
}

impl<T> InField for Result<T, EncodeError> {
    #[inline]
    fn in_field(self, type_name: &'static str, field: &'static str) -> Self {
        self.map_err(
            #[cold]
            |mut error| {
                error.0.path.push(Place::Field { type_name, field });
                error
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_path_from_the_outside_in() {
        let inner: Result<(), _> = Err(DecodeError::new(
            DecodeErrorKind::UnexpectedEnd {
                needed: 4,
                remaining: 3,
            },
            24,
        ));
        let error = inner
            .in_field("Inner", "state")
            .map_err(|e| e.in_element(2))
            .in_field("Outer", "list")
            .unwrap_err();
        assert_eq!(error.path(), "Outer.list[2].state");
        assert_eq!(
            error.to_string(),
            "Outer.list[2].state: 3 bytes left, 4 needed (byte 24)"
        );
    }
}
