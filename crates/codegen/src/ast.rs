//! A protocol file as it is written: definitions in order, every name with its place.

/// A place in a source text, counted from the text's end.
///
/// A parser over `&str` always knows how much is left and never how much is gone; the two are
/// turned into line and column only when an error is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) remaining: usize,
}

impl Position {
    /// The place where `rest` begins.
    pub(crate) fn of(rest: &str) -> Self {
        Self {
            remaining: rest.len(),
        }
    }
}

/// One parsed file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    pub(crate) definitions: Vec<Definition>,
}

/// An identifier and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) at: Position,
}

/// A number, or the name of a constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Name(Name),
}

/// A comment's text without its delimiters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comment {
    pub(crate) text: String,
    pub(crate) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Definition {
    Const { name: Name, value: Value },
    Typedef(Declaration),
    Enum(EnumDef),
    Struct(StructDef),
    Union(UnionDef),
}

impl Definition {
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Const { name, .. } => name,
            Self::Typedef(declaration) => &declaration.name,
            Self::Enum(def) => &def.name,
            Self::Struct(def) => &def.name,
            Self::Union(def) => &def.name,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EnumDef {
    pub(crate) name: Name,
    pub(crate) members: Vec<EnumMember>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EnumMember {
    /// The last comment before the member: an annotation, where the enum numbers procedures.
    pub(crate) comment: Option<Comment>,
    pub(crate) name: Name,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StructDef {
    pub(crate) name: Name,
    pub(crate) fields: Vec<Declaration>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnionDef {
    pub(crate) name: Name,
    pub(crate) discriminant: Declaration,
    pub(crate) arms: Vec<Arm>,
}

/// One or more `case` labels and what follows them; `None` is `void`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arm {
    pub(crate) labels: Vec<Name>,
    pub(crate) declaration: Option<Declaration>,
}

/// A field, a union arm or a typedef: one name and its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) base: Base,
    pub(crate) name: Name,
    pub(crate) form: Form,
}

/// What stands around the name of a declaration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// `T x`
    Plain,
    /// `T *x`
    Optional,
    /// `T x[N]`
    Fixed(Value),
    /// `T x<N>`; RFC 4506 also allows `T x<>`.
    Variable(Option<Value>),
}

/// The type word or words of a declaration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Base {
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
    String,
    Opaque,
    Named(Name),
}
