//! Typed parameters: named values of seven types, which libvirt uses wherever a structure would
//! have to grow.
//!
//! The types themselves are generated; here is what makes them pleasant.
//!
//! ```
//! use virtwire_protocol::remote::TypedParam;
//! use virtwire_protocol::typed_param::TypedParams;
//!
//! let params = [
//!     TypedParam::new("bandwidth", 8_u64 << 20)?,
//!     TypedParam::new("operation", "pull")?,
//! ];
//! let params = TypedParams::new(&params);
//! assert_eq!(params.unsigned("bandwidth"), Some(8 << 20));
//! assert_eq!(params.str("operation"), Some("pull"));
//! assert_eq!(params.get("granularity"), None);
//! # Ok::<(), virtwire_protocol::typed_param::FieldNameTooLong>(())
//! ```

use virtwire_xdr::Str;

use crate::generated::remote::{TypedParam, TypedParamValue};

/// The longest name that libvirt accepts, in bytes: `VIR_TYPED_PARAM_FIELD_LENGTH` is 80 and
/// counts the terminating zero.
pub const MAX_FIELD_NAME: usize = 79;

/// A parameter's name that no libvirt accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parameter name of {length} bytes exceeds the limit of {MAX_FIELD_NAME}")]
#[non_exhaustive]
pub struct FieldNameTooLong {
    /// The length of the name.
    pub length: usize,
}

/// Parameters as received: in order, and with names that may repeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypedParams<'p, 'a>(&'p [TypedParam<'a>]);

impl<'p, 'a> TypedParams<'p, 'a> {
    /// Looks at these parameters.
    #[must_use]
    pub const fn new(params: &'p [TypedParam<'a>]) -> Self {
        Self(params)
    }

    /// The first value of this name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'p TypedParamValue<'a>> {
        self.all(name).next()
    }

    /// Every value of this name, in order.
    pub fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'p TypedParamValue<'a>> + 'n
    where
        'p: 'n,
        'a: 'n,
    {
        let named = self.0.iter().filter(move |param| param.field == *name);
        named.map(|param| &param.value)
    }

    /// The first value of this name, if it is an integer of any type that is not negative.
    #[must_use]
    pub fn unsigned(self, name: &str) -> Option<u64> {
        self.get(name)?.to_unsigned()
    }

    /// The first value of this name, if it is an integer of any type that fits.
    #[must_use]
    pub fn signed(self, name: &str) -> Option<i64> {
        self.get(name)?.to_signed()
    }

    /// The first value of this name, if it is a floating-point number.
    #[must_use]
    pub fn double(self, name: &str) -> Option<f64> {
        self.get(name)?.to_double()
    }

    /// The first value of this name, if it is a boolean.
    #[must_use]
    pub fn bool(self, name: &str) -> Option<bool> {
        self.get(name)?.to_bool()
    }

    /// The first value of this name, if it is a string in UTF-8.
    #[must_use]
    pub fn str(self, name: &str) -> Option<&'p str> {
        self.get(name)?.as_str()
    }
}

impl<'a> TypedParam<'a> {
    /// A parameter.
    ///
    /// # Errors
    ///
    /// When the name is longer than libvirt accepts.
    pub fn new(
        name: impl Into<Str<'a>>,
        value: impl Into<TypedParamValue<'a>>,
    ) -> Result<Self, FieldNameTooLong> {
        let field = name.into();
        let length = field.as_bytes().len();
        if length > MAX_FIELD_NAME {
            return Err(FieldNameTooLong { length });
        }
        Ok(Self {
            field,
            value: value.into(),
        })
    }
}

impl TypedParamValue<'_> {
    /// An integer of any type that is not negative.
    #[must_use]
    pub fn to_unsigned(&self) -> Option<u64> {
        match *self {
            Self::Int(value) => u64::try_from(value).ok(),
            Self::Uint(value) => Some(value.into()),
            Self::Llong(value) => u64::try_from(value).ok(),
            Self::Ullong(value) => Some(value),
            _ => None,
        }
    }

    /// An integer of any type that fits.
    #[must_use]
    pub fn to_signed(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value.into()),
            Self::Uint(value) => Some(value.into()),
            Self::Llong(value) => Some(value),
            Self::Ullong(value) => i64::try_from(value).ok(),
            _ => None,
        }
    }

    /// A floating-point number.
    #[must_use]
    pub fn to_double(&self) -> Option<f64> {
        match *self {
            Self::Double(value) => Some(value),
            _ => None,
        }
    }

    /// A boolean; on the wire an integer.
    #[must_use]
    pub fn to_bool(&self) -> Option<bool> {
        match *self {
            Self::Boolean(value) => Some(value != 0),
            _ => None,
        }
    }

    /// A string in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => value.to_str().ok(),
            _ => None,
        }
    }
}

impl From<i32> for TypedParamValue<'_> {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for TypedParamValue<'_> {
    fn from(value: u32) -> Self {
        Self::Uint(value)
    }
}

impl From<i64> for TypedParamValue<'_> {
    fn from(value: i64) -> Self {
        Self::Llong(value)
    }
}

impl From<u64> for TypedParamValue<'_> {
    fn from(value: u64) -> Self {
        Self::Ullong(value)
    }
}

impl From<f64> for TypedParamValue<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for TypedParamValue<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value.into())
    }
}

impl<'a> From<&'a str> for TypedParamValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for TypedParamValue<'_> {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_libvirt_takes_them() {
        assert!(TypedParam::new("n".repeat(79), 1).is_ok());
        let refused = TypedParam::new("n".repeat(80), 1);
        assert_eq!(refused, Err(FieldNameTooLong { length: 80 }));
    }

    #[test]
    fn integers_are_read_whatever_their_type() {
        let unsigned = |value: TypedParamValue<'_>| value.to_unsigned();
        let signed = |value: TypedParamValue<'_>| value.to_signed();
        assert_eq!(unsigned(7_i32.into()), Some(7));
        assert_eq!(unsigned(7_i64.into()), Some(7));
        assert_eq!(unsigned((-7_i32).into()), None);
        assert_eq!(unsigned(u64::MAX.into()), Some(u64::MAX));
        assert_eq!(signed(u64::MAX.into()), None);
        assert_eq!(signed(u32::MAX.into()), Some(u32::MAX.into()));
        assert_eq!(signed(1.0.into()), None);
    }

    #[test]
    fn repeated_names_keep_their_order() {
        let params = [
            TypedParam::new("key", "first").unwrap(),
            TypedParam::new("other", true).unwrap(),
            TypedParam::new("key", "second").unwrap(),
        ];
        let params = TypedParams::new(&params);
        let keys: Vec<_> = params
            .all("key")
            .filter_map(|value| value.as_str())
            .collect();
        assert_eq!(keys, ["first", "second"]);
        assert_eq!(params.str("key"), Some("first"));
        assert_eq!(params.bool("other"), Some(true));
        assert_eq!(params.double("other"), None);
    }
}
