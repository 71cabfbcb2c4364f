//! What the command line asks for, done with files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use virtwire_codegen::{
    Facts, MODULES, OutputFile, SourceFile, Sources, UPSTREAM_HEADERS, UPSTREAM_PROTOCOL, Upstream,
    generate, import, layout, release_of,
};

const USAGE: &str = "\
usage: virtwire-codegen import LIBVIRT_SOURCE_DIR [--protocol DIR]
       virtwire-codegen generate [--check] [--protocol DIR] [--out DIR]
       virtwire-codegen layout DIR
layout takes a folder of our protocol files or a libvirt source tree.";

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{USAGE}")]
    Usage,
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot write to the terminal: {0}")]
    Terminal(#[from] io::Error),
    #[error(transparent)]
    Input(#[from] virtwire_codegen::Error),
    #[error("no version in {0}: is this libvirt's source tree?")]
    NoVersion(PathBuf),
    #[error("not what the protocol files generate: {0}\nrun `cargo codegen generate`")]
    Stale(String),
}

type Done = Result<(), CommandError>;

/// Runs the command; `log` hears what was written.
pub(crate) fn run(arguments: &[String], log: &mut impl Write) -> Done {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.ancestors().nth(2).unwrap_or(root);
    let mut protocol = root.join("protocol");
    let mut out = root.join("crates/protocol/src/generated");
    let mut check = false;
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--check" => check = true,
            "--protocol" => protocol = rest.next().ok_or(CommandError::Usage)?.into(),
            "--out" => out = rest.next().ok_or(CommandError::Usage)?.into(),
            word => words.push(word),
        }
    }
    match words.as_slice() {
        ["import", source] => {
            let files = import(&upstream(Path::new(source))?, &facts(&protocol)?)?;
            write_all(&protocol, &files, log)
        }
        ["generate"] if check => compare(&out, &generate(&sources(&protocol)?)?),
        ["generate"] => write_all(&out, &generate(&sources(&protocol)?)?, log),
        ["layout", source] => show_layout(Path::new(source), &protocol),
        _ => Err(CommandError::Usage),
    }
}

/// Prints the layout of our protocol files, or of a libvirt release as it is.
fn show_layout(source: &Path, protocol: &Path) -> Done {
    let files = if source.join("meson.build").exists() {
        let mut facts = facts(protocol)?;
        facts.later.text.clear();
        let files = import(&upstream(source)?, &facts)?.into_iter();
        files
            .map(|file| SourceFile::new(file.path, file.text))
            .collect()
    } else {
        sources(source)?.protocol
    };
    Ok(io::stdout().lock().write_all(layout(&files)?.as_bytes())?)
}

/// What `protocol/` holds, for the generator.
fn sources(protocol: &Path) -> Result<Sources, CommandError> {
    let mut sources = Sources::default();
    for module in MODULES {
        sources
            .protocol
            .push(read(protocol, &format!("{module}.x"))?);
    }
    sources.constants = read(protocol, "constants.tsv")?;
    sources.strings = read(protocol, "strings.tsv")?;
    sources.repeatable = read(protocol, "repeatable.tsv")?;
    Ok(sources)
}

/// What the importer needs of a libvirt source tree.
fn upstream(source: &Path) -> Result<Upstream, CommandError> {
    let mut upstream = Upstream::default();
    let build = read(source, "meson.build")?;
    upstream.release = release_of(&build.text)
        .ok_or_else(|| CommandError::NoVersion(source.join("meson.build")))?;
    for (name, path) in UPSTREAM_PROTOCOL {
        upstream
            .protocol
            .push(SourceFile::new(name, read(source, path)?.text));
    }
    for path in UPSTREAM_HEADERS {
        upstream.headers.push(read(source, path)?);
    }
    Ok(upstream)
}

/// What the importer needs of our own tables.
fn facts(protocol: &Path) -> Result<Facts, CommandError> {
    let mut facts = Facts::default();
    facts.functions = read(protocol, "functions.tsv")?;
    facts.constants = read(protocol, "constants.tsv")?;
    facts.later = read(protocol, "later.x")?;
    Ok(facts)
}

fn read(folder: &Path, name: &str) -> Result<SourceFile, CommandError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(SourceFile::new(name, text)),
        Err(source) => Err(CommandError::File { path, source }),
    }
}

/// Writes the files that differ from what is there.
fn write_all(folder: &Path, files: &[OutputFile], log: &mut impl Write) -> Done {
    for file in files {
        let path = folder.join(&file.path);
        if fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
            continue;
        }
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &file.text));
        written.map_err(|source| CommandError::File {
            path: path.clone(),
            source,
        })?;
        writeln!(log, "wrote {}", path.display())?;
    }
    Ok(())
}

/// Fails with the names of the files that differ.
fn compare(folder: &Path, files: &[OutputFile]) -> Done {
    let stale: Vec<&str> = files
        .iter()
        .filter(|file| {
            let there = fs::read_to_string(folder.join(&file.path));
            !there.is_ok_and(|text| text == file.text)
        })
        .map(|file| file.path.as_str())
        .collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Stale(stale.join(", ")))
    }
}
