//! JSON to XDR, along the layout of a structure.

mod error;

use bytes::BytesMut;
use serde_json::Value;
use virtwire::Uuid;
use virtwire::schema::{EnumSchema, StructSchema, TypeSchema, UnionSchema};
use virtwire::xdr::{Opaque, Str, Writer};

use self::error::{JsonError, Path, Problem};
use super::{arm_name, is_boolean};

/// Encodes the arguments of a call.
pub(super) fn arguments(
    layout: Option<&StructSchema>,
    document: Option<&Value>,
) -> Result<Vec<u8>, JsonError> {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer);
    match (layout, document) {
        (Some(layout), Some(document)) => structure(&mut writer, layout, document, Path::Root)?,
        (Some(_), None) => return Err(Path::Root.fail(Problem::NoArguments)),
        (None, None | Some(Value::Null)) => {}
        (None, Some(Value::Object(fields))) if fields.is_empty() => {}
        (None, Some(_)) => return Err(Path::Root.fail(Problem::TakesNothing)),
    }
    Ok(buffer.to_vec())
}

fn structure(
    writer: &mut Writer<'_>,
    layout: &StructSchema,
    document: &Value,
    path: Path<'_>,
) -> Result<(), JsonError> {
    let Value::Object(given) = document else {
        return Err(path.wrong(format!("an object ({})", layout.name), document));
    };
    for name in given.keys() {
        if layout.fields.iter().all(|field| field.name != name) {
            return Err(Path::Field(&path, name).fail(Problem::UnknownField(layout.name)));
        }
    }
    for field in layout.fields {
        let path = Path::Field(&path, field.name);
        match (given.get(field.name), &field.ty) {
            (Some(document), ty) => value(writer, ty, document, path)?,
            (None, TypeSchema::Optional(_)) => writer.bool(false),
            (None, _) => return Err(path.fail(Problem::Missing)),
        }
    }
    Ok(())
}

fn value(
    writer: &mut Writer<'_>,
    ty: &TypeSchema,
    document: &Value,
    path: Path<'_>,
) -> Result<(), JsonError> {
    match ty {
        TypeSchema::Int => writer.i32(integer(document, path, "an int")?),
        TypeSchema::UInt => writer.u32(integer(document, path, "an unsigned int")?),
        TypeSchema::Hyper => writer.i64(integer(document, path, "a hyper")?),
        TypeSchema::UHyper => writer.u64(integer(document, path, "an unsigned hyper")?),
        TypeSchema::Char => writer.i8(integer(document, path, "a char")?),
        TypeSchema::UChar => writer.u8(integer(document, path, "an unsigned char")?),
        TypeSchema::Short => writer.i16(integer(document, path, "a short")?),
        TypeSchema::UShort => writer.u16(integer(document, path, "an unsigned short")?),
        TypeSchema::Float => writer.f32(single(document, path)?),
        TypeSchema::Double => writer.f64(double(document, path)?),
        TypeSchema::Bool => match document {
            Value::Bool(value) => writer.bool(*value),
            other => return Err(path.wrong("true or false", other)),
        },
        TypeSchema::String { max } => {
            let bytes = text(document, path)?;
            check_length(bytes.len(), *max, "bytes", path)?;
            writer
                .string(&Str::from_bytes(&bytes), *max)
                .map_err(|error| path.fail(error))?;
        }
        TypeSchema::Opaque { max } => {
            let bytes = hex(document, path)?;
            check_length(bytes.len(), *max, "bytes", path)?;
            let bytes = Opaque::from(bytes);
            writer
                .opaque(&bytes, *max)
                .map_err(|error| path.fail(error))?;
        }
        TypeSchema::FixedOpaque { len } => fixed_opaque(writer, *len, document, path)?,
        TypeSchema::Chars { max } => {
            let bytes = text(document, path)?;
            check_length(bytes.len(), *max, "characters", path)?;
            writer
                .chars(&bytes, *max)
                .map_err(|error| path.fail(error))?;
        }
        TypeSchema::FixedChars { len } => fixed_chars(writer, *len, document, path)?,
        TypeSchema::Array { element, max } => {
            let elements = array(document, path)?;
            let count = check_length(elements.len(), *max, "elements", path)?;
            writer.u32(count);
            sequence(writer, element, elements, path)?;
        }
        TypeSchema::FixedArray { element, len } => {
            let elements = array(document, path)?;
            if elements.len() != *len {
                return Err(path.wrong(format!("an array of {len}"), document));
            }
            sequence(writer, element, elements, path)?;
        }
        TypeSchema::Optional(inner) => {
            writer.bool(!document.is_null());
            if !document.is_null() {
                value(writer, inner, document, path)?;
            }
        }
        TypeSchema::Struct(layout) => structure(writer, layout, document, path)?,
        TypeSchema::Union(layout) => union(writer, layout, document, path)?,
        TypeSchema::Enum(layout) => writer.i32(enumeration(layout, document, path)?),
        other => return Err(path.wrong(format!("a {other:?}, which is not supported"), document)),
    }
    Ok(())
}

