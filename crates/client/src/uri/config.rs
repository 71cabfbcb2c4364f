//! The client's `libvirt.conf`: `key = value` lines, of which three keys matter here.

use super::{SocketMode, UriError};

/// The settings of the client's configuration file that concern URIs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `uri_default`: the URI to use when none is given.
    pub uri_default: Option<String>,
    /// `uri_aliases`: short names for whole URIs, in order.
    pub uri_aliases: Vec<(String, String)>,
    /// `remote_mode`: the socket mode for URIs that do not say one.
    pub remote_mode: Option<SocketMode>,
}

impl ClientConfig {
    /// Reads the text of a configuration file; unknown keys are skipped.
    ///
    /// # Errors
    ///
    /// Names the line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let mut cursor = Cursor {
            rest: text,
            line: 1,
        };
        let mut config = Self::default();
        while let Some(key) = cursor.key()? {
            let value = cursor.value()?;
            match (key, value) {
                ("uri_default", Value::Text(uri)) => {
                    config.uri_default = Some(uri).filter(|uri| !uri.is_empty());
                }
                ("remote_mode", Value::Text(mode)) => {
                    config.remote_mode = Some(SocketMode::parse(&mode)?);
                }
                ("uri_aliases", Value::List(entries)) => {
                    config.uri_aliases = parse_aliases(&entries, &cursor)?;
                }
                ("uri_default" | "remote_mode", _) => {
                    return Err(cursor.error("the value must be a text in quotes"));
                }
                ("uri_aliases", _) => {
                    return Err(cursor.error("uri_aliases must be a list of texts in brackets"));
                }
                _ => {}
            }
        }
        Ok(config)
    }

    /// Returns the URI that an alias stands for; aliases are not followed further.
    pub(super) fn alias(&self, text: &str) -> Option<&str> {
        let mut aliases = self.uri_aliases.iter();
        aliases
            .find(|(alias, _)| alias == text)
            .map(|(_, uri)| uri.as_str())
    }
}

fn parse_aliases(
    entries: &[String],
    cursor: &Cursor<'_>,
) -> Result<Vec<(String, String)>, UriError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let alias = |entry: &String| {
        let (name, uri) = entry.split_once('=')?;
        name.chars()
            .all(valid)
            .then(|| (name.to_owned(), uri.to_owned()))
    };
    entries
        .iter()
        .map(|entry| alias(entry).ok_or_else(|| cursor.error("an alias looks like \"name=uri\"")))
        .collect()
}

enum Value {
    Text(String),
    Number,
    List(Vec<String>),
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, problem: &'static str) -> UriError {
        UriError::InvalidConfig {
            line: self.line,
            problem,
        }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.advance(text.len());
        }
        found
    }

    /// Skips space, line ends and comments.
    fn skip_blank(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn key(&mut self) -> Result<Option<&'a str>, UriError> {
        self.skip_blank();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        self.take_while(|c| matches!(c, ' ' | '\t'));
        if key.is_empty() || !self.accept("=") {
            return Err(self.error("expected `key = value`"));
        }
        self.take_while(|c| matches!(c, ' ' | '\t'));
        Ok(Some(key))
    }

    fn value(&mut self) -> Result<Value, UriError> {
        if self.accept("[") {
            return self.list().map(Value::List);
        }
        if let Some(text) = self.quoted()? {
            return Ok(Value::Text(text));
        }
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '-');
        if digits.is_empty() {
            return Err(self.error("expected a text in quotes, a number or a list in brackets"));
        }
        Ok(Value::Number)
    }

    fn list(&mut self) -> Result<Vec<String>, UriError> {
        let mut entries = Vec::new();
        loop {
            self.skip_blank();
            if self.accept("]") {
                return Ok(entries);
            }
            match self.quoted()? {
                Some(text) => entries.push(text),
                None => return Err(self.error("expected a text in quotes or the closing bracket")),
            }
            self.skip_blank();
            if !self.accept(",") && !self.rest.starts_with(']') {
                return Err(self.error("expected `,` or the closing bracket"));
            }
        }
    }

    /// Reads a text in one of the three kinds of quotes; there are no escapes in this format.
    fn quoted(&mut self) -> Result<Option<String>, UriError> {
        let Some(quote) = ["\"\"\"", "\"", "'"]
            .into_iter()
            .find(|quote| self.accept(quote))
        else {
            return Ok(None);
        };
        let end = self
            .rest
            .find(quote)
            .ok_or_else(|| self.error("the closing quote is missing"))?;
        let text = self.advance(end).to_owned();
        self.accept(quote);
        Ok(Some(text))
    }
}
