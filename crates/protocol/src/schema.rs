//! The layout of every message as data, for programs that learn at run time what to call.
//!
//! The descriptions themselves are generated; [`PROCEDURES`](crate::generated::schema::PROCEDURES)
//! lists all of them.

use crate::procedure::{Priority, Program, Release, StreamDirection};

/// A procedure or event: its numbers, its annotations and the layout of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcedureSchema {
    /// The program's name, such as `remote`.
    pub program: &'static str,
    /// The program's number and version.
    pub id: Program,
    /// The number within the program.
    pub number: i32,
    /// The name without the prefix of the program, such as `DOMAIN_GET_INFO`.
    pub name: &'static str,
    /// Whether a client calls it or the daemon sends it.
    pub kind: ProcedureKind,
    /// Which of the daemon's workers may run it.
    pub priority: Priority,
    /// The stream it opens.
    pub stream: StreamDirection,
    /// The flag that allows holes in that stream.
    pub sparse_flag: Option<&'static str>,
    /// Whether a call may be made again when nobody knows if the daemon has executed it; see
    /// [`Procedure::REPEATABLE`](crate::Procedure::REPEATABLE).
    pub repeatable: bool,
    /// The first libvirt release that has it.
    pub since: Release,
    /// The access checks of the daemon, as `object:permission`.
    pub access: &'static [&'static str],
    /// The layout of the arguments; `None` when there are none.
    pub args: Option<&'static StructSchema>,
    /// The layout of the reply, or of an event's message; `None` when it is empty.
    pub ret: Option<&'static StructSchema>,
}

/// Who sends the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcedureKind {
    /// The client calls it and the daemon replies.
    Call,
    /// The daemon sends it and nobody replies.
    Event,
}

/// A structure: its fields in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StructSchema {
    /// The name in C.
    pub name: &'static str,
    /// The fields, in order.
    pub fields: &'static [FieldSchema],
}

/// A field of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldSchema {
    /// The name in C.
    pub name: &'static str,
    /// The type.
    pub ty: TypeSchema,
}

/// A type, with every typedef followed to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeSchema {
    /// Signed, 4 bytes.
    Int,
    /// Unsigned, 4 bytes.
    UInt,
    /// Signed, 8 bytes.
    Hyper,
    /// Unsigned, 8 bytes.
    UHyper,
    /// Single precision, 4 bytes.
    Float,
    /// Double precision, 8 bytes.
    Double,
    /// 0 or 1 in 4 bytes.
    Bool,
    /// Signed 8 bits in 4 bytes.
    Char,
    /// Unsigned 8 bits in 4 bytes.
    UChar,
    /// Signed 16 bits in 4 bytes.
    Short,
    /// Unsigned 16 bits in 4 bytes.
    UShort,
    /// A string.
    String {
        /// Its bound in bytes.
        max: u32,
    },
    /// Bytes with their length before them.
    Opaque {
        /// Their bound.
        max: u32,
    },
    /// Bytes of a fixed number.
    FixedOpaque {
        /// How many.
        len: usize,
    },
    /// An array of `char`, 4 bytes per element, with its length before it.
    Chars {
        /// Its bound in elements.
        max: u32,
    },
    /// An array of `char`, 4 bytes per element, of a fixed length.
    FixedChars {
        /// How many elements.
        len: usize,
    },
    /// An array with its length before it.
    Array {
        /// The type of its elements.
        element: &'static Self,
        /// Its bound in elements.
        max: u32,
    },
    /// An array of a fixed length.
    FixedArray {
        /// The type of its elements.
        element: &'static Self,
        /// How many elements.
        len: usize,
    },
    /// A value that may be absent.
    Optional(&'static Self),
    /// A structure.
    Struct(&'static StructSchema),
    /// A discriminated union.
    Union(&'static UnionSchema),
    /// An enumeration.
    Enum(&'static EnumSchema),
}

/// A union, chosen by a number before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnionSchema {
    /// The name in C.
    pub name: &'static str,
    /// The arms.
    pub arms: &'static [ArmSchema],
}

/// An arm of a union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArmSchema {
    /// The number that chooses this arm.
    pub value: i32,
    /// The name in C of what it holds.
    pub name: &'static str,
    /// The type of what it holds; `None` when that is nothing.
    pub ty: Option<TypeSchema>,
}

/// An enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnumSchema {
    /// The name in C.
    pub name: &'static str,
    /// The names and values in C.
    pub values: &'static [(&'static str, i32)],
}
