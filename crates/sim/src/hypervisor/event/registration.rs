//! Who wants to hear of what.

use regex_lite::Regex;
use virtwire_protocol::event::{EventId, EventKind, Message, Style, Subject};

use crate::hypervisor::Uuid;

/// A client's wish for events of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    /// What the client gives it up by.
    pub(crate) id: i32,
    /// How the client asked: in the legacy style, its events do not name the registration.
    pub(crate) style: Style,
    /// The kind.
    pub(crate) event: EventId,
    /// The only object that is of interest.
    pub(crate) object: Option<Object>,
    /// Which events of a monitor are of interest.
    pub(crate) filter: Option<MonitorFilter>,
}

/// An object, by what libvirt tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    Uuid(Uuid),
    Name(String),
}

/// Events of a monitor, by their names.
#[derive(Debug, Clone)]
pub(crate) enum MonitorFilter {
    Name(String),
    /// Whatever the case of its letters.
    AnyCase(String),
    /// Wherever in the name it is found.
    Regex(Regex),
}

impl Registration {
    /// What an event for it says of the registration: nothing in the legacy style.
    pub(crate) fn callback(&self) -> Option<i32> {
        match self.style {
            Style::Callback => Some(self.id),
            Style::Legacy => None,
        }
    }

    pub(crate) fn wants(&self, message: &Message<'_>) -> bool {
        let object = self.object.as_ref();
        self.event == message.kind.id()
            && object.is_none_or(|object| object.is(&message.subject))
            && match (&self.filter, &message.kind) {
                (Some(filter), EventKind::QemuMonitor(event)) => filter.matches(&event.name),
                _ => true,
            }
    }
}

impl Object {
    fn is(&self, subject: &Subject<'_>) -> bool {
        match (self, subject) {
            (Self::Uuid(uuid), Subject::Domain(domain)) => *uuid == domain.uuid,
            (Self::Uuid(uuid), Subject::Network(network)) => *uuid == network.uuid,
            (Self::Uuid(uuid), Subject::StoragePool(pool)) => *uuid == pool.uuid,
            (Self::Uuid(uuid), Subject::Secret(secret)) => *uuid == secret.uuid,
            (Self::Name(name), Subject::NodeDevice(device)) => device.name == name.as_str(),
            _ => false,
        }
    }
}

impl MonitorFilter {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::AnyCase(wanted) => name.eq_ignore_ascii_case(wanted),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::RegexBuilder;

    use super::*;

    #[test]
    fn names_are_compared_as_libvirt_compares_them() {
        let case = MonitorFilter::AnyCase(String::from("stop"));
        assert!(case.matches("STOP") && !case.matches("STOPPED"));
        let name = MonitorFilter::Name(String::from("STOP"));
        assert!(name.matches("STOP") && !name.matches("stop"));
        // A regular expression need not match all of it.
        let regex = |pattern| MonitorFilter::Regex(Regex::new(pattern).unwrap());
        assert!(regex("^BLOCK_JOB_(READY|COMPLETED)$").matches("BLOCK_JOB_READY"));
        assert!(regex("JOB").matches("BLOCK_JOB_READY"));
        assert!(!regex("job").matches("BLOCK_JOB_READY"));
        let mut builder = RegexBuilder::new("job");
        let any_case = builder.case_insensitive(true).build().unwrap();
        assert!(MonitorFilter::Regex(any_case).matches("BLOCK_JOB_READY"));
    }
}
