//! The annotations of libvirt's own sources: `@key: value` in the comment before a procedure.

use crate::SourceFile;
use crate::ast::Comment;
use crate::error::{Error, ErrorKind};
use crate::model::Stream;
use crate::parse::{Annotation, Kind, Since};

/// Streams that libvirt's annotations leave out or tell only half of: consoles and channels go
/// both ways, and the tunnelled migration with parameters is written by hand in C.
const STREAMS: &[(&str, Stream)] = &[
    ("DOMAIN_OPEN_CONSOLE", Stream::Both),
    ("DOMAIN_OPEN_CHANNEL", Stream::Both),
    ("DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS", Stream::Upload),
];

/// Reads libvirt's annotation of the procedure `word`.
pub(super) fn annotation(
    source: &SourceFile,
    comment: Option<&Comment>,
    word: &str,
    kind: Kind,
    since: Since,
) -> Result<Annotation, Error> {
    let mut annotation = Annotation {
        kind,
        high_priority: false,
        stream: Stream::None,
        sparse_flag: None,
        since,
        acl: Vec::new(),
        acl_filter: Vec::new(),
    };
    if let Some(comment) = comment {
        let wrong = |kind| Error::new(source, comment.at, kind);
        let lines = comment
            .text
            .lines()
            .map(|line| line.trim_start_matches([' ', '*']));
        for entry in lines.filter_map(|line| line.strip_prefix('@')) {
            apply(&mut annotation, entry).map_err(wrong)?;
        }
    }
    if let Some((_, stream)) = STREAMS.iter().find(|(name, _)| *name == word) {
        annotation.stream = *stream;
    }
    Ok(annotation)
}

fn apply(annotation: &mut Annotation, entry: &str) -> Result<(), ErrorKind> {
    let unknown = || ErrorKind::UpstreamAnnotation(entry.to_owned());
    let (key, value) = entry.split_once(':').ok_or_else(unknown)?;
    let value = value.trim();
    match (key, value) {
        // Which C stubs libvirt generates is nothing on the wire.
        ("generate", _) => {}
        ("priority", "high") => annotation.high_priority = true,
        ("priority", "low") => annotation.high_priority = false,
        ("readstream", _) => annotation.stream = Stream::Download,
        ("writestream", _) => annotation.stream = Stream::Upload,
        ("sparseflag", flag) => annotation.sparse_flag = Some(flag.to_owned()),
        ("acl" | "aclfilter", "none") => {}
        ("acl", check) => annotation.acl.push(check.to_owned()),
        ("aclfilter", check) => annotation.acl_filter.push(check.to_owned()),
        _ => return Err(unknown()),
    }
    Ok(())
}
