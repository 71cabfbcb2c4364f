//! From libvirt's protocol files to the Rust of `virtwire-protocol`.
//!
//! Two steps, both pure functions from texts to texts; only the `virtwire-codegen` command touches
//! files.
//!
//! - [`import()`] reads libvirt's sources and writes the facts in them to our `protocol/`;
//! - [`generate`] reads `protocol/` and writes `crates/protocol/src/generated/`.
//!
//! ```
//! use virtwire_codegen::{SourceFile, Sources, generate};
//!
//! let mut sources = Sources::default();
//! sources.protocol.push(SourceFile::new("demo.x", "struct demo_point { int x; int y; };"));
//! let files = generate(&sources)?;
//! assert!(files.iter().any(|file| file.text.contains("pub struct Point {")));
//! # Ok::<(), virtwire_codegen::Error>(())
//! ```

mod ast;
mod emit;
mod error;
mod import;
mod layout;
mod model;
mod naming;
mod parse;
mod repeat;
mod resolve;
mod table;

pub use error::{Error, ErrorKind};
pub use import::{Facts, UPSTREAM_HEADERS, UPSTREAM_PROTOCOL, Upstream, import, release_of};
pub use layout::layout;

/// The modules of the protocol, in the order in which they are read and written.
pub const MODULES: [&str; 6] = ["net", "keepalive", "remote", "qemu", "lxc", "admin"];

/// An input file: its name, for messages, and its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// The name, such as `remote.x`; its stem is the name of the module.
    pub name: String,
    /// The contents.
    pub text: String,
}

impl SourceFile {
    /// A file with this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// `remote` for `remote.x`.
    fn module(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// What `protocol/` holds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sources {
    /// The `.x` files; each may use the names of the others.
    pub protocol: Vec<SourceFile>,
    /// `constants.tsv`: public enums and flags.
    pub constants: SourceFile,
    /// `strings.tsv`: public string constants.
    pub strings: SourceFile,
    /// `repeatable.tsv`: exceptions to the rule about which calls may be repeated.
    pub repeatable: SourceFile,
}

/// A file that was made in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputFile {
    /// The path below the output folder.
    pub path: String,
    /// The contents.
    pub text: String,
}

/// Makes the Rust source of all modules.
///
/// # Errors
///
/// The first mistake in the sources, with its place.
pub fn generate(sources: &Sources) -> Result<Vec<OutputFile>, Error> {
    let mut model = resolved(&sources.protocol)?;
    repeat::review(&mut model, &sources.repeatable)?;
    let public = table::public(&sources.constants, &sources.strings)?;
    Ok(emit::files(&model, &public))
}

/// Parses and resolves protocol files.
fn resolved(protocol: &[SourceFile]) -> Result<model::Model, Error> {
    let inputs = protocol.iter().map(|source| {
        let file = parse::file(source)?;
        Ok(resolve::Input { source, file })
    });
    let inputs: Vec<_> = inputs.collect::<Result<_, Error>>()?;
    resolve::resolve(&inputs)
}
