//! The one-line comment before each procedure, in our own format:
//!
//! ```text
//! /* @call priority=low stream=upload sparse=FLAG since=0.9.0 acl=a:b,c:d aclfilter=e:f */
//! /* @event since<=1.2.3 */
//! ```
//!
//! `priority` is `low` when left out, `stream` is from the client's point of view. `since=` is
//! the release that introduced the procedure, `since<=` the first that is known to have it.

use super::lexical::Failure;
use crate::ast::{Comment, Position};
use crate::error::ErrorKind;
use crate::model::{Release, Stream};

/// What an annotation says about a procedure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Annotation {
    pub(crate) kind: Kind,
    pub(crate) high_priority: bool,
    pub(crate) stream: Stream,
    pub(crate) sparse_flag: Option<String>,
    pub(crate) since: Since,
    pub(crate) acl: Vec<String>,
    pub(crate) acl_filter: Vec<String>,
}

/// Whether a procedure is called by the client or sent by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Event,
}

/// When a procedure appeared, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) release: Release,
    pub(crate) exact: bool,
}

pub(super) fn annotation(comment: &Comment) -> Result<Annotation, Failure> {
    let mut words = comment.text.split_whitespace();
    let kind = match words.next() {
        Some("@call") => Kind::Call,
        Some("@event") => Kind::Event,
        _ => return Err(at(comment, "", ErrorKind::Expected("`@call` or `@event`"))),
    };
    let mut annotation = Annotation {
        kind,
        high_priority: false,
        stream: Stream::None,
        sparse_flag: None,
        since: Since {
            release: Release::default(),
            exact: true,
        },
        acl: Vec::new(),
        acl_filter: Vec::new(),
    };
    let mut dated = false;
    for word in words {
        dated |= word.starts_with("since");
        apply(&mut annotation, word).map_err(|kind| at(comment, word, kind))?;
    }
    if dated {
        Ok(annotation)
    } else {
        Err(at(comment, "", ErrorKind::AnnotationSince))
    }
}

/// A failure at `word`, which is a part of the comment's text.
fn at(comment: &Comment, word: &str, kind: ErrorKind) -> Failure {
    let offset = comment.text.find(word).unwrap_or_default();
    Failure {
        at: Position {
            remaining: comment.at.remaining - offset,
        },
        kind,
    }
}

fn apply(annotation: &mut Annotation, word: &str) -> Result<(), ErrorKind> {
    let unknown = || ErrorKind::AnnotationWord(word.to_owned());
    if let Some(release) = word.strip_prefix("since<=") {
        annotation.since = Since {
            release: release.parse()?,
            exact: false,
        };
        return Ok(());
    }
    match word.split_once('=').ok_or_else(unknown)? {
        ("since", release) => {
            annotation.since = Since {
                release: release.parse()?,
                exact: true,
            };
        }
        ("priority", "high") => annotation.high_priority = true,
        ("priority", "low") => annotation.high_priority = false,
        ("stream", direction) => {
            annotation.stream = Stream::from_word(direction).ok_or_else(unknown)?;
        }
        ("sparse", flag) => annotation.sparse_flag = Some(flag.to_owned()),
        ("acl", checks) => annotation.acl = list(checks),
        ("aclfilter", checks) => annotation.acl_filter = list(checks),
        _ => return Err(unknown()),
    }
    Ok(())
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Annotation, ErrorKind> {
        let comment = Comment {
            text: text.to_owned(),
            at: Position {
                remaining: text.len(),
            },
        };
        annotation(&comment).map_err(|failure| failure.kind)
    }

    #[test]
    fn every_word_is_kept() {
        let all =
            "@call priority=high since=0.9.0 stream=both sparse=F acl=a:b,c:d:!E|F aclfilter=e:f";
        let annotation = parsed(all).unwrap();
        assert_eq!(annotation.kind, Kind::Call);
        assert!(annotation.high_priority);
        assert_eq!(annotation.since.release.to_string(), "0.9.0");
        assert_eq!(annotation.stream, Stream::Both);
        assert_eq!(annotation.sparse_flag.as_deref(), Some("F"));
        assert_eq!(annotation.acl, ["a:b", "c:d:!E|F"]);
        assert_eq!(annotation.acl_filter, ["e:f"]);
    }

    #[test]
    fn bound_of_a_release_is_not_exact() {
        assert!(parsed("@event since=1.2.3").unwrap().since.exact);
        assert!(!parsed("@event since<=1.2.3").unwrap().since.exact);
    }

    #[test]
    fn anything_else_is_a_mistake() {
        assert_eq!(parsed("@event"), Err(ErrorKind::AnnotationSince));
        assert_eq!(
            parsed("@call x"),
            Err(ErrorKind::AnnotationWord("x".to_owned()))
        );
        assert_eq!(
            parsed("@call since=1"),
            Err(ErrorKind::Release("1".to_owned()))
        );
    }
}
