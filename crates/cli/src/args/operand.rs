//! Operands by name. virsh takes `--domain guest` for `guest`, wherever it stands, and scripts say
//! it so.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use super::Arguments;

/// Puts operands that are given by name in their places among the others.
pub(crate) fn in_place(words: Vec<OsString>) -> Vec<OsString> {
    // Building the definition for nothing would be felt.
    let named = [
        "--domain",
        "--path",
        "--dev",
        "--size",
        "--threshold",
        "--file",
    ];
    let may_be_named = |word: &OsString| {
        let word = word.to_str().map(split);
        word.is_some_and(|(name, _)| named.contains(&name))
    };
    if words.iter().any(may_be_named) {
        reordered(&Arguments::command(), words)
    } else {
        words
    }
}

fn reordered(program: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut command = program;
    let (mut options, mut operands) = (Vec::new(), Vec::new());
    let mut named = BTreeMap::new();
    let mut words = words.into_iter();
    options.extend(words.next());
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default().to_owned();
        let (name, value) = split(&text);
        if name == "--" {
            operands.extend(words.by_ref());
        } else if !name.starts_with('-') || name == "-" {
            match command.find_subcommand(name) {
                Some(found) => {
                    command = found;
                    options.push(word);
                }
                None => operands.push(word),
            }
        } else if let Some(option) = option(program, command, name) {
            options.push(word);
            if value.is_none() && option.get_action().takes_values() {
                options.extend(words.next());
            }
        } else if let Some(place) = place(command, name) {
            let value = value.map(OsString::from).or_else(|| words.next());
            named.extend(value.map(|value| (place, value)));
        } else {
            options.push(word);
        }
    }
    for (place, value) in named {
        operands.insert(place.min(operands.len()), value);
    }
    options.push("--".into());
    options.extend(operands);
    options
}

/// The name of an option, and the value that stands in the same word.
fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) if word.starts_with("--") => (name, Some(value)),
        _ => (word, None),
    }
}

fn option<'a>(program: &'a Command, command: &'a Command, name: &str) -> Option<&'a Arg> {
    let all = command.get_arguments().chain(program.get_arguments());
    let is_named = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        // Several letters in one word end with the one that takes a value, if any does.
        None => arg.get_short() == name.chars().last(),
    };
    all.into_iter().find(is_named)
}

/// The place of an operand of this name among all of the command.
fn place(command: &Command, name: &str) -> Option<usize> {
    let name = name.strip_prefix("--")?;
    let mut operands = command.get_positionals();
    operands.position(|operand| {
        let shown = operand.get_value_names().and_then(|names| names.first());
        shown.is_some_and(|shown| shown.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(line: &str) -> String {
        let words = line.split_whitespace().map(OsString::from).collect();
        let placed = in_place(words).into_iter();
        let placed: Vec<_> = placed.map(|word| word.into_string().unwrap()).collect();
        placed.join(" ")
    }

    #[test]
    fn named_operands_stand_in_their_places() {
        for (line, expected) in [
            ("v domstate guest", "v domstate guest"),
            ("v domstate --domain guest", "v domstate -- guest"),
            (
                "v -c test:/// domstate --domain=guest",
                "v -c test:/// domstate -- guest",
            ),
            (
                "v blockpull --path vda --bandwidth 5 --domain guest --wait",
                "v blockpull --bandwidth 5 --wait -- guest vda",
            ),
            (
                "v blockresize guest --size 1G --path vda",
                "v blockresize -- guest vda 1G",
            ),
            (
                "v blockresize --path vda guest 1G",
                "v blockresize -- guest vda 1G",
            ),
            (
                "v blockcopy guest /copy --path vda",
                "v blockcopy -- guest vda /copy",
            ),
            ("v define --file -", "v define -- -"),
            (
                "v blockjobs --domain guest",
                "v blockjobs --domain guest --",
            ),
            (
                "v event --domain list --all",
                "v event --domain list --all --",
            ),
        ] {
            assert_eq!(placed(line), expected);
        }
    }
}
