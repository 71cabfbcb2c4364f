//! A writer that knows how deep it is.

/// Rust text under construction.
#[derive(Debug, Default)]
pub(super) struct Output {
    text: String,
    depth: usize,
}

impl Output {
    /// Writes one line at the current depth.
    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Writes a doc comment.
    pub(super) fn doc(&mut self, line: impl AsRef<str>) {
        self.line(format!("/// {}", line.as_ref()));
    }

    /// Leaves one line empty, unless the last one is.
    pub(super) fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Writes `head {`, the body one level deeper, and `}`.
    pub(super) fn block(&mut self, head: impl AsRef<str>, body: impl FnOnce(&mut Self)) {
        self.wrapped(format!("{} {{", head.as_ref()), "}", body);
    }

    /// Writes a first line, the body one level deeper, and a last line.
    pub(super) fn wrapped(
        &mut self,
        first: impl AsRef<str>,
        last: impl AsRef<str>,
        body: impl FnOnce(&mut Self),
    ) {
        self.line(first);
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line(last);
    }

    /// The text as it is.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The text, without empty lines at its end.
    pub(super) fn finish(mut self) -> String {
        while self.text.ends_with("\n\n") {
            self.text.pop();
        }
        self.text
    }
}

/// A number as Rust style has it: `4_194_304`.
pub(super) fn number(value: impl Into<i64>) -> String {
    let value: i64 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && digits.len() > 4 {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    if value < 0 {
        format!("-{grouped}")
    } else {
        grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(number(4096), "4096");
        assert_eq!(number(65536), "65_536");
        assert_eq!(number(-4_194_304), "-4_194_304");
    }

    #[test]
    fn blocks_nest() {
        let mut out = Output::default();
        out.block("mod a", |out| out.block("mod b", |out| out.line("x")));
        assert_eq!(out.finish(), "mod a {\n    mod b {\n        x\n    }\n}\n");
    }
}
