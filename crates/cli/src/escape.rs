//! Text of others on its way to a terminal.

use std::borrow::Cow;

/// Shows control characters, and those that reorder text, as escapes: a domain's name or an error
/// message must not steer the terminal or look like something else.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_except(text, |_| false)
}

/// As [`escape`], but for text of several lines.
pub(crate) fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_except(text, |c| matches!(c, '\n' | '\t'))
}

fn escape_except(text: &str, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    let unsafe_here = |c: char| is_unsafe(c) && !allowed(c);
    if !text.contains(unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if unsafe_here(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_unsafe(character: char) -> bool {
    let reorders = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || reorders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        assert!(matches!(escape("größe 磁盘 \\ 'x'"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(
            escape("a\u{1b}[31mb\n\u{9b}c\u{202e}d\0"),
            "a\\u{1b}[31mb\\n\\u{9b}c\\u{202e}d\\u{0}"
        );
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(
            escape_lines("<a>\n\t\r\u{7}</a>\n"),
            "<a>\n\t\\r\\u{7}</a>\n"
        );
    }
}
