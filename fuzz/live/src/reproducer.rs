//! How to make a finding happen again: a file for `--replay`, and a script for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use virtwire_lab::Driver;
use virtwire_protocol::remote;

use crate::finding::{Finding, Kind};
use crate::script::{Action, Callable, Step, to_hex};
use crate::walk::walk;

/// Steps and what they led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproducer {
    /// `test` or `qemu`.
    pub driver: String,
    /// What kind of thing happened.
    pub kind: Kind,
    /// What is the same whenever it happens.
    pub signature: String,
    /// Everything else that was known.
    pub detail: String,
    /// Whether these steps have made it happen again.
    pub reproduced: bool,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Reproducer {
    /// The reproducer of a finding.
    #[must_use]
    pub fn new(driver: Driver, finding: &Finding, steps: Vec<Step>, reproduced: bool) -> Self {
        Self {
            driver: match driver {
                Driver::Qemu => "qemu",
                _ => "test",
            }
            .to_owned(),
            kind: finding.kind,
            signature: finding.signature.clone(),
            detail: finding.detail.clone(),
            reproduced,
            steps,
        }
    }

    /// The driver, if the file names one.
    #[must_use]
    pub fn driver(&self) -> Option<Driver> {
        match self.driver.as_str() {
            "qemu" => Some(Driver::Qemu),
            "test" => Some(Driver::Test),
            _ => None,
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// Writes `NAME.json` and `NAME.sh` into a directory, and says where the first is.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(dir)?;
        let path = dir.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_string_pretty(&self.readable()?)?)?;
        fs::write(dir.join(format!("{name}.sh")), self.script())?;
        Ok(path)
    }

    /// The file, with the arguments of each call as people read them. They are not read back.
    fn readable(&self) -> serde_json::Result<Value> {
        let mut document = serde_json::to_value(self)?;
        let steps = document.get_mut("steps").and_then(Value::as_array_mut);
        for (place, step) in steps.into_iter().flatten().zip(&self.steps) {
            if let (Some(arguments), Some(place)) = (arguments(step), place.as_object_mut()) {
                place.insert("arguments".to_owned(), arguments);
            }
        }
        Ok(document)
    }

    /// The calls as a shell script, one after the other.
    #[must_use]
    pub fn script(&self) -> String {
        let mut text = format!(
            "#!/bin/sh\n# {}: {}\n\
             # Only for a private daemon that may be broken: URI=... sh THIS-FILE\n\
             # Calls are made one after the other, each on a connection of its own.\n",
            self.kind, self.signature
        );
        if self.driver == "test" {
            text.push_str(
                "# The test driver forgets all when its last connection closes: keep one open.\n",
            );
        }
        text.push_str(": \"${URI:?}\"\nv() { virtwire -c \"$URI\" call \"$@\"; }\n");
        for step in &self.steps {
            let _ = writeln!(text, "{}", line(step));
        }
        text
    }
}

fn arguments(step: &Step) -> Option<Value> {
    let Action::Call {
        procedure, payload, ..
    } = &step.action
    else {
        return None;
    };
    walk(procedure.0.args, payload, &mut ()).ok()
}

fn line(step: &Step) -> String {
    let Action::Call {
        procedure, payload, ..
    } = &step.action
    else {
        let text = serde_json::to_string(&step.action).unwrap_or_default();
        return format!(
            "# only by --replay, on connection {}: {text}",
            step.connection
        );
    };
    let name = procedure.0.name;
    match arguments(step) {
        Some(arguments) => {
            let virsh = virsh(*procedure, &arguments);
            let virsh = virsh.map_or(String::new(), |words| format!("  # virsh {words}"));
            match &arguments {
                Value::Null => format!("v {name}{virsh}"),
                _ => format!("v {name} {}{virsh}", quoted(&arguments.to_string())),
            }
        }
        None => format!(
            "# only by --replay: {name} with bytes that are no arguments of it: {}",
            to_hex(payload.get(..64).unwrap_or(payload))
        ),
    }
}

/// What virsh calls it, where that is a word and an object.
fn virsh(callable: Callable, arguments: &Value) -> Option<String> {
    let domain = [
        (Callable::of::<remote::DomainCreate>(), "start"),
        (Callable::of::<remote::DomainDestroy>(), "destroy"),
        (Callable::of::<remote::DomainSuspend>(), "suspend"),
        (Callable::of::<remote::DomainResume>(), "resume"),
        (Callable::of::<remote::DomainShutdown>(), "shutdown"),
        (Callable::of::<remote::DomainReset>(), "reset"),
        (Callable::of::<remote::DomainUndefine>(), "undefine"),
        (Callable::of::<remote::DomainGetInfo>(), "dominfo"),
        (Callable::of::<remote::DomainGetXmlDesc>(), "dumpxml"),
        (Callable::of::<remote::DomainGetJobInfo>(), "domjobinfo"),
        (Callable::of::<remote::DomainAbortJob>(), "domjobabort"),
    ];
    let (_, word) = domain.iter().find(|(known, _)| *known == callable)?;
    let uuid = arguments.get("dom")?.get("uuid")?.as_str()?;
    Some(format!("{word} {uuid}"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Form, Generator};
    use crate::random::Random;
    use crate::script::Packet;
    use crate::vocabulary::Vocabulary;

    fn example() -> Reproducer {
        let generator = Generator::new(Driver::Test);
        let mut random = Random::new(1);
        let mut call = |id, procedure: Callable, form| {
            let words = Vocabulary::default();
            let payload = generator.arguments(procedure, form, &words, &mut random);
            let action = Action::Call {
                procedure,
                payload,
                wait: true,
            };
            let connection = 0;
            Step {
                id,
                connection,
                action,
            }
        };
        let mut steps = vec![
            call(16, Callable::of::<remote::DomainCreate>(), Form::Plain),
            call(17, Callable::of::<remote::StorageVolUpload>(), Form::Plain),
            call(
                18,
                Callable::of::<remote::ConnectGetLibVersion>(),
                Form::Plain,
            ),
        ];
        let packet = Packet::Finish;
        steps.push(Step {
            id: 19,
            connection: 0,
            action: Action::Stream { call: 17, packet },
        });
        let finding = Finding::new(Kind::Crash, "SIGSEGV", "it's gone");
        Reproducer::new(Driver::Test, &finding, steps, true)
    }

    #[test]
    fn a_file_says_the_same_when_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let example = example();
        let path = example.write(dir.path(), "one").unwrap();
        assert_eq!(Reproducer::read(&path).unwrap(), example);
        assert!(fs::read_to_string(&path).unwrap().contains("\"arguments\""));
    }

    #[test]
    fn a_script_has_a_line_for_each_step() {
        let script = example().script();
        assert!(
            script.contains("\nv DOMAIN_CREATE '{\"dom\":{\"name\":"),
            "{script}"
        );
        assert!(script.contains("  # virsh start "), "{script}");
        assert!(script.contains("\nv CONNECT_GET_LIB_VERSION\n"), "{script}");
        assert!(
            script.contains("# only by --replay, on connection 0"),
            "{script}"
        );
    }

    #[test]
    fn quotes_do_not_end_what_they_are_in() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
