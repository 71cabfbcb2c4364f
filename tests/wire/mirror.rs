//! Messages written down a second time, for serde-xdr.
//!
//! Where its idea of a type is not XDR's: it numbers the arms of a union from zero, so typed values
//! have an arm that is never used; it takes a fixed array for an array of integers, so a UUID says
//! that it is opaque; and its strings are ASCII.

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Variable-length opaque data, which serde has no derived form for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Data(pub(crate) Vec<u8>);

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Data;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Data, E> {
                Ok(Data(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Domain {
    pub(crate) name: String,
    #[serde(with = "serde_xdr::opaque_data::fixed_length")]
    pub(crate) uuid: [u8; 16],
    pub(crate) id: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) name: String,
    #[serde(with = "serde_xdr::opaque_data::fixed_length")]
    pub(crate) uuid: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum TypedValue {
    Unused,
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(i32),
    String(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TypedParam {
    pub(crate) field: String,
    pub(crate) value: TypedValue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatsRecord {
    pub(crate) dom: Domain,
    pub(crate) params: Vec<TypedParam>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DomainList {
    pub(crate) domains: Vec<Domain>,
    pub(crate) ret: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) domain: i32,
    pub(crate) message: Option<String>,
    pub(crate) level: i32,
    pub(crate) dom: Option<Domain>,
    pub(crate) str1: Option<String>,
    pub(crate) str2: Option<String>,
    pub(crate) str3: Option<String>,
    pub(crate) int1: i32,
    pub(crate) int2: i32,
    pub(crate) net: Option<Network>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DomainInfo {
    pub(crate) state: u8,
    pub(crate) max_mem: u64,
    pub(crate) memory: u64,
    pub(crate) nr_virt_cpu: u16,
    pub(crate) cpu_time: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeInfo {
    pub(crate) kind: i8,
    pub(crate) capacity: u64,
    pub(crate) allocation: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    pub(crate) model: [i8; 32],
    pub(crate) memory: u64,
    pub(crate) rest: [i32; 6],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SaslStart {
    pub(crate) mech: String,
    pub(crate) nil: i32,
    pub(crate) data: Vec<i8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Authentication {
    None,
    Sasl,
    Polkit,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) name: Option<String>,
    pub(crate) flags: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SendKey {
    pub(crate) dom: Domain,
    pub(crate) codeset: u32,
    pub(crate) holdtime: u32,
    pub(crate) keycodes: Vec<u32>,
    pub(crate) flags: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hole {
    pub(crate) length: i64,
    pub(crate) flags: u32,
}
