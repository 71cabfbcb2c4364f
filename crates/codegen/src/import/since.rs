//! When a procedure appeared.
//!
//! Libvirt does not say that of procedures, but it does of public functions and event IDs. In this
//! order:
//!
//! 1. the public function that the procedure serves, which has its name (or is in [`SERVES`]);
//! 2. for an event, its event ID; but a `…_CALLBACK_…` message beside an older message for the
//!    same ID is younger than the ID;
//! 3. else an upper bound. Numbers are handed out in order and never reused, so the procedure is
//!    not younger than the next one that has a date; nor, if there is none, than the release it
//!    was read from.

use std::collections::HashMap;

use super::Facts;
use crate::SourceFile;
use crate::ast::Position;
use crate::error::{Error, ErrorKind};
use crate::model::Release;
use crate::parse::Since;
use crate::table;

/// Procedures and messages that serve a public function of another name.
const SERVES: &[(&str, &str, &str)] = &[
    ("keepalive", "PING", "virConnectSetKeepAlive"),
    ("keepalive", "PONG", "virConnectSetKeepAlive"),
    // The function had another name before 0.5.0.
    ("remote", "DOMAIN_CREATE_XML", "virDomainCreateLinux"),
    (
        "remote",
        "DOMAIN_EVENT_LIFECYCLE",
        "virConnectDomainEventRegister",
    ),
    (
        "qemu",
        "DOMAIN_MONITOR_EVENT",
        "virConnectDomainQemuMonitorEventRegister",
    ),
];

/// The releases of everything public.
#[derive(Debug)]
pub(super) struct Calendar {
    /// By name in lower case, since a procedure's name does not tell the case.
    functions: HashMap<String, Release>,
    constants: HashMap<String, Release>,
    imported: Release,
}

impl Calendar {
    pub(super) fn read(imported: &str, facts: &Facts) -> Result<Self, Error> {
        let functions = table::rows::<4>(&facts.functions)?;
        let functions = functions.iter().map(|row| {
            let [_, _, name, since] = row.cells;
            let since = since
                .parse()
                .map_err(|kind| row.error(&facts.functions, 3, kind))?;
            Ok((name.to_lowercase(), since))
        });
        let constants = table::rows::<6>(&facts.constants)?;
        let constants = constants.iter().map(|row| {
            let [_, _, _, name, _, since] = row.cells;
            let since = since
                .parse()
                .map_err(|kind| row.error(&facts.constants, 5, kind))?;
            Ok((name.to_owned(), since))
        });
        Ok(Self {
            functions: functions.collect::<Result<_, Error>>()?,
            constants: constants.collect::<Result<_, Error>>()?,
            imported: release(imported)?,
        })
    }

    /// The dates of a program's procedures, given in the order of their numbers.
    pub(super) fn dates(&self, module: &str, words: &[String]) -> Vec<Since> {
        let known: Vec<Option<Release>> = words
            .iter()
            .map(|word| {
                self.function(module, word)
                    .or_else(|| self.event(word, words))
            })
            .collect();
        let date = |(index, known_date): (usize, &Option<Release>)| match known_date {
            Some(release) => Since {
                release: *release,
                exact: true,
            },
            None => {
                let (before, after) = known.split_at(index);
                Since {
                    release: self.bound(before, after),
                    exact: false,
                }
            }
        };
        known.iter().enumerate().map(date).collect()
    }

    /// The function that a procedure serves: of `qemu` and `lxc` the program's name comes behind
    /// the word `Domain`.
    fn function(&self, module: &str, word: &str) -> Option<Release> {
        let served = SERVES
            .iter()
            .find(|(of, name, _)| *of == module && *name == word);
        let name = match served {
            Some((_, _, function)) => function.to_lowercase(),
            None => {
                let name = word.replace('_', "").to_lowercase();
                match module {
                    "admin" => format!("viradm{name}"),
                    "remote" => format!("vir{name}"),
                    _ => format!(
                        "vir{}",
                        name.replacen("domain", &format!("domain{module}"), 1)
                    ),
                }
            }
        };
        self.functions.get(&name).copied()
    }

    /// `DOMAIN_EVENT_CALLBACK_TUNABLE` has the date of `VIR_DOMAIN_EVENT_ID_TUNABLE`.
    fn event(&self, word: &str, words: &[String]) -> Option<Release> {
        let (object, event) = word.split_once("_EVENT_")?;
        let event = match event.strip_prefix("CALLBACK_") {
            Some(event) if words.contains(&format!("{object}_EVENT_{event}")) => return None,
            Some(event) => event,
            None => event,
        };
        self.constants
            .get(&format!("VIR_{object}_EVENT_ID_{event}"))
            .copied()
    }

    /// The first date in `after` that is not older than all in `before`: an older one belongs to
    /// a function that had no procedure for some time.
    fn bound(&self, before: &[Option<Release>], after: &[Option<Release>]) -> Release {
        let youngest_before = before.iter().flatten().max().copied().unwrap_or_default();
        let next = after
            .iter()
            .flatten()
            .find(|release| **release >= youngest_before);
        next.copied().unwrap_or(self.imported)
    }
}

fn release(text: &str) -> Result<Release, Error> {
    let name = SourceFile::new("release of the sources", text);
    text.parse()
        .map_err(|kind: ErrorKind| Error::new(&name, Position::of(text), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTIONS: &str = "api\theader\tname\tsince\n\
        libvirt\th\tvirThingGetXMLDesc\t0.5.0\n\
        libvirt\th\tvirDomainQemuAttach\t0.9.4\n\
        libvirt\th\tvirThingOld\t0.1.0\n\
        libvirt\th\tvirThingNew\t2.0.0\n";
    const CONSTANTS: &str = "api\theader\ttype\tname\tvalue\tsince\n\
        libvirt\th\tvirThingEventID\tVIR_THING_EVENT_ID_MOVED\t0\t0.8.0\n\
        libvirt\th\tvirThingEventID\tVIR_THING_EVENT_ID_TURNED\t1\t1.2.9\n";

    fn dates(module: &str, words: &[&str]) -> Vec<String> {
        let facts = Facts {
            functions: SourceFile::new("functions.tsv", FUNCTIONS),
            constants: SourceFile::new("constants.tsv", CONSTANTS),
            later: SourceFile::default(),
        };
        let calendar = Calendar::read("11.3.0", &facts).unwrap();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let dates = calendar.dates(module, &words).into_iter();
        dates
            .map(|since| format!("{}{}", if since.exact { "=" } else { "<=" }, since.release))
            .collect()
    }

    #[test]
    fn functions_date_their_procedures() {
        assert_eq!(dates("remote", &["THING_GET_XML_DESC"]), ["=0.5.0"]);
        assert_eq!(dates("qemu", &["DOMAIN_ATTACH"]), ["=0.9.4"]);
    }

    #[test]
    fn event_ids_date_their_first_message() {
        let words = [
            "THING_EVENT_MOVED",
            "THING_EVENT_CALLBACK_MOVED",
            "THING_EVENT_CALLBACK_TURNED",
        ];
        assert_eq!(dates("remote", &words), ["=0.8.0", "<=1.2.9", "=1.2.9"]);
    }

    #[test]
    fn next_date_that_is_not_out_of_order_bounds_the_undated() {
        let words = [
            "THING_GET_XML_DESC",
            "INTERNAL",
            "THING_OLD",
            "THING_NEW",
            "LAST",
        ];
        let expected = ["=0.5.0", "<=2.0.0", "=0.1.0", "=2.0.0", "<=11.3.0"];
        assert_eq!(dates("remote", &words), expected);
    }
}
