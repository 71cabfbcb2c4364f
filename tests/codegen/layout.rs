//! No number, layout or bound of libvirt 9.0.0 has changed since.
//!
//! Its sources are not part of this repository; `layout-9.0.0.tsv` holds the facts that count, as
//! `virtwire-codegen layout` prints them for a source tree.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use virtwire_codegen::{
    Facts, SourceFile, UPSTREAM_HEADERS, UPSTREAM_PROTOCOL, Upstream, import, layout, release_of,
};

use crate::{read, read_at, sources};

const FINGERPRINT: &str = "tests/codegen/layout-9.0.0.tsv";

/// The variable that names libvirt 9.0.0's source tree; `cargo xtask test` fetches one and sets it.
const SOURCE: &str = "VIRTWIRE_LIBVIRT_9_0_0_SOURCE";

#[test]
fn nothing_of_9_0_0_has_changed() {
    let now = layout(&sources().protocol).unwrap();
    let now: HashSet<&str> = now.lines().collect();
    let then = read(FINGERPRINT);
    let changed: Vec<&str> = then.lines().filter(|line| !now.contains(line)).collect();
    assert!(
        changed.is_empty(),
        "changed since 9.0.0:\n{}",
        changed.join("\n")
    );
}

#[test]
fn fingerprint_has_all_of_9_0_0() {
    let then = read(FINGERPRINT);
    let count = |start: &str| then.lines().filter(|line| line.starts_with(start)).count();
    let procedures = |program: &str| {
        count(&format!("call\t{program}_PROC_")) + count(&format!("event\t{program}_PROC_"))
    };
    let counts = ["REMOTE", "QEMU", "LXC", "ADMIN", "KEEPALIVE"].map(procedures);
    assert_eq!(counts, [443, 7, 1, 19, 2]);
    assert_eq!(count("event\tREMOTE_PROC_"), 51);
    assert_eq!(count("program\t"), 5);
}

#[test]
fn fingerprint_is_what_the_importer_reads_in_9_0_0() {
    let Some(tree) = std::env::var_os(SOURCE) else {
        // Past the capture of test output: a test that did not run must say so.
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "NOT RUN: import of libvirt 9.0.0, since {SOURCE} is not set; `cargo xtask test` sets it"
        )
        .unwrap();
        return;
    };
    let upstream = upstream(Path::new(&tree));
    assert_eq!(upstream.release, "9.0.0");
    let mut facts = Facts::default();
    facts.functions = SourceFile::new("functions.tsv", read("protocol/functions.tsv"));
    facts.constants = SourceFile::new("constants.tsv", read("protocol/constants.tsv"));
    let files = import(&upstream, &facts).unwrap_or_else(|error| panic!("{error}"));
    let files: Vec<SourceFile> = files
        .into_iter()
        .map(|file| SourceFile::new(file.path, file.text))
        .collect();
    assert!(
        layout(&files).unwrap() == read(FINGERPRINT),
        "{FINGERPRINT} is not 9.0.0's layout"
    );
}

fn upstream(tree: &Path) -> Upstream {
    let mut upstream = Upstream::default();
    upstream.release = release_of(&read_at(&tree.join("meson.build"))).unwrap();
    for (name, path) in UPSTREAM_PROTOCOL {
        upstream
            .protocol
            .push(SourceFile::new(name, read_at(&tree.join(path))));
    }
    for path in UPSTREAM_HEADERS {
        upstream
            .headers
            .push(SourceFile::new(path, read_at(&tree.join(path))));
    }
    upstream
}
