//! One value after the other.

use bytes::BytesMut;
use virtwire_protocol::constants::TypedParameterType;
use virtwire_protocol::schema::{StructSchema, TypeSchema, UnionSchema};
use virtwire_xdr::Writer;

use super::Generator;
use crate::random::Random;
use crate::script::Callable;
use crate::vocabulary::Vocabulary;
use crate::xml::{self, Kind};

/// The names of typed parameters.
const NAMES: &str = include_str!("../../../../protocol/strings.tsv");

/// The largest arrays, in elements; longer ones only cost time.
const MANY: u32 = 2050;

/// Numbers at which something may change.
const EDGES: [i64; 26] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    31,
    64,
    127,
    128,
    255,
    256,
    1023,
    1024,
    4096,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
];

/// Strings at which something may change.
const STRINGS: [&[u8]; 14] = [
    b"",
    b" ",
    b"/",
    b"..",
    b"/cage/tmp/out",
    b"/cage/images/top.qcow2",
    b"vda",
    b"vda[1]",
    b"test",
    b"%s%s%n%d",
    b"a/b",
    b"\xff\xfe\x80",
    b"\x01\x1b[31m\n",
    b"9999999999999999999999",
];

/// Arguments that are being written.
pub(super) struct Writing<'w> {
    pub(super) generator: &'w Generator,
    pub(super) callable: Callable,
    /// Whether nothing shall be odd.
    pub(super) plain: bool,
    /// Whether bounds may be broken.
    pub(super) beyond: bool,
    pub(super) vocabulary: &'w Vocabulary,
    pub(super) random: &'w mut Random,
    pub(super) out: &'w mut BytesMut,
}

