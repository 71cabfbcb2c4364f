//! Columns as virsh prints them.

use unicode_width::UnicodeWidthStr;

use crate::escape::escape;

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|&name| name.to_owned()).collect();
        Self {
            heading,
            rows: Vec::new(),
        }
    }

    /// Adds a row; every cell is made safe for a terminal.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows
            .push(cells.iter().map(|cell| escape(cell).into_owned()).collect());
    }

    pub(crate) fn render(&self, with_heading: bool) -> String {
        let widths = self.widths(with_heading);
        let mut text = String::new();
        if with_heading {
            push_line(&mut text, &self.heading, &widths);
            // Each column has a space before it and two behind.
            let length = widths.iter().map(|width| width + 3).sum();
            text.push_str(&"-".repeat(length));
            text.push('\n');
        }
        for row in &self.rows {
            push_line(&mut text, row, &widths);
        }
        text
    }

    fn widths(&self, with_heading: bool) -> Vec<usize> {
        let mut widths = vec![0; self.heading.len()];
        let heading = with_heading.then_some(&self.heading);
        for line in self.rows.iter().chain(heading) {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.width().max(*width);
            }
        }
        widths
    }
}

fn push_line(text: &mut String, cells: &[String], widths: &[usize]) {
    let last = cells.len().saturating_sub(1);
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push(' ');
        text.push_str(cell);
        if column != last {
            let padding = width.saturating_sub(cell.width()) + 2;
            text.push_str(&" ".repeat(padding));
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_laid_out_as_virsh_does() {
        let mut table = Table::new(&["Id", "Name", "State"]);
        table.row(&["1", "test", "running"]);
        table.row(&["-", "größe", "shut off"]);
        let expected = " Id   Name    State\n\
                        ------------------------\n \
                         1    test    running\n \
                         -    größe   shut off\n";
        assert_eq!(table.render(true), expected);
        assert_eq!(
            table.render(false),
            " 1   test    running\n -   größe   shut off\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(&["磁盘", "x"]);
        table.row(&["abcd", "y"]);
        assert_eq!(table.render(false), " 磁盘   x\n abcd   y\n");
    }

    #[test]
    fn cells_cannot_break_out() {
        let mut table = Table::new(&["A"]);
        table.row(&["a\nb\u{1b}"]);
        assert_eq!(table.render(false), " a\\nb\\u{1b}\n");
    }
}
