//! Seeds that are texts, from the project's own files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::input::{Fields, Seed};

/// Longer protocol files say the same over and over.
const MAX_LEN: usize = 8 << 10;

pub(crate) fn seeds() -> Result<Vec<Seed>, Box<dyn Error>> {
    let mut seeds = uris()?;
    seeds.extend(domains()?);
    seeds.extend(protocol_files()?);
    Ok(seeds)
}

/// The texts of the URI parser's tests.
fn uris() -> Result<Vec<Seed>, Box<dyn Error>> {
    let tests = fs::read_to_string(project().join("crates/client/src/uri/tests.rs"))?;
    let texts = tests.split('"').filter(|text| {
        let is_one = text.contains(":/") || text.contains(" = ");
        is_one && !text.contains(['\n', ';', '{'])
    });
    Ok(numbered("uri", texts).collect())
}

/// The XML of the tests of its reader.
fn domains() -> Result<Vec<Seed>, Box<dyn Error>> {
    let mut texts = Vec::new();
    for file in [
        "crates/client/src/domain/xml/tests.rs",
        "tests/wire/virsh.rs",
    ] {
        let tests = fs::read_to_string(project().join(file))?;
        let starts = tests.match_indices("<domain").map(|(start, _)| start);
        for start in starts {
            let end = tests[start..].find("</domain>").map(|end| start + end + 9);
            texts.extend(end.map(|end| tests[start..end].to_owned()));
        }
    }
    Ok(numbered("domain_xml", texts.iter().map(String::as_str)).collect())
}

/// The fixtures of the generator, and the shorter ones of the real files.
fn protocol_files() -> Result<Vec<Seed>, Box<dyn Error>> {
    let mut seeds = Vec::new();
    for entry in fs::read_dir(project().join("crates/codegen/tests/fixtures"))? {
        let case = entry?.path();
        let read = |name| fs::read_to_string(case.join(name)).unwrap_or_default();
        let files = ["input.x", "constants.tsv", "strings.tsv"].map(read);
        if files.iter().any(|text| !text.is_empty()) {
            let name = case.file_name().unwrap_or_default().to_string_lossy();
            let text = files.join("\x0c");
            seeds.push(
                Fields::default()
                    .rest(text.as_bytes())
                    .seed("x_source", name),
            );
        }
    }
    for entry in fs::read_dir(project().join("protocol"))? {
        let path = entry?.path();
        let text = fs::read(&path)?;
        if path.extension().is_some_and(|x| x == "x") && text.len() <= MAX_LEN {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            seeds.push(Fields::default().rest(&text).seed("x_source", name));
        }
    }
    Ok(seeds)
}

fn numbered<'a>(
    target: &'static str,
    texts: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = Seed> {
    texts.enumerate().map(move |(number, text)| {
        let fields = Fields::default().rest(text.as_bytes());
        fields.seed(target, format!("{target}-{number:03}"))
    })
}

fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