fn integer<T>(document: &Value, path: Path<'_>, kind: &'static str) -> Result<T, JsonError>
where
    T: TryFrom<i128>,
{
    let number = match document {
        Value::Number(number) => number,
        other => return Err(path.wrong(kind, other)),
    };
    let wide = number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from));
    wide.and_then(|wide| T::try_from(wide).ok()).ok_or_else(|| {
        path.fail(Problem::OutOfRange {
            value: number.to_string(),
            kind,
        })
    })
}

fn double(document: &Value, path: Path<'_>) -> Result<f64, JsonError> {
    match document {
        Value::Number(number) => number.as_f64(),
        Value::String(name) if name == "NaN" => Some(f64::NAN),
        Value::String(name) if name == "Infinity" => Some(f64::INFINITY),
        Value::String(name) if name == "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
    .ok_or_else(|| path.wrong("a number, \"NaN\", \"Infinity\" or \"-Infinity\"", document))
}

fn single(document: &Value, path: Path<'_>) -> Result<f32, JsonError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked: infinite only if it was"
    )]
    let narrow = |wide: f64| {
        let narrow = wide as f32;
        (narrow.is_finite() == wide.is_finite()).then_some(narrow)
    };
    let wide = double(document, path)?;
    narrow(wide).ok_or_else(|| {
        path.fail(Problem::OutOfRange {
            value: wide.to_string(),
            kind: "a float",
        })
    })
}

/// A string, or `{"hex": …}` for bytes that are no text.
fn text(document: &Value, path: Path<'_>) -> Result<Vec<u8>, JsonError> {
    match document {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Object(fields) if fields.len() == 1 => match fields.get("hex") {
            Some(digits) => hex(digits, Path::Field(&path, "hex")),
            None => Err(path.wrong("a string or {\"hex\": …}", document)),
        },
        other => Err(path.wrong("a string or {\"hex\": …}", other)),
    }
}

fn hex(document: &Value, path: Path<'_>) -> Result<Vec<u8>, JsonError> {
    let Value::String(digits) = document else {
        return Err(path.wrong("a string of hex digits", document));
    };
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| path.fail(Problem::NotHex))
}

/// 16 bytes are a UUID wherever they occur in libvirt's protocol.
fn fixed_opaque(
    writer: &mut Writer<'_>,
    len: usize,
    document: &Value,
    path: Path<'_>,
) -> Result<(), JsonError> {
    if len == 16 {
        let Value::String(text) = document else {
            return Err(path.wrong("a UUID", document));
        };
        let uuid = Uuid::parse(text).map_err(|_| path.fail(Problem::NotAUuid))?;
        writer.fixed_opaque(uuid.as_bytes());
        return Ok(());
    }
    let bytes = hex(document, path)?;
    if bytes.len() != len {
        return Err(path.fail(Problem::WrongLength {
            length: bytes.len(),
            expected: len,
        }));
    }
    for unit in bytes.chunks(4) {
        let mut padded = [0; 4];
        padded
            .iter_mut()
            .zip(unit)
            .for_each(|(to, from)| *to = *from);
        writer.fixed_opaque(&padded);
    }
    Ok(())
}

