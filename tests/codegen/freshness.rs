//! What is checked in is what the generator makes; `BLESS=1` writes it.

use std::collections::BTreeSet;
use std::fs;

use virtwire_codegen::generate;

use crate::{path, sources};

const GENERATED: &str = "crates/protocol/src/generated";

#[test]
fn checked_in_code_is_what_the_generator_makes() {
    let files = generate(&sources()).unwrap_or_else(|error| panic!("{error}"));
    let mut stale = Vec::new();
    for file in &files {
        let place = path(GENERATED).join(&file.path);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&place, &file.text).unwrap();
        }
        if fs::read_to_string(&place).unwrap_or_default() != file.text {
            stale.push(&file.path);
        }
    }
    assert!(
        stale.is_empty(),
        "stale: {stale:?}; `cargo codegen generate` writes them anew"
    );
}

#[test]
fn generated_folder_has_no_other_files() {
    let made = generate(&sources())
        .unwrap()
        .into_iter()
        .map(|file| file.path);
    let entries = fs::read_dir(path(GENERATED))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let there = entries.map(|name| name.to_string_lossy().into_owned());
    assert_eq!(
        there.collect::<BTreeSet<_>>(),
        made.collect::<BTreeSet<_>>()
    );
}

#[test]
fn generating_twice_gives_the_same() {
    assert_eq!(generate(&sources()).unwrap(), generate(&sources()).unwrap());
}
