//! Why a command could not do what it was asked.

use std::error::Error as _;
use std::io;

use serde_json::{Value, json};
use virtwire::event::EventError;

use crate::escape::escape;

/// The exit status of a command that failed.
const FAILED: u8 = 1;

/// The exit status of a command that was used wrongly, which is also clap's.
const MISUSED: u8 = 2;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command makes no sense as it was given.
    Usage(String),
    /// A call failed.
    Client {
        /// What was being done, where the error alone does not say.
        doing: Option<String>,
        error: Box<virtwire::Error>,
    },
    /// No more events can come.
    Events(EventError),
    /// A file or stream could not be used.
    Io { doing: String, error: io::Error },
    /// What was asked for is not there.
    Absent(String),
    /// The daemon answered something that cannot be shown.
    Reply(String),
}

impl Failure {
    pub(crate) fn io(doing: impl Into<String>, error: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            error,
        }
    }

    /// Says what was being done when `error` came.
    pub(crate) fn doing(doing: impl Into<String>) -> impl FnOnce(virtwire::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Client {
            doing: Some(doing),
            error: Box::new(error),
        }
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => MISUSED,
            Self::Client { .. }
            | Self::Events(_)
            | Self::Io { .. }
            | Self::Absent(_)
            | Self::Reply(_) => FAILED,
        }
    }

    /// Whether the reader of our output has gone, which is its good right.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// One line for people, safe for a terminal.
    pub(crate) fn text(&self) -> String {
        let text = match self {
            Self::Usage(message) | Self::Absent(message) | Self::Reply(message) => message.clone(),
            Self::Io { doing, error } => format!("{doing}: {error}"),
            Self::Events(error) => error.to_string(),
            Self::Client { doing, error } => {
                let message = client_message(error);
                match doing {
                    Some(doing) => format!("{doing}: {message}"),
                    None => message,
                }
            }
        };
        escape(&text).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        let Self::Client { doing, error } = self else {
            let kind = match self {
                Self::Usage(_) => "usage",
                Self::Io { .. } => "io",
                Self::Absent(_) => "absent",
                Self::Events(EventError::Refused(_)) => "remote",
                Self::Events(EventError::Failed(_)) => "protocol",
                Self::Events(_) => "closed",
                _ => "protocol",
            };
            return json!({ "error": { "kind": kind, "message": self.text() } });
        };
        let mut object = json!({
            "kind": snake_case(&format!("{:?}", error.kind())),
            "message": error_message(error),
            "doing": doing,
            "procedure": error.procedure(),
            "object": error.object(),
            "execution": error.execution().map(|execution| snake_case(&format!("{execution:?}"))),
        });
        if let (Some(remote), Some(fields)) = (error.remote(), object.as_object_mut()) {
            fields.insert("code".to_owned(), remote.code.0.into());
            fields.insert("code_name".to_owned(), remote.code.name().into());
            fields.insert("domain".to_owned(), remote.domain.0.into());
            fields.insert("domain_name".to_owned(), remote.domain.name().into());
            fields.insert("level".to_owned(), remote.level.0.into());
        }
        json!({ "error": object })
    }
}

impl From<virtwire::Error> for Failure {
    fn from(error: virtwire::Error) -> Self {
        Self::Client {
            doing: None,
            error: Box::new(error),
        }
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self::Events(error)
    }
}

/// libvirt's message with the code's name and number, or what this side knows with its causes.
fn client_message(error: &virtwire::Error) -> String {
    let message = error_message(error);
    match error.remote() {
        Some(remote) => {
            let name = remote.code.name().unwrap_or("unknown");
            format!("{message} ({name}, code {})", remote.code.0)
        }
        None => message,
    }
}

/// The name of a kind for programs: `InvalidInput` is `invalid_input`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn error_message(error: &virtwire::Error) -> String {
    if let Some(remote) = error.remote() {
        return remote
            .message
            .clone()
            .unwrap_or_else(|| "no message".to_owned());
    }
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_steer_a_terminal() {
        let failure = Failure::Usage("no \u{1b}[2J".to_owned());
        assert_eq!(failure.text(), "no \\u{1b}[2J");
    }

    #[test]
    fn kinds_are_in_snake_case() {
        assert_eq!(snake_case("InvalidInput"), "invalid_input");
        assert_eq!(snake_case("Remote"), "remote");
    }

    #[test]
    fn usage_has_a_status_of_its_own() {
        assert_eq!(Failure::Usage(String::new()).exit_status(), 2);
        let pipe = Failure::io("x", io::ErrorKind::BrokenPipe.into());
        assert!(pipe.is_broken_pipe() && pipe.exit_status() == 1);
    }
}
