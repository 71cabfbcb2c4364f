//! What can be wrong with a JSON document, and where.

use std::fmt;

use serde_json::Value;
use thiserror::Error;
use virtwire::xdr::EncodeError;

/// A JSON document that is not what a structure needs.
#[derive(Debug, Error)]
#[error("{}{problem}", place(path))]
pub(crate) struct JsonError {
    path: String,
    problem: Problem,
}

/// What is wrong at a place of the document.
#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error("no arguments are given")]
    NoArguments,
    #[error("it takes no arguments")]
    TakesNothing,
    #[error("is missing")]
    Missing,
    #[error("is no field of {0}")]
    UnknownField(&'static str),
    #[error("must be {expected}, not {found}")]
    WrongType {
        expected: String,
        found: &'static str,
    },
    #[error("{value} does not fit into {kind}")]
    OutOfRange { value: String, kind: &'static str },
    #[error("has {length} {what}, at most {max} are allowed")]
    TooLong {
        length: usize,
        what: &'static str,
        max: u64,
    },
    #[error("has {length} bytes, {expected} are needed")]
    WrongLength { length: usize, expected: usize },
    #[error("is no UUID")]
    NotAUuid,
    #[error("is not an even number of hex digits")]
    NotHex,
    #[error("{value:?} is not one of {}", known.join(", "))]
    UnknownName {
        value: String,
        known: Vec<&'static str>,
    },
    #[error(transparent)]
    Xdr(#[from] EncodeError),
}

fn place(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path} ")
    }
}

/// Where in the document we are.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Element(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    pub(super) fn fail(&self, problem: impl Into<Problem>) -> JsonError {
        JsonError {
            path: self.to_string(),
            problem: problem.into(),
        }
    }

    pub(super) fn wrong(&self, expected: impl Into<String>, value: &Value) -> JsonError {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        self.fail(Problem::WrongType {
            expected: expected.into(),
            found,
        })
    }
}
