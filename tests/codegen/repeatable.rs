//! Which calls may be made again after a lost connection: each of them was looked at by hand.

use std::fs;

use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::schema::ProcedureKind;

use crate::{path, read};

/// One line for each call that may be repeated. A line that comes or goes is to be reviewed: does
/// the procedure change anything, with whatever arguments? `BLESS=1` writes the file.
const REVIEWED: &str = "tests/codegen/repeatable.txt";

#[test]
fn repeatable_calls_are_those_that_were_reviewed() {
    let repeatable = PROCEDURES.iter().filter(|procedure| procedure.repeatable);
    let lines: Vec<String> = repeatable
        .map(|procedure| format!("{} {}\n", procedure.program, procedure.name))
        .collect();
    let now = lines.concat();
    if std::env::var_os("BLESS").is_some() {
        fs::write(path(REVIEWED), &now).unwrap();
    }
    let reviewed = read(REVIEWED);
    let not_in = |line: &&str, text: &str| !text.lines().any(|other| other == *line);
    let added: Vec<&str> = now.lines().filter(|line| not_in(line, &reviewed)).collect();
    let removed: Vec<&str> = reviewed.lines().filter(|line| not_in(line, &now)).collect();
    assert_eq!((added, removed), (vec![], vec![]), "review {REVIEWED}");
}

#[test]
fn what_is_repeated_is_a_call_without_a_stream() {
    for procedure in PROCEDURES.iter().filter(|procedure| procedure.repeatable) {
        assert_eq!(procedure.kind, ProcedureKind::Call, "{}", procedure.name);
        assert!(!procedure.stream.is_stream(), "{}", procedure.name);
    }
}

/// Names say what a procedure does; none of these words is about looking.
#[test]
fn nothing_whose_name_says_that_it_acts_is_repeated() {
    const ACTING: [&str; 36] = [
        "ABORT",
        "ADD",
        "ALLOC",
        "ATTACH",
        "AUTH",
        "BEGIN",
        "BUILD",
        "CANCEL",
        "CLOSE",
        "COMMAND",
        "COMMIT",
        "COPY",
        "CREATE",
        "DEFINE",
        "DEL",
        "DELETE",
        "DEREGISTER",
        "DESTROY",
        "DETACH",
        "OPEN",
        "PREPARE",
        "REFRESH",
        "REGISTER",
        "REMOVE",
        "RENAME",
        "RESET",
        "RESIZE",
        "RESTORE",
        "RESUME",
        "SAVE",
        "SEND",
        "SET",
        "START",
        "UNDEFINE",
        "UPDATE",
        "WIPE",
    ];
    for procedure in PROCEDURES.iter().filter(|procedure| procedure.repeatable) {
        let acting = procedure.name.split('_').find(|word| ACTING.contains(word));
        // These two look at what saving a domain has left.
        let saved = procedure.name.contains("MANAGED_SAVE");
        assert!(acting.is_none() || saved, "{}", procedure.name);
    }
}
