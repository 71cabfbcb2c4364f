//! What can be wrong with the input, and where.

use std::fmt;

use crate::SourceFile;
use crate::ast::Position;

/// A mistake in an input file; printed with file, line, column, the line itself and a caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    file: String,
    line: usize,
    column: usize,
    source_line: String,
    kind: ErrorKind,
}

impl Error {
    pub(crate) fn new(file: &SourceFile, at: Position, kind: ErrorKind) -> Self {
        let offset = file.text.len().saturating_sub(at.remaining);
        let (before, after) = file
            .text
            .split_at_checked(offset)
            .unwrap_or((&file.text, ""));
        let head = before.rsplit('\n').next().unwrap_or_default();
        let tail = after.split('\n').next().unwrap_or_default();
        Self {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: head.chars().count() + 1,
            source_line: format!("{head}{tail}").replace('\t', " "),
            kind,
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The line of the mistake, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column of the mistake, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            source_line,
            kind,
        } = self;
        let (gutter, indent) = (line.to_string().len(), column - 1);
        writeln!(f, "{file}:{line}:{column}: {kind}")?;
        writeln!(f, "{line} | {source_line}")?;
        write!(f, "{:gutter$} | {:indent$}^", "", "")
    }
}

/// The mistakes that the generator and the importer know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The grammar wants something else here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A comment has no end.
    #[error("this comment does not end")]
    OpenComment,
    /// A number does not fit its place.
    #[error("this number is too large")]
    NumberTooLarge,
    /// A name is used that no file defines.
    #[error("`{0}` is not defined")]
    Undefined(String),
    /// A name has two definitions in one file.
    #[error("`{0}` is defined twice")]
    DefinedTwice(String),
    /// A type stands where a number is wanted.
    #[error("`{0}` is not a constant")]
    NotAConstant(String),
    /// A constant stands where a type is wanted.
    #[error("`{0}` is not a type")]
    NotAType(String),
    /// A type contains itself.
    #[error("`{0}` contains itself")]
    Recursive(String),
    /// Unbounded data cannot be decoded safely.
    #[error("`{0}` has no bound; write `<MAX>`")]
    Unbounded(String),
    /// A string or opaque without brackets.
    #[error("`{0}` needs `<MAX>`{hint}", hint = if *.1 { " or `[N]`" } else { "" })]
    NeedsBrackets(String, bool),
    /// A union is switched on something that is neither int nor an enum.
    #[error("a union is switched on an int or an enum")]
    Discriminant,
    /// Two arms of a union have the same value.
    #[error("the value {0} has two arms")]
    ArmTwice(i64),
    /// Two items of a module get the same Rust name.
    #[error(
        "`{0}` is already the Rust name of another item; add it to the exceptions in naming.rs"
    )]
    RustNameTaken(String),
    /// A procedure has no annotation comment.
    #[error("`{0}` has no annotation (`/* @call … */` or `/* @event … */` on the line before)")]
    NoAnnotation(String),
    /// An annotation has a word that means nothing.
    #[error("`{0}` is not part of an annotation")]
    AnnotationWord(String),
    /// An annotation lacks the release.
    #[error("the annotation lacks `since=RELEASE` or `since<=RELEASE`")]
    AnnotationSince,
    /// A release is not three numbers.
    #[error("`{0}` is not a release such as 9.0.0")]
    Release(String),
    /// A call with a message, or an event with arguments or reply.
    #[error("`{0}` exists, which does not go with the annotation of this procedure")]
    WrongKind(String),
    /// A struct named like a message that no procedure uses.
    #[error("no procedure uses `{0}`")]
    Orphan(String),
    /// Procedures without a program number or version.
    #[error("procedures need the constants `{0}_PROGRAM` and `{0}_PROTOCOL_VERSION`")]
    NoProgram(String),
    /// A table row has too few or too many columns.
    #[error("{found} columns where {wanted} belong")]
    Columns {
        /// Columns in the header of this table.
        wanted: usize,
        /// Columns in this row.
        found: usize,
    },
    /// A table cell is not a name in C.
    #[error("`{0}` is not a name")]
    NotAName(String),
    /// A row about a call that there is not.
    #[error("`{0}` is not a call of this program")]
    NoSuchCall(String),
    /// A row that makes an exception of what is no exception.
    #[error("`{0}` is that by the rule already")]
    NoException(String),
    /// A table cell is not a number in range.
    #[error("`{0}` is not a number, or does not fit the type")]
    Number(String),
    /// An annotation of libvirt's own sources that the importer does not know.
    #[error("`@{0}` is not an annotation that the importer knows")]
    UpstreamAnnotation(String),
    /// The facts of `later.x` disagree with the sources being imported.
    #[error("`{0}` differs from the definition in the imported sources")]
    LaterDiffers(String),
}