impl Writing<'_> {
    fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.out)
    }

    /// A structure; what is not the whole message may be one that is known.
    pub(super) fn structure(&mut self, layout: &StructSchema, whole: bool) {
        if !whole && !self.random.once_in(8) {
            if let Some(known) = self.vocabulary.object(layout, self.random) {
                Writer::new(self.out).raw(known);
                return;
            }
        }
        for field in layout.fields {
            self.value(&field.ty, field.name);
        }
    }

    fn value(&mut self, ty: &TypeSchema, field: &str) {
        match ty {
            TypeSchema::String { max } => self.string(*max, field),
            TypeSchema::Opaque { max } => {
                let length = self.length(*max, 1);
                let bytes = self.random.bytes(length as usize);
                self.counted(&bytes);
            }
            TypeSchema::FixedOpaque { len: 16 } => {
                let known = self.vocabulary.uuid(self.random);
                let uuid = match known {
                    Some(uuid) if !self.random.once_in(8) => uuid.to_vec(),
                    _ if self.random.once_in(4) => vec![0; 16],
                    _ => self.random.bytes(16),
                };
                self.padded(&uuid);
            }
            TypeSchema::FixedOpaque { len } => {
                let bytes = self.random.bytes(*len);
                self.padded(&bytes);
            }
            TypeSchema::Chars { max } => {
                let length = self.length(*max, 1);
                self.writer().u32(length);
                (0..length).for_each(|_| self.value(&TypeSchema::Char, field));
            }
            TypeSchema::FixedChars { len } => {
                (0..*len).for_each(|_| self.value(&TypeSchema::Char, field));
            }
            TypeSchema::Array { element, max } => {
                let length = self.length(*max, element_cost(element));
                self.writer().u32(length);
                (0..length).for_each(|_| self.value(element, field));
            }
            TypeSchema::FixedArray { element, len } => {
                (0..*len).for_each(|_| self.value(element, field));
            }
            TypeSchema::Optional(inner) => {
                let present = self.random.once_in(2);
                self.writer().bool(present);
                if present {
                    self.value(inner, field);
                }
            }
            TypeSchema::Struct(layout) if is_typed_parameter(layout) => self.parameter(layout),
            TypeSchema::Struct(layout) => self.structure(layout, false),
            TypeSchema::Union(layout) => self.union(layout, field),
            TypeSchema::Enum(layout) => {
                let known = self.random.pick(layout.values).map(|(_, value)| *value);
                let number = known.unwrap_or_default();
                self.writer().i32(number);
            }
            _ => self.number(ty, field),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "any bits will do"
    )]
    fn number(&mut self, ty: &TypeSchema, field: &str) {
        let number = self.integer(field);
        let random = self.random.number();
        let mut out = Writer::new(self.out);
        match ty {
            TypeSchema::Int => out.i32(number as i32),
            TypeSchema::UInt => out.u32(number as u32),
            TypeSchema::Hyper => out.i64(number),
            TypeSchema::UHyper => out.u64(number as u64),
            TypeSchema::Char => out.i8(number as i8),
            TypeSchema::UChar => out.u8(number as u8),
            TypeSchema::Short => out.i16(number as i16),
            TypeSchema::UShort => out.u16(number as u16),
            TypeSchema::Bool => out.bool(number & 1 == 1),
            // A NaN would not come back as it went.
            TypeSchema::Float => out.f32(number as f32),
            TypeSchema::Double if random % 4 == 0 => out.f64(f64::INFINITY),
            TypeSchema::Double => out.f64(number as f64 / 3.0),
            _ => {}
        }
    }

    #[expect(clippy::cast_possible_wrap, reason = "any bits will do")]
    fn integer(&mut self, field: &str) -> i64 {
        let random = &mut *self.random;
        match field {
            "need_results" if self.plain => 1,
            "flags" if self.plain && !random.once_in(4) => 0,
            "flags" => self.generator.flags.pick(self.callable, random) as i64,
            "eventID" => random.below(31) as i64,
            "need_results" => random.below(2) as i64,
            "feature" | "type" | "state" | "section" | "command" | "action" | "usageType"
                if !random.once_in(4) =>
            {
                random.below(20) as i64
            }
            _ if self.plain => random.choose([0, 1, 2, 16, 64, 1024]),
            _ => match random.below(8) {
                0..=2 => self.vocabulary.number(field, random).unwrap_or(1),
                3 => random.below(20) as i64,
                4 => random.number() as i64 >> random.below(64),
                _ => random.choose(EDGES),
            },
        }
    }

    /// How many elements: none, one, few, or as many as are allowed.
    fn length(&mut self, max: u32, cost: u32) -> u32 {
        let most = max.min(MANY / cost.max(1)).max(1);
        match self.random.below(16) {
            0..=2 => 0,
            3..=6 => 1,
            7..=9 => 2,
            10..=13 => u32::try_from(self.random.below(12)).unwrap_or_default(),
            14 => max.min(most),
            _ if self.beyond && max < MANY => max + 1,
            _ => max.min(most).saturating_sub(1),
        }
        .min(if self.beyond { u32::MAX } else { max })
    }

    fn string(&mut self, max: u32, field: &str) {
        let text = match kind_of(self.callable, field) {
            Some(kind) => self.document(kind),
            None => self.word(field),
        };
        let mut text = text;
        text.truncate(max as usize);
        // A zero byte has no form on the wire that decodes back.
        if !self.beyond {
            text.retain(|&byte| byte != 0);
        }
        self.counted(&text);
    }

    fn document(&mut self, kind: Kind) -> Vec<u8> {
        let guest = self.generator.guest;
        let Some(mut document) = xml::document(kind, guest, self.vocabulary, self.random) else {
            return Vec::new();
        };
        if !self.plain && !self.random.once_in(3) {
            let other = xml::document(Kind::Domain, guest, self.vocabulary, self.random);
            xml::mutate(&mut document, other.as_ref(), self.random);
        }
        let mut text = document.to_text().into_bytes();
        if !self.plain && self.random.once_in(16) {
            // No document any more.
            let at = self.random.below(text.len());
            match self.random.below(3) {
                0 => text.truncate(at),
                1 => drop(text.splice(at..at, *b"<")),
                _ => drop(text.splice(at..at, *b"\xff")),
            }
        }
        text
    }

    fn word(&mut self, field: &str) -> Vec<u8> {
        let field = match field {
            "disk" | "base" | "top" | "dev" if self.random.once_in(2) => "dev",
            "path" | "file" | "to" if self.random.once_in(2) => "file",
            "dname" | "new_name" => "name",
            other => other,
        };
        let known = self.vocabulary.name(field, self.random).map(<[u8]>::to_vec);
        match (known, self.random.below(8)) {
            (Some(known), choice) if self.plain || choice < 5 => known,
            (_, 7) if self.random.once_in(8) => {
                vec![b'x'; self.random.choose([79, 80, 256, 70_000])]
            }
            _ => self.random.choose(STRINGS).to_vec(),
        }
    }

    /// A typed parameter: a name that exists, with any type.
    fn parameter(&mut self, layout: &StructSchema) {
        let known = self.vocabulary.object(layout, self.random);
        if let Some(known) = known {
            if self.random.once_in(2) {
                Writer::new(self.out).raw(known);
                return;
            }
        }
        for field in layout.fields {
            match &field.ty {
                TypeSchema::String { .. } => {
                    let names: Vec<&str> = parameter_names().collect();
                    let name = self.random.pick(&names).copied().unwrap_or_default();
                    self.counted(name.as_bytes());
                }
                other => self.value(other, "value"),
            }
        }
    }

    fn union(&mut self, layout: &UnionSchema, field: &str) {
        let Some(arm) = self.random.pick(layout.arms).copied() else {
            return;
        };
        self.writer().i32(arm.value);
        let truth = arm.value == TypedParameterType::BOOLEAN.0;
        match &arm.ty {
            Some(TypeSchema::Int) if truth && !self.random.once_in(4) => {
                let truth = self.random.once_in(2);
                self.writer().bool(truth);
            }
            Some(ty) => self.value(ty, field),
            None => {}
        }
    }

    /// Bytes after their length, whatever the bound.
    fn counted(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        self.writer().u32(length);
        self.padded(bytes);
    }

    fn padded(&mut self, bytes: &[u8]) {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.extend_from_slice(bytes);
        self.out.extend(std::iter::repeat_n(0, padding));
    }
}

