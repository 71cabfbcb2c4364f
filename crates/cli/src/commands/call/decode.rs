//! XDR to JSON, along the layout of a structure.

use serde_json::{Map, Number, Value};
use virtwire::Uuid;
use virtwire::schema::{EnumSchema, StructSchema, TypeSchema, UnionSchema};
use virtwire::xdr::{DecodeError, InField, Reader};

use super::{arm_name, is_boolean};

/// Decodes a reply: an object, or `null` when the procedure returns nothing.
pub(super) fn reply(
    layout: Option<&'static StructSchema>,
    reader: &mut Reader<'_>,
) -> Result<Value, DecodeError> {
    layout.map_or(Ok(Value::Null), |layout| structure(reader, layout))
}

fn structure(reader: &mut Reader<'_>, layout: &'static StructSchema) -> Result<Value, DecodeError> {
    let mut fields = Map::with_capacity(layout.fields.len());
    for field in layout.fields {
        let document = value(reader, &field.ty).in_field(layout.name, field.name)?;
        fields.insert(field.name.to_owned(), document);
    }
    Ok(Value::Object(fields))
}

fn value(reader: &mut Reader<'_>, ty: &'static TypeSchema) -> Result<Value, DecodeError> {
    Ok(match ty {
        TypeSchema::Int => reader.i32()?.into(),
        TypeSchema::UInt => reader.u32()?.into(),
        TypeSchema::Hyper => reader.i64()?.into(),
        TypeSchema::UHyper => reader.u64()?.into(),
        TypeSchema::Char => reader.i8()?.into(),
        TypeSchema::UChar => reader.u8()?.into(),
        TypeSchema::Short => reader.i16()?.into(),
        TypeSchema::UShort => reader.u16()?.into(),
        TypeSchema::Float => float(reader.f32()?.into()),
        TypeSchema::Double => float(reader.f64()?),
        TypeSchema::Bool => reader.bool()?.into(),
        TypeSchema::String { max } => string(reader.string(*max)?.as_bytes()),
        TypeSchema::Opaque { max } => hex(reader.opaque(*max)?.as_bytes()).into(),
        TypeSchema::FixedOpaque { len: 16 } => {
            Uuid::from_bytes(reader.fixed_opaque()?).to_string().into()
        }
        TypeSchema::FixedOpaque { len } => fixed_opaque(reader, *len)?,
        TypeSchema::Chars { max } => string(&reader.chars(*max)?),
        TypeSchema::FixedChars { len } => fixed_chars(reader, *len)?,
        TypeSchema::Array { element, max } => reader
            .array(*max, least_size(element), |reader| value(reader, element))?
            .into(),
        TypeSchema::FixedArray { element, len } => (0..*len)
            .map(|_| value(reader, element))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        TypeSchema::Optional(inner) => reader
            .optional(|reader| value(reader, inner))?
            .unwrap_or(Value::Null),
        TypeSchema::Struct(layout) => structure(reader, layout)?,
        TypeSchema::Union(layout) => union(reader, layout)?,
        TypeSchema::Enum(layout) => enumeration(layout, reader.i32()?),
        // A kind of type that the generator does not emit yet.
        _ => Value::Null,
    })
}

/// The least number of bytes of a value, by which arrays are kept to what was received.
fn least_size(ty: &TypeSchema) -> usize {
    match ty {
        TypeSchema::Hyper | TypeSchema::UHyper | TypeSchema::Double => 8,
        TypeSchema::FixedOpaque { len } => len.next_multiple_of(4),
        TypeSchema::FixedChars { len } => len * 4,
        TypeSchema::FixedArray { element, len } => len * least_size(element),
        TypeSchema::Struct(layout) => layout
            .fields
            .iter()
            .map(|field| least_size(&field.ty))
            .sum(),
        _ => 4,
    }
}

pub(crate) fn float(value: f64) -> Value {
    let name = || match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    Number::from_f64(value).map_or_else(|| name().into(), Value::Number)
}

/// Text, or the bytes of what is none.
pub(crate) fn string(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => serde_json::json!({ "hex": hex(bytes) }),
    }
}

/// A truth value in an `int`; another number stays what it is.
pub(crate) fn boolean(value: i64) -> Value {
    match value {
        0 | 1 => (value == 1).into(),
        other => other.into(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fixed_opaque(reader: &mut Reader<'_>, len: usize) -> Result<Value, DecodeError> {
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4));
    while bytes.len() < len {
        bytes.extend(reader.fixed_opaque::<4>()?);
    }
    bytes.truncate(len);
    Ok(hex(&bytes).into())
}

/// A C string in an array of characters, without the zeros that fill the array.
fn fixed_chars(reader: &mut Reader<'_>, len: usize) -> Result<Value, DecodeError> {
    let mut bytes = Vec::with_capacity(len);
    for _ in 0..len {
        bytes.extend(reader.fixed_chars::<1>()?);
    }
    let used = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(string(&bytes))
}

fn union(reader: &mut Reader<'_>, layout: &'static UnionSchema) -> Result<Value, DecodeError> {
    let discriminant = reader.i32()?;
    let Some(arm) = layout.arms.iter().find(|arm| arm.value == discriminant) else {
        return Err(reader.unknown_discriminant(discriminant));
    };
    let mut fields = Map::new();
    fields.insert(
        "type".to_owned(),
        arm_name(layout, arm.value, arm.name).into(),
    );
    if let Some(ty) = &arm.ty {
        let document = value(reader, ty).in_field(layout.name, arm.name)?;
        let truth = document.as_i64().filter(|_| is_boolean(layout, arm.value));
        let document = truth.map_or(document, boolean);
        fields.insert("value".to_owned(), document);
    }
    Ok(Value::Object(fields))
}

fn enumeration(layout: &EnumSchema, number: i32) -> Value {
    let known = layout.values.iter().find(|(_, value)| *value == number);
    known.map_or_else(|| number.into(), |(name, _)| (*name).into())
}
