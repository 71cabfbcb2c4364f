//! Where the table goes: over itself on a terminal, one behind the other elsewhere.

use std::io::{self, IsTerminal};

use console::Term;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::rows::Rows;
use crate::failure::Failure;
use crate::output::Output;

pub(super) struct Screen {
    output: Output,
    form: Form,
}

enum Form {
    /// Objects for programs, of what has changed.
    Objects,
    /// A terminal, with what it shows of ours.
    Terminal(Term, String),
    /// Whole tables, with the last one, which need not be said again.
    Tables(String),
}

impl Screen {
    pub(super) fn new(output: Output) -> Self {
        let form = if output.is_json() {
            Form::Objects
        } else if io::stdout().is_terminal() {
            Form::Terminal(Term::stdout(), String::new())
        } else {
            Form::Tables(String::new())
        };
        Self { output, form }
    }

    pub(super) async fn show(&mut self, rows: &mut Rows) -> Result<(), Failure> {
        match &mut self.form {
            Form::Objects => {
                let lines: String = rows.changes().iter().map(line).collect();
                self.output.lines(&lines).await
            }
            Form::Terminal(term, last) => {
                let (height, width) = term.size();
                let table = rows.table().render(true);
                let shown = clipped(&table, usize::from(height), usize::from(width));
                if shown == *last {
                    return Ok(());
                }
                let text = match last.lines().count() {
                    0 => shown.clone(),
                    // Up to where ours begin, and away with them.
                    lines => format!("\x1b[{lines}A\x1b[J{shown}"),
                };
                *last = shown;
                self.output.lines(&text).await
            }
            Form::Tables(last) => {
                let table = rows.table().render(!self.output.is_quiet());
                if table == *last {
                    return Ok(());
                }
                let text = if last.is_empty() {
                    table.clone()
                } else {
                    format!("\n{table}")
                };
                *last = table;
                self.output.lines(&text).await
            }
        }
    }
}

fn line(document: &Value) -> String {
    format!("{document}\n")
}

/// As much of a table as fits: a line that wraps, or is pushed out, cannot be overwritten.
fn clipped(table: &str, height: usize, width: usize) -> String {
    let room = height.saturating_sub(2).max(3);
    let count = table.lines().count();
    let mut text = String::with_capacity(table.len());
    for line in table.lines().take(room) {
        text.push_str(&cut(line, width.saturating_sub(1)));
        text.push('\n');
    }
    if let Some(more) = count.checked_sub(room).filter(|&more| more > 0) {
        text.push_str(&format!(" … and {more} more\n"));
    }
    text
}

/// The beginning of a line, so many columns of it at most.
fn cut(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = line.chars().take_while(|character| {
        let width = character.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    });
    fits.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_to_the_terminal() {
        let table = " Domain\n-------\n one\n two\n three\n four\n";
        assert_eq!(clipped(table, 24, 80), table);
        assert_eq!(
            clipped(table, 6, 5),
            " Do…\n---…\n one\n two\n … and 2 more\n"
        );
    }
}