/// A C string in an array of characters: zeros fill what it leaves.
fn fixed_chars(
    writer: &mut Writer<'_>,
    len: usize,
    document: &Value,
    path: Path<'_>,
) -> Result<(), JsonError> {
    let mut bytes = text(document, path)?;
    if bytes.len() > len {
        return Err(path.fail(Problem::WrongLength {
            length: bytes.len(),
            expected: len,
        }));
    }
    bytes.resize(len, 0);
    for byte in bytes {
        writer.fixed_chars(&[byte]);
    }
    Ok(())
}

fn array<'v>(document: &'v Value, path: Path<'_>) -> Result<&'v [Value], JsonError> {
    match document {
        Value::Array(elements) => Ok(elements),
        other => Err(path.wrong("an array", other)),
    }
}

fn sequence(
    writer: &mut Writer<'_>,
    element: &TypeSchema,
    elements: &[Value],
    path: Path<'_>,
) -> Result<(), JsonError> {
    for (index, document) in elements.iter().enumerate() {
        value(writer, element, document, Path::Element(&path, index))?;
    }
    Ok(())
}

fn check_length(
    length: usize,
    max: u32,
    what: &'static str,
    path: Path<'_>,
) -> Result<u32, JsonError> {
    u32::try_from(length)
        .ok()
        .filter(|&count| count <= max)
        .ok_or_else(|| {
            path.fail(Problem::TooLong {
                length,
                what,
                max: max.into(),
            })
        })
}

/// `{"type": NAME, "value": …}`.
fn union(
    writer: &mut Writer<'_>,
    layout: &UnionSchema,
    document: &Value,
    path: Path<'_>,
) -> Result<(), JsonError> {
    let Value::Object(fields) = document else {
        return Err(path.wrong("{\"type\": …, \"value\": …}", document));
    };
    if let Some(name) = fields
        .keys()
        .find(|name| !matches!(name.as_str(), "type" | "value"))
    {
        return Err(Path::Field(&path, name).fail(Problem::UnknownField(layout.name)));
    }
    let type_path = Path::Field(&path, "type");
    let chosen = fields
        .get("type")
        .ok_or_else(|| type_path.fail(Problem::Missing))?;
    let name_of = |arm: &virtwire::schema::ArmSchema| arm_name(layout, arm.value, arm.name);
    let arm = layout.arms.iter().find(|arm| match chosen {
        Value::String(name) => name_of(arm) == name,
        other => other.as_i64() == Some(arm.value.into()),
    });
    let arm = arm.ok_or_else(|| {
        let known = layout.arms.iter().map(name_of).collect();
        type_path.fail(Problem::UnknownName {
            value: plain(chosen),
            known,
        })
    })?;
    writer.i32(arm.value);
    let Some(ty) = &arm.ty else { return Ok(()) };
    let value_path = Path::Field(&path, "value");
    let document = fields
        .get("value")
        .ok_or_else(|| value_path.fail(Problem::Missing))?;
    match document {
        Value::Bool(truth) if is_boolean(layout, arm.value) => writer.i32((*truth).into()),
        other => value(writer, ty, other, value_path)?,
    }
    Ok(())
}

fn enumeration(layout: &EnumSchema, document: &Value, path: Path<'_>) -> Result<i32, JsonError> {
    let Value::String(name) = document else {
        return integer(document, path, "a name or a number");
    };
    let found = layout.values.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known = layout.values.iter().map(|(name, _)| *name).collect();
        path.fail(Problem::UnknownName {
            value: name.clone(),
            known,
        })
    })
}

/// A string without its quotes.
fn plain(document: &Value) -> String {
    document
        .as_str()
        .map_or_else(|| document.to_string(), str::to_owned)
}
