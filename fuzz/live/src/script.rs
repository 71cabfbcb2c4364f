//! What is sent to a daemon, step by step: enough to do the same again.

use serde::{Deserialize, Serialize};
use virtwire_protocol::Procedure;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::schema::{ProcedureKind, ProcedureSchema};

/// One thing that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, which is also the serial of a call. No two steps have the same.
    pub id: u32,
    /// The connection, which is opened if it is not open.
    pub connection: usize,
    /// What it is.
    pub action: Action,
}

/// What can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A call.
    Call {
        /// The procedure.
        procedure: Callable,
        /// The encoded arguments, which need not make sense.
        #[serde(with = "hex")]
        payload: Vec<u8>,
        /// Whether the next step waits for the answer.
        wait: bool,
    },
    /// A packet on the stream that a call has opened.
    Stream {
        /// The step that called.
        call: u32,
        /// The packet.
        packet: Packet,
    },
    /// Bytes that are no packet, or none that anybody should send.
    Raw {
        /// The bytes.
        #[serde(with = "hex")]
        bytes: Vec<u8>,
    },
    /// The end of the connection, without a word.
    Hangup,
}

/// A packet on a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packet {
    /// Data.
    Data(#[serde(with = "hex")] Vec<u8>),
    /// A hole of this length.
    Hole(i64),
    /// The good end.
    Finish,
    /// The bad end.
    Abort,
}

/// A procedure that a client can call; in JSON its program and name, as `remote/DOMAIN_CREATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callable(pub &'static ProcedureSchema);

impl Callable {
    /// The procedure of this type.
    ///
    /// # Panics
    ///
    /// Never: the description and the types are generated from the same files.
    #[must_use]
    pub fn of<P: Procedure>() -> Self {
        let found = all().find(|callable| callable.is::<P>());
        match found {
            Some(callable) => callable,
            None => unreachable!("{} is not described", P::NAME),
        }
    }

    /// Whether it is this procedure.
    #[must_use]
    pub fn is<P: Procedure>(self) -> bool {
        self.0.id == P::PROGRAM && self.0.number == P::NUMBER
    }
}

impl Serialize for Callable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.0.program, self.0.name))
    }
}

impl<'de> Deserialize<'de> for Callable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named =
            |callable: &Self| text.split_once('/') == Some((callable.0.program, callable.0.name));
        all()
            .find(named)
            .ok_or_else(|| serde::de::Error::custom(format_args!("no procedure {text}")))
    }
}

/// Every procedure of the programs that a daemon's main socket serves.
pub fn all() -> impl Iterator<Item = Callable> {
    let calls = PROCEDURES
        .iter()
        .filter(|schema| schema.kind == ProcedureKind::Call && schema.program != "admin");
    calls.map(Callable)
}

/// Bytes as hexadecimal digits.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes().chunks(2);
        let bytes = digits.map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        bytes
            .collect::<Option<_>>()
            .ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::remote;

    use super::*;

    #[test]
    fn a_step_survives_its_file() {
        let actions = [
            Action::Call {
                procedure: Callable::of::<remote::DomainCreate>(),
                payload: vec![0, 255],
                wait: true,
            },
            Action::Stream {
                call: 3,
                packet: Packet::Data(vec![1]),
            },
            Action::Stream {
                call: 3,
                packet: Packet::Hole(-1),
            },
            Action::Raw { bytes: vec![9] },
            Action::Hangup,
        ];
        for action in actions {
            let step = Step {
                id: 1,
                connection: 2,
                action,
            };
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        }
    }

    #[test]
    fn every_procedure_is_found_by_its_name() {
        for callable in all() {
            let text = serde_json::to_string(&callable).unwrap();
            assert_eq!(serde_json::from_str::<Callable>(&text).unwrap(), callable);
        }
        assert!(serde_json::from_str::<Callable>("\"remote/NOTHING\"").is_err());
    }
}
