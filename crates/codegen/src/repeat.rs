//! Which calls may be made twice when nobody knows whether the first one was executed: a rule over
//! the annotations, and the exceptions to it that were made by hand.

use std::collections::HashSet;

use crate::SourceFile;
use crate::error::{Error, ErrorKind};
use crate::model::{Model, Procedure, Stream};
use crate::parse::{Annotation, Kind};
use crate::table;

/// The permissions that let a caller look and do nothing else, beside those to search.
const READING: [&str; 5] = ["getattr", "read", "read_secure", "block_read", "mem_read"];

/// Whether the daemon takes a call for one that only reads: it checks a permission, and whatever
/// the call's flags are, none that allows more than reading. A stream is not a matter of one call.
pub(crate) fn only_reads(annotation: &Annotation) -> bool {
    annotation.kind == Kind::Call
        && annotation.stream == Stream::None
        && !annotation.acl.is_empty()
        && annotation.acl.iter().all(|check| is_reading(check))
}

/// Whether a check, as `domain:read` or `domain:read_secure:FLAG`, is for a permission to read.
fn is_reading(check: &str) -> bool {
    let permission = check.split(':').nth(1).unwrap_or_default();
    READING.contains(&permission) || permission.starts_with("search_")
}

/// Applies the table of exceptions; an empty file has none.
///
/// A row that says what the rule says is a mistake, so that the table never tells less than it
/// seems to.
pub(crate) fn review(model: &mut Model, exceptions: &SourceFile) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for row in table::rows::<4>(exceptions)? {
        let [program, word, repeatable, reason] = row.cells;
        let mistake = |column, kind| Err(row.error(exceptions, column, kind));
        if !seen.insert((program, word)) {
            return mistake(1, ErrorKind::DefinedTwice(word.to_owned()));
        }
        let Some(procedure) = find(model, program, word) else {
            return mistake(1, ErrorKind::NoSuchCall(word.to_owned()));
        };
        let repeatable = match repeatable {
            "yes" => true,
            "no" => false,
            _ => return mistake(2, ErrorKind::Expected("`yes` or `no`")),
        };
        if procedure.repeatable == repeatable {
            return mistake(2, ErrorKind::NoException(word.to_owned()));
        }
        if reason.is_empty() {
            return mistake(3, ErrorKind::Expected("a reason"));
        }
        procedure.repeatable = repeatable;
    }
    Ok(())
}

fn find<'m>(model: &'m mut Model, program: &str, word: &str) -> Option<&'m mut Procedure> {
    let mut modules = model.modules.iter_mut();
    let module = modules.find(|module| module.name == program)?;
    let mut calls = module.procedures.iter_mut();
    calls.find(|procedure| procedure.word == word && procedure.kind == Kind::Call)
}
