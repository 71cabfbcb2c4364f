//! What will be emitted: every name already Rust, every bound a number, every typedef followed.

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use crate::error::ErrorKind;
use crate::parse::{Kind, Since};

/// All modules, in the order of their files.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) modules: Vec<Module>,
}

/// What one `.x` file becomes.
#[derive(Debug)]
pub(crate) struct Module {
    /// `remote` for `remote.x`.
    pub(crate) name: String,
    pub(crate) program: Option<Program>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) types: Vec<TypeDef>,
    pub(crate) procedures: Vec<Procedure>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) number: u32,
    pub(crate) version: u32,
}

#[derive(Debug)]
pub(crate) struct Constant {
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) value: i64,
}

#[derive(Debug)]
pub(crate) enum TypeDef {
    Struct(Struct),
    Union(Union),
    Enum(Enum),
}

impl TypeDef {
    pub(crate) fn id(&self) -> &Rc<TypeId> {
        match self {
            Self::Struct(def) => &def.id,
            Self::Union(def) => &def.id,
            Self::Enum(def) => &def.id,
        }
    }
}

/// Everything that a use of a named type needs to know about it.
#[derive(Debug)]
pub(crate) struct TypeId {
    pub(crate) kind: TypeKind,
    pub(crate) module: String,
    pub(crate) c_name: String,
    pub(crate) name: String,
    /// Whether values borrow from the bytes they were decoded from.
    pub(crate) borrows: bool,
    /// Whether the type has a default value.
    pub(crate) has_default: bool,
    /// The least number of bytes that an encoded value takes.
    pub(crate) min_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeKind {
    Struct,
    Union,
    Enum,
}

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) id: Rc<TypeId>,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) ty: Type,
}

#[derive(Debug)]
pub(crate) struct Union {
    pub(crate) id: Rc<TypeId>,
    pub(crate) discriminant: String,
    pub(crate) variants: Vec<Variant>,
}

#[derive(Debug)]
pub(crate) struct Variant {
    /// The name of the case's constant.
    pub(crate) c_label: String,
    pub(crate) name: String,
    pub(crate) value: i32,
    /// The declared name and type; `None` for `void`.
    pub(crate) field: Option<Field>,
}

#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) id: Rc<TypeId>,
    pub(crate) members: Vec<Member>,
}

/// A named value of an enum, from a protocol file or from the table of constants.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) value: i64,
    pub(crate) since: Option<Release>,
}

/// A type as it is used: bounds folded, typedefs gone.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    Primitive(Primitive),
    String(Bound),
    Opaque(Bound),
    FixedOpaque(u32),
    /// `char x<N>`: one byte in four on the wire.
    Chars(Bound),
    FixedChars(u32),
    Array(Box<Self>, Bound),
    FixedArray(Box<Self>, u32),
    Optional(Box<Self>),
    Named(Rc<TypeId>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Int,
    UInt,
    Hyper,
    UHyper,
    Float,
    Double,
    Bool,
    Char,
    UChar,
    Short,
    UShort,
}

/// The greatest length of variable data and the constant that says so.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) max: u32,
    pub(crate) c_name: Option<String>,
}

impl Type {
    pub(crate) fn borrows(&self) -> bool {
        match self {
            Self::String(_) | Self::Opaque(_) => true,
            Self::Array(element, _) | Self::FixedArray(element, _) | Self::Optional(element) => {
                element.borrows()
            }
            Self::Named(id) => id.borrows,
            _ => false,
        }
    }

    pub(crate) fn has_default(&self) -> bool {
        match self {
            // The standard library has Default for arrays up to 32 elements.
            Self::FixedOpaque(len) | Self::FixedChars(len) => *len <= 32,
            Self::FixedArray(element, len) => *len <= 32 && element.has_default(),
            Self::Named(id) => id.has_default,
            _ => true,
        }
    }

    /// The least number of bytes on the wire; a sum that does not fit stays at the greatest.
    pub(crate) fn min_size(&self) -> usize {
        match self {
            Self::Primitive(Primitive::Hyper | Primitive::UHyper | Primitive::Double) => 8,
            Self::FixedOpaque(len) => (*len as usize).next_multiple_of(4),
            Self::FixedChars(len) => (*len as usize).saturating_mul(4),
            Self::FixedArray(element, len) => element.min_size().saturating_mul(*len as usize),
            Self::Named(id) => id.min_size,
            _ => 4,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Procedure {
    /// The C name without its prefix: `DOMAIN_GET_INFO`.
    pub(crate) word: String,
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) kind: Kind,
    pub(crate) high_priority: bool,
    pub(crate) stream: Stream,
    pub(crate) sparse_flag: Option<String>,
    pub(crate) since: Since,
    pub(crate) acl: Vec<String>,
    pub(crate) acl_filter: Vec<String>,
    pub(crate) repeatable: bool,
    pub(crate) args: Option<Rc<TypeId>>,
    /// The reply of a call, the message of an event.
    pub(crate) ret: Option<Rc<TypeId>>,
}

/// The direction of a data stream from the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    None,
    Upload,
    Download,
    Both,
}

impl Stream {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "upload" => Some(Self::Upload),
            "download" => Some(Self::Download),
            "both" => Some(Self::Both),
            _ => None,
        }
    }

    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Upload => Some("upload"),
            Self::Download => Some("download"),
            Self::Both => Some("both"),
        }
    }
}

/// A libvirt release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) micro: u32,
}

impl FromStr for Release {
    type Err = ErrorKind;

    fn from_str(text: &str) -> Result<Self, ErrorKind> {
        let numbers: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[major, minor, micro]) => Ok(Self {
                major,
                minor,
                micro,
            }),
            _ => Err(ErrorKind::Release(text.to_owned())),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}
