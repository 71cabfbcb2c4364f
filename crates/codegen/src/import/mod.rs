//! Libvirt's sources to the facts in `protocol/`.
//!
//! What is kept: names, numbers, layouts, bounds, and one annotation line per procedure. What is
//! not: comments, formatting, and everything that only matters to C.

mod headers;
mod later;
mod print;
mod since;
mod upstream;

use headers::Headers;
use since::Calendar;

use crate::ast::{Comment, Definition, EnumDef, File, Position};
use crate::error::Error;
use crate::naming::Prefixes;
use crate::parse::{self, Kind};
use crate::{OutputFile, SourceFile};

/// Our protocol files and where libvirt's source tree has what they are made from.
pub const UPSTREAM_PROTOCOL: [(&str, &str); 6] = [
    ("net.x", "src/rpc/virnetprotocol.x"),
    ("keepalive.x", "src/rpc/virkeepaliveprotocol.x"),
    ("remote.x", "src/remote/remote_protocol.x"),
    ("qemu.x", "src/remote/qemu_protocol.x"),
    ("lxc.x", "src/remote/lxc_protocol.x"),
    ("admin.x", "src/admin/admin_protocol.x"),
];

/// The headers in libvirt's source tree that have constants of the protocol.
pub const UPSTREAM_HEADERS: [&str; 2] = [
    "include/libvirt/libvirt-host.h",
    "include/libvirt/libvirt-common.h.in",
];

/// The release of a libvirt source tree, from its `meson.build`.
pub fn release_of(meson_build: &str) -> Option<String> {
    let (_, rest) = meson_build.split_once("version: '")?;
    let (release, _) = rest.split_once('\'')?;
    Some(release.to_owned())
}

/// Libvirt's sources, as far as they matter.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Upstream {
    /// The release, such as `11.3.0`.
    pub release: String,
    /// The protocol files under our names: `remote.x` for `remote_protocol.x`.
    pub protocol: Vec<SourceFile>,
    /// C headers that define constants which the protocol files use.
    pub headers: Vec<SourceFile>,
}

/// Facts that libvirt's protocol files do not have.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Facts {
    /// `functions.tsv`: public functions and the releases that introduced them.
    pub functions: SourceFile,
    /// `constants.tsv`: the same for constants.
    pub constants: SourceFile,
    /// `later.x`: definitions of releases newer than the sources at hand, in our own format.
    pub later: SourceFile,
}

/// Writes our protocol files from libvirt's.
///
/// # Errors
///
/// The first thing in the sources that is not understood, with its place.
pub fn import(upstream: &Upstream, facts: &Facts) -> Result<Vec<OutputFile>, Error> {
    let calendar = Calendar::read(&upstream.release, facts)?;
    let headers = Headers::new(&upstream.headers);
    let later = parse::file(&facts.later)?;
    let files = upstream.protocol.iter().map(|source| {
        let mut file = parse::file(source)?;
        annotate(source, &mut file, &calendar)?;
        later::append(source, &mut file, &facts.later, &later)?;
        headers.complete(source, &mut file)?;
        let title = format!("{} of libvirt {}", source.name, upstream.release);
        Ok(OutputFile {
            path: source.name.clone(),
            text: print::file(&title, &file),
        })
    });
    files.collect()
}

/// Replaces libvirt's comments before procedures by our annotations.
fn annotate(source: &SourceFile, file: &mut File, calendar: &Calendar) -> Result<(), Error> {
    let prefixes = Prefixes::of(source.module());
    let structs: Vec<String> = file
        .definitions
        .iter()
        .map(|def| def.name().text.clone())
        .collect();
    let Some(procedures) = procedures(file, &prefixes) else {
        return Ok(());
    };
    let words: Vec<String> = procedures
        .members
        .iter()
        .map(|member| prefixes.procedure_word(&member.name.text).to_owned())
        .collect();
    let dates = calendar.dates(source.module(), &words);
    for ((member, word), since) in procedures.members.iter_mut().zip(&words).zip(dates) {
        // A keepalive message has no body, so no struct tells that it is not a call.
        let is_event =
            structs.contains(&prefixes.message(word, "msg")) || source.module() == "keepalive";
        let kind = if is_event { Kind::Event } else { Kind::Call };
        let annotation = upstream::annotation(source, member.comment.as_ref(), word, kind, since)?;
        let text = print::annotation(&annotation);
        member.comment = Some(Comment {
            text,
            at: Position { remaining: 0 },
        });
    }
    Ok(())
}

/// The enum that numbers the procedures.
fn procedures<'f>(file: &'f mut File, prefixes: &Prefixes) -> Option<&'f mut EnumDef> {
    let name = prefixes.procedure_enum();
    file.definitions
        .iter_mut()
        .find_map(|definition| match definition {
            Definition::Enum(def) if def.name.text == name => Some(def),
            _ => None,
        })
}
