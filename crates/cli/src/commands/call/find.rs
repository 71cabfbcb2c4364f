//! Procedures by name or number.

use virtwire_protocol::generated::schema::PROCEDURES;

use virtwire::schema::ProcedureSchema;

use crate::failure::Failure;

/// How many names are offered where none fits.
const SUGGESTIONS: usize = 6;

/// Finds `NAME`, `PROGRAM:NAME` or `PROGRAM:NUMBER`, without regard to case and with `-` for `_`.
///
/// The admin program has some names in common with the remote one, which is meant where no program
/// is named.
pub(super) fn procedure(text: &str) -> Result<&'static ProcedureSchema, Failure> {
    let (program, name) = match text.split_once(':') {
        Some((program, name)) => (Some(program), name),
        None => (None, text),
    };
    let name = name.replace('-', "_").to_ascii_uppercase();
    let number: Option<i32> = program.and_then(|_| name.parse().ok());
    PROCEDURES
        .iter()
        .filter(|known| program.is_none_or(|program| known.program.eq_ignore_ascii_case(program)))
        .filter(|known| known.name == name || Some(known.number) == number)
        .max_by_key(|known| known.program == "remote")
        .ok_or_else(|| Failure::Usage(unknown(text, &name)))
}

fn unknown(text: &str, name: &str) -> String {
    let words: Vec<_> = name.split('_').filter(|word| word.len() > 1).collect();
    let score = |known: &ProcedureSchema| {
        words
            .iter()
            .filter(|word| known.name.split('_').any(|part| part == **word))
            .count()
    };
    let best = PROCEDURES.iter().map(score).max().unwrap_or_default();
    let similar: Vec<_> = PROCEDURES
        .iter()
        .filter(|known| best > 0 && score(known) == best)
        .map(|known| known.name)
        .take(SUGGESTIONS)
        .collect();
    if similar.is_empty() {
        return format!("no procedure {text}; see `virtwire call --list`");
    }
    format!(
        "no procedure {text}; similar: {}; all: `virtwire call --list`",
        similar.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_find_the_same() {
        let expected = procedure("DOMAIN_GET_INFO").unwrap();
        for text in [
            "domain_get_info",
            "domain-get-info",
            "remote:DOMAIN_GET_INFO",
            "Remote:16",
        ] {
            assert_eq!(procedure(text).unwrap(), expected, "{text}");
        }
        assert_eq!(procedure("qemu:1").unwrap().program, "qemu");
        assert_eq!(procedure("CONNECT_OPEN").unwrap().program, "remote");
        assert_eq!(procedure("admin:CONNECT_OPEN").unwrap().program, "admin");
    }

    #[test]
    fn unknown_names_are_answered_with_similar_ones() {
        let message = |text| procedure(text).unwrap_err().text();
        assert!(message("DOMAIN_GET_INFOS").contains("DOMAIN_GET_"));
        assert!(message("XYZZY").contains("--list"));
        assert!(message("16").contains("no procedure"));
        assert!(message("remote:99999").contains("no procedure"));
    }
}
