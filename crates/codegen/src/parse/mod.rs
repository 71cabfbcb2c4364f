//! Text to [`ast`](crate::ast): the XDR language of RFC 4506 §6 as libvirt writes it.
//!
//! One module per level of the grammar; each parser eats the blank space before its own token.

mod annotation;
mod declaration;
mod definition;
mod lexical;

use nom::multi::many0;
use nom::{Finish, Parser};

pub(crate) use annotation::{Annotation, Kind, Since};

use crate::SourceFile;
use crate::ast::{Comment, File};
use crate::error::Error;

/// Parses a whole protocol file.
pub(crate) fn file(source: &SourceFile) -> Result<File, Error> {
    many0(definition::definition)
        .and(lexical::end)
        .parse(&source.text)
        .finish()
        .map(|(_, (definitions, ()))| File { definitions })
        .map_err(|failure| Error::new(source, failure.at, failure.kind))
}

/// Parses the comment before a procedure.
pub(crate) fn annotation(source: &SourceFile, comment: &Comment) -> Result<Annotation, Error> {
    annotation::annotation(comment).map_err(|failure| Error::new(source, failure.at, failure.kind))
}
