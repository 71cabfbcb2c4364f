//! The generated protocol: fresh, complete, compatible with libvirt 9.0.0, and as documented.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here is the test"
)]

mod documentation;
mod freshness;
mod layout;
mod messages;
mod procedures;
mod repeatable;

use std::fs;
use std::path::{Path, PathBuf};

use virtwire_codegen::{MODULES, SourceFile, Sources};

/// A path from the root of the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(relative)
}

/// The text of a file of the repository.
fn read(relative: &str) -> String {
    read_at(&path(relative))
}

fn read_at(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `protocol/` holds.
fn sources() -> Sources {
    let source = |name: &str| SourceFile::new(name, read(&format!("protocol/{name}")));
    let mut sources = Sources::default();
    sources.protocol = MODULES
        .map(|module| source(&format!("{module}.x")))
        .to_vec();
    sources.constants = source("constants.tsv");
    sources.strings = source("strings.tsv");
    sources.repeatable = source("repeatable.tsv");
    sources
}
