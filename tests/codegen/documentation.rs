//! `docs/generated-code.md` shows what is there.

use crate::read;

/// The blocks of one language in a Markdown text.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let start = format!("```{language}\n");
    text.split(&start)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn examples_of_generated_code_are_real() {
    let text = read("docs/generated-code.md");
    for (language, files) in [
        ("c", ["protocol/remote.x", "protocol/keepalive.x"]),
        (
            "rust",
            [
                "crates/protocol/src/generated/remote.rs",
                "crates/protocol/src/generated/constants.rs",
            ],
        ),
    ] {
        let blocks = blocks(&text, language);
        assert!(blocks.len() >= 3, "{language} examples are missing");
        let originals = files.map(read);
        for block in blocks {
            let real = originals.iter().any(|original| original.contains(block));
            assert!(real, "in none of {files:?}:\n{block}");
        }
    }
}
