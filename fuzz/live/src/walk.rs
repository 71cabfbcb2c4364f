//! Following encoded bytes along the description of their type.

use serde_json::{Map, Value, json};
use virtwire_protocol::schema::{EnumSchema, StructSchema, TypeSchema, UnionSchema};
use virtwire_xdr::{DecodeError, Reader};

use crate::script::to_hex;

/// What wants to know what is in a message.
pub trait Visit {
    /// A string, and the name of the field that it is in.
    fn string(&mut self, field: &'static str, bytes: &[u8]);

    /// An integer, and the name of the field that it is in.
    fn integer(&mut self, field: &'static str, number: i64);

    /// A UUID.
    fn uuid(&mut self, bytes: [u8; 16]);

    /// A structure, after what is in it.
    fn structure(&mut self, layout: &'static StructSchema, encoded: &[u8]);
}

/// Sees nothing.
impl Visit for () {
    fn string(&mut self, _: &'static str, _: &[u8]) {}
    fn integer(&mut self, _: &'static str, _: i64) {}
    fn uuid(&mut self, _: [u8; 16]) {}
    fn structure(&mut self, _: &'static StructSchema, _: &[u8]) {}
}

/// Shows a message to a visitor, and gives it as `virtwire call` would write it.
///
/// # Errors
///
/// When the bytes are no such message; what came before has been shown by then.
pub fn walk(
    layout: Option<&'static StructSchema>,
    bytes: &[u8],
    visit: &mut dyn Visit,
) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes);
    let document = match layout {
        Some(layout) => Walk { bytes, visit }.structure(&mut reader, layout)?,
        None => Value::Null,
    };
    reader.finish()?;
    Ok(document)
}

struct Walk<'w> {
    bytes: &'w [u8],
    visit: &'w mut dyn Visit,
}

impl Walk<'_> {
    fn structure(
        &mut self,
        reader: &mut Reader<'_>,
        layout: &'static StructSchema,
    ) -> Result<Value, DecodeError> {
        let start = self.bytes.len() - reader.remaining();
        let mut fields = Map::new();
        for field in layout.fields {
            let document = self.value(reader, &field.ty, field.name)?;
            fields.insert(field.name.to_owned(), document);
        }
        let end = self.bytes.len() - reader.remaining();
        let encoded = self.bytes.get(start..end).unwrap_or_default();
        self.visit.structure(layout, encoded);
        Ok(Value::Object(fields))
    }

    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        ty: &'static TypeSchema,
        field: &'static str,
    ) -> Result<Value, DecodeError> {
        let number = match ty {
            TypeSchema::Int => i64::from(reader.i32()?),
            TypeSchema::UInt => i64::from(reader.u32()?),
            TypeSchema::Char => i64::from(reader.i8()?),
            TypeSchema::UChar => i64::from(reader.u8()?),
            TypeSchema::Short => i64::from(reader.i16()?),
            TypeSchema::UShort => i64::from(reader.u16()?),
            TypeSchema::Hyper => reader.i64()?,
            _ => return self.other(reader, ty, field),
        };
        self.visit.integer(field, number);
        Ok(number.into())
    }

    fn other(
        &mut self,
        reader: &mut Reader<'_>,
        ty: &'static TypeSchema,
        field: &'static str,
    ) -> Result<Value, DecodeError> {
        Ok(match ty {
            TypeSchema::UHyper => reader.u64()?.into(),
            TypeSchema::Float => float(reader.f32()?.into()),
            TypeSchema::Double => float(reader.f64()?),
            TypeSchema::Bool => reader.bool()?.into(),
            TypeSchema::String { max } => {
                let text = reader.string(*max)?;
                self.visit.string(field, text.as_bytes());
                as_text(text.as_bytes())
            }
            TypeSchema::Opaque { max } => to_hex(reader.opaque(*max)?.as_bytes()).into(),
            TypeSchema::FixedOpaque { len: 16 } => {
                let bytes = reader.fixed_opaque::<16>()?;
                self.visit.uuid(bytes);
                uuid_text(bytes).into()
            }
            TypeSchema::FixedOpaque { len } => {
                let words = (0..len.div_ceil(4)).map(|_| reader.fixed_opaque::<4>());
                let mut bytes = words.collect::<Result<Vec<_>, _>>()?.concat();
                bytes.truncate(*len);
                to_hex(&bytes).into()
            }
            TypeSchema::Chars { max } => as_text(&reader.chars(*max)?),
            TypeSchema::FixedChars { len } => {
                let bytes = (0..*len).map(|_| reader.fixed_chars::<1>());
                let bytes = bytes.collect::<Result<Vec<_>, _>>()?.concat();
                let used = bytes.iter().rposition(|&byte| byte != 0);
                as_text(
                    bytes
                        .get(..used.map_or(0, |last| last + 1))
                        .unwrap_or_default(),
                )
            }
            TypeSchema::Array { element, max } => {
                let elements = reader.array(*max, 4, |reader| self.value(reader, element, field));
                elements?.into()
            }
            TypeSchema::FixedArray { element, len } => {
                let elements = (0..*len).map(|_| self.value(reader, element, field));
                elements.collect::<Result<Vec<_>, _>>()?.into()
            }
            TypeSchema::Optional(inner) => reader
                .optional(|reader| self.value(reader, inner, field))?
                .unwrap_or(Value::Null),
            TypeSchema::Struct(layout) => self.structure(reader, layout)?,
            TypeSchema::Union(layout) => self.union(reader, layout, field)?,
            TypeSchema::Enum(layout) => enumeration(layout, reader.i32()?),
            // A kind of type that the generator does not emit yet.
            _ => Value::Null,
        })
    }

    fn union(
        &mut self,
        reader: &mut Reader<'_>,
        layout: &'static UnionSchema,
        field: &'static str,
    ) -> Result<Value, DecodeError> {
        let discriminant = reader.i32()?;
        let Some(arm) = layout.arms.iter().find(|arm| arm.value == discriminant) else {
            return Err(reader.unknown_discriminant(discriminant));
        };
        let mut fields = Map::new();
        fields.insert("type".to_owned(), arm.value.into());
        if let Some(ty) = &arm.ty {
            fields.insert("value".to_owned(), self.value(reader, ty, field)?);
        }
        Ok(Value::Object(fields))
    }
}

fn enumeration(layout: &EnumSchema, number: i32) -> Value {
    let known = layout.values.iter().find(|(_, value)| *value == number);
    known.map_or_else(|| number.into(), |(name, _)| (*name).into())
}

fn float(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn as_text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": to_hex(bytes) }),
    }
}

/// A UUID as people write it.
#[must_use]
pub fn uuid_text(bytes: [u8; 16]) -> String {
    let digits = to_hex(&bytes);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups = groups.map(|group| digits.get(group).unwrap_or_default());
    groups.join("-")
}
