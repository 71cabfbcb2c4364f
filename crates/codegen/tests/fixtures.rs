//! One folder of `fixtures/` per feature of the grammar and per error message: what goes in and
//! what must come out. `BLESS=1 cargo test -p virtwire-codegen` rewrites what comes out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here is the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use virtwire_codegen::{Error, Facts, OutputFile, SourceFile, Sources, Upstream, generate, import};

#[test]
fn generated_code_is_as_expected() {
    check(
        |case| !is_error(case) && !is_import(case),
        |case| {
            let files = generate(&sources(case)).unwrap_or_else(|error| panic!("{error}"));
            let main = if case.join("input.x").exists() {
                "input.rs"
            } else {
                "constants.rs"
            };
            let mut outputs = vec![("expected.rs", text_of(&files, main))];
            if case.join("expected.schema.rs").exists() {
                outputs.push(("expected.schema.rs", text_of(&files, "schema.rs")));
            }
            outputs
        },
    );
}

#[test]
fn mistakes_are_shown_with_their_place() {
    check(
        |case| is_error(case) && !is_import(case),
        |case| vec![("expected.txt", shown(generate(&sources(case))))],
    );
}

#[test]
fn imported_facts_are_as_expected() {
    check(
        |case| !is_error(case) && is_import(case),
        |case| {
            let files = imported(case).unwrap_or_else(|error| panic!("{error}"));
            vec![("expected.x", text_of(&files, "remote.x"))]
        },
    );
}

#[test]
fn mistakes_in_imports_are_shown_with_their_place() {
    check(
        |case| is_error(case) && is_import(case),
        |case| vec![("expected.txt", shown(imported(case)))],
    );
}

/// Every fixture's outputs against its expectations, all differences in one message.
fn check(wanted: impl Fn(&Path) -> bool, run: impl Fn(&Path) -> Vec<(&'static str, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|case| wanted(case)).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut differences = String::new();
    for case in cases {
        for (name, text) in run(&case) {
            let expected = case.join(name);
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &text).unwrap();
            }
            if fs::read_to_string(&expected).unwrap_or_default() != text {
                differences += &format!("\n--- {} should be ---\n{text}", expected.display());
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{differences}\nBLESS=1 accepts all of this"
    );
}

fn is_error(case: &Path) -> bool {
    name(case).contains("error_")
}

fn is_import(case: &Path) -> bool {
    name(case).starts_with("import_")
}

fn name(case: &Path) -> String {
    case.file_name().unwrap().to_string_lossy().into_owned()
}

fn sources(case: &Path) -> Sources {
    let mut sources = Sources::default();
    if case.join("input.x").exists() {
        sources.protocol.push(source(case, "input.x"));
    }
    sources.constants = source(case, "constants.tsv");
    sources.strings = source(case, "strings.tsv");
    sources.repeatable = source(case, "repeatable.tsv");
    sources
}

fn imported(case: &Path) -> Result<Vec<OutputFile>, Error> {
    let mut upstream = Upstream::default();
    upstream.release = "9.0.0".to_owned();
    let text = source(case, "upstream.x").text;
    upstream.protocol.push(SourceFile::new("remote.x", text));
    upstream.headers.push(source(case, "header.h"));
    let mut facts = Facts::default();
    facts.functions = source(case, "functions.tsv");
    facts.constants = source(case, "constants.tsv");
    facts.later = source(case, "later.x");
    import(&upstream, &facts)
}

/// A file of the case; one that is not there is empty.
fn source(case: &Path, name: &str) -> SourceFile {
    SourceFile::new(
        name,
        fs::read_to_string(case.join(name)).unwrap_or_default(),
    )
}

fn text_of(files: &[OutputFile], path: &str) -> String {
    files
        .iter()
        .find(|file| file.path == path)
        .unwrap()
        .text
        .clone()
}

fn shown<T>(result: Result<T, Error>) -> String {
    format!("{}\n", result.err().expect("a mistake that is not found"))
}
