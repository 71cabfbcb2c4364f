//! Protocol files, and the tables of constants beside them.

use proc_macro2::TokenStream;
use virtwire_codegen::{SourceFile, Sources, generate};

/// Separates the `.x` file, `constants.tsv` and `strings.tsv` in an input.
const NEXT_FILE: char = '\x0c';

/// A mistake has a place that exists; without one, what comes out is the same every time and made
/// of Rust's tokens.
pub fn check(input: &str) {
    let mut texts = input.splitn(3, NEXT_FILE);
    let mut text = |name: &str| SourceFile::new(name, texts.next().unwrap_or_default());
    let mut sources = Sources::default();
    sources.protocol.push(text("remote.x"));
    sources.constants = text("constants.tsv");
    sources.strings = text("strings.tsv");

    let files = match generate(&sources) {
        Ok(files) => files,
        Err(error) => {
            let file = [&sources.protocol[0], &sources.constants, &sources.strings];
            let exists =
                |file: &&SourceFile| place_exists(&file.text, error.line(), error.column());
            assert!(file.iter().any(exists), "{error}");
            assert!(error.to_string().lines().count() >= 3);
            return;
        }
    };
    for file in &files {
        let tokens: Result<TokenStream, _> = file.text.parse();
        assert!(tokens.is_ok(), "{} is not Rust:\n{}", file.path, file.text);
    }
    assert_eq!(generate(&sources).as_ref(), Ok(&files));
}

/// Whether a text has this line, and the line this column or one less.
fn place_exists(text: &str, line: usize, column: usize) -> bool {
    let found = text.split('\n').nth(line.wrapping_sub(1));
    found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&column))
}
