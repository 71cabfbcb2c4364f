//! Tokens, and the blank space between them.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_until, take_while};
use nom::character::complete::{char, multispace1, satisfy};
use nom::combinator::{cut, eof, map, not, opt, recognize, value};
use nom::error::{ErrorKind as NomKind, ParseError};
use nom::multi::fold_many0;
use nom::sequence::{pair, preceded, terminated};
use nom::{IResult, Parser};

use crate::ast::{Comment, Name, Position, Value};
use crate::error::ErrorKind;

pub(super) type Parsed<'s, T> = IResult<&'s str, T, Failure>;

/// Where parsing stopped and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) at: Position,
    pub(super) kind: ErrorKind,
}

impl ParseError<&str> for Failure {
    fn from_error_kind(input: &str, _: NomKind) -> Self {
        Self {
            at: Position::of(input),
            kind: ErrorKind::Expected("something else"),
        }
    }

    fn append(_: &str, _: NomKind, other: Self) -> Self {
        other
    }

    /// Of two alternatives that failed, the one that came further knows better.
    fn or(self, other: Self) -> Self {
        if self.at < other.at { self } else { other }
    }
}

/// Says in words what `parser` wants, unless it got past the blank space and failed deeper.
pub(super) fn expected<'s, T>(
    what: &'static str,
    mut parser: impl Parser<&'s str, Output = T, Error = Failure>,
) -> impl FnMut(&'s str) -> Parsed<'s, T> {
    move |input| {
        let (start, _) = blank(input)?;
        parser.parse(input).map_err(|error| match error {
            nom::Err::Error(failure) if failure.at.remaining >= start.len() => {
                nom::Err::Error(Failure {
                    at: Position::of(start),
                    kind: ErrorKind::Expected(what),
                })
            }
            deeper => deeper,
        })
    }
}

/// White space, comments and `%` lines (which rpcgen copies to its output); yields the last
/// comment.
pub(super) fn blank(input: &str) -> Parsed<'_, Option<Comment>> {
    fold_many0(
        alt((
            value(None, multispace1),
            map(comment, Some),
            value(None, pair(char('%'), take_while(|c| c != '\n'))),
        )),
        || None,
        |last, found: Option<Comment>| found.or(last),
    )
    .parse(input)
}

fn comment(input: &str) -> Parsed<'_, Comment> {
    let (body, _) = tag("/*").parse(input)?;
    let (rest, text) = cut(terminated(take_until("*/"), tag("*/")))
        .parse(body)
        .map_err(|error: nom::Err<Failure>| {
            error.map(|_| Failure {
                at: Position::of(input),
                kind: ErrorKind::OpenComment,
            })
        })?;
    Ok((
        rest,
        Comment {
            text: text.to_owned(),
            at: Position::of(body),
        },
    ))
}

/// The end of the file.
pub(super) fn end(input: &str) -> Parsed<'_, ()> {
    expected(
        "a definition: const, typedef, enum, struct or union",
        value((), (blank, eof)),
    )
    .parse(input)
}

/// One of the words of the language.
pub(super) fn keyword<'s>(
    word: &'static str,
) -> impl Parser<&'s str, Output = &'s str, Error = Failure> {
    preceded(blank, terminated(tag(word), not(satisfy(is_name_char))))
}

/// A punctuation mark.
pub(super) fn symbol<'s>(
    mark: char,
    name: &'static str,
) -> impl Parser<&'s str, Output = char, Error = Failure> {
    expected(name, preceded(blank, char(mark)))
}

/// An identifier that is not a word of the language.
pub(super) fn name<'s>(what: &'static str) -> impl Parser<&'s str, Output = Name, Error = Failure> {
    expected(what, |input| {
        let (start, _) = blank(input)?;
        let (rest, text) = identifier(start)?;
        if RESERVED.contains(&text) {
            return Err(nom::Err::Error(Failure::from_error_kind(
                start,
                NomKind::Verify,
            )));
        }
        Ok((
            rest,
            Name {
                text: text.to_owned(),
                at: Position::of(start),
            },
        ))
    })
}

fn identifier(input: &str) -> Parsed<'_, &str> {
    recognize(pair(
        satisfy(|c| c.is_ascii_alphabetic() || c == '_'),
        take_while(is_name_char),
    ))
    .parse(input)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

const RESERVED: &[&str] = &[
    "bool",
    "case",
    "char",
    "const",
    "default",
    "double",
    "enum",
    "float",
    "hyper",
    "int",
    "opaque",
    "quadruple",
    "short",
    "string",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
];

/// A number or the name of a constant.
pub(super) fn constant(input: &str) -> Parsed<'_, Value> {
    expected(
        "a number or the name of a constant",
        alt((map(number, Value::Number), map(name("a name"), Value::Name))),
    )
    .parse(input)
}

/// A decimal, octal or hexadecimal number as C writes it.
fn number(input: &str) -> Parsed<'_, i64> {
    let (start, _) = blank(input)?;
    let (rest, (sign, text)) = pair(opt(char('-')), recognize(digits)).parse(start)?;
    let parsed = match text {
        "0" => Ok(0),
        _ => match (text.strip_prefix("0x"), text.strip_prefix('0')) {
            (Some(hex), _) => i64::from_str_radix(hex, 16),
            (None, Some(octal)) => i64::from_str_radix(octal, 8),
            (None, None) => text.parse(),
        },
    };
    let magnitude = parsed.map_err(|error| {
        let kind = match error.kind() {
            std::num::IntErrorKind::PosOverflow => ErrorKind::NumberTooLarge,
            _ => ErrorKind::Expected("a decimal, octal or hexadecimal number"),
        };
        nom::Err::Failure(Failure {
            at: Position::of(start),
            kind,
        })
    })?;
    Ok((
        rest,
        if sign.is_some() {
            -magnitude
        } else {
            magnitude
        },
    ))
}

/// A digit and whatever clings to it, so that `12ab` is one wrong number and not two tokens.
fn digits(input: &str) -> Parsed<'_, (char, &str)> {
    pair(satisfy(|c| c.is_ascii_digit()), take_while(is_name_char)).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_space_yields_its_last_comment() {
        let (rest, comment) = blank(" /* one */\n%#include <x>\n /* two */ x").unwrap();
        assert_eq!(rest, "x");
        assert_eq!(comment.unwrap().text, " two ");
    }

    #[test]
    fn numbers_are_those_of_c() {
        for (text, value) in [("42", 42), ("0x2a", 42), ("052", 42), ("0", 0), (" -1", -1)] {
            assert_eq!(number(text), Ok(("", value)), "{text}");
        }
    }

    #[test]
    fn keywords_end_where_names_do() {
        assert!(keyword("int").parse("int x").is_ok());
        assert!(keyword("int").parse("integer x").is_err());
    }

    #[test]
    fn words_of_the_language_are_no_names() {
        assert!(name("a name").parse("string").is_err());
        assert!(name("a name").parse("strings").is_ok());
    }
}