fn is_typed_parameter(layout: &StructSchema) -> bool {
    layout.name == "remote_typed_param"
}

fn parameter_names() -> impl Iterator<Item = &'static str> {
    let lines = NAMES.lines().filter(|line| line.starts_with("libvirt\t"));
    let names = lines.filter_map(|line| line.split('\t').nth(3));
    names.filter(|name| name.len() < 80)
}

/// What an element costs, in words, so that arrays of large things are short.
fn element_cost(ty: &TypeSchema) -> u32 {
    match ty {
        TypeSchema::Struct(layout) => layout.fields.iter().map(|f| element_cost(&f.ty)).sum(),
        TypeSchema::String { .. } | TypeSchema::Opaque { .. } | TypeSchema::Array { .. } => 8,
        TypeSchema::FixedOpaque { .. } => 4,
        _ => 1,
    }
}

/// The kind of document that a string is, if it is one.
fn kind_of(callable: Callable, field: &str) -> Option<Kind> {
    let name = callable.0.name;
    let is_xml = field.to_lowercase().contains("xml") || matches!(field, "metadata" | "srcSpec");
    if !is_xml {
        return None;
    }
    let by_field = match field {
        "checkpoint_xml" => Some(Kind::Checkpoint),
        "backup_xml" => Some(Kind::Backup),
        "destxml" => Some(Kind::Disk),
        "metadata" => Some(Kind::Metadata),
        "srcSpec" => Some(Kind::PoolSource),
        _ if field.to_lowercase().contains("cpu") => Some(Kind::Cpu),
        _ => None,
    };
    let table = [
        ("SNAPSHOT", Kind::Snapshot),
        ("CHECKPOINT", Kind::Checkpoint),
        ("DEVICE", Kind::Device),
        ("NETWORK_PORT", Kind::NetworkPort),
        ("NETWORK_UPDATE", Kind::NetworkPart),
        ("NETWORK", Kind::Network),
        ("STORAGE_VOL", Kind::Volume),
        ("STORAGE_POOL", Kind::Pool),
        ("NWFILTER_BINDING", Kind::FilterBinding),
        ("NWFILTER", Kind::Filter),
        ("SECRET", Kind::Secret),
        ("CPU", Kind::Cpu),
    ];
    let by_name = table.iter().find(|(part, _)| name.contains(part));
    Some(by_field.unwrap_or(by_name.map_or(Kind::Domain, |(_, kind)| *kind)))
}
