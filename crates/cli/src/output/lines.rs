//! Figures with their names, as virsh prints them.

use crate::escape::escape;

/// `name:` and value in two columns.
#[derive(Debug, Default)]
pub(crate) struct Lines(String);

impl Lines {
    /// Adds a line; the value is made safe for a terminal.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("{name:<15} {}\n", escape(value)));
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}
