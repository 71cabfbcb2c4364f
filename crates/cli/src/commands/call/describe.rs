//! `call --list` and `call --describe`.

use serde_json::{Map, Value, json};
use virtwire::schema::{
    ArmSchema, EnumSchema, ProcedureKind, ProcedureSchema, StructSchema, TypeSchema, UnionSchema,
};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::procedure::{Priority, StreamDirection};

use super::{arm_name, program_text};
use crate::output::{Report, Table};

/// All procedures that can be called.
pub(super) fn list() -> Report {
    let calls = || {
        PROCEDURES
            .iter()
            .filter(|known| known.kind == ProcedureKind::Call)
    };
    let mut table = Table::new(&["Program", "Number", "Name", "Priority", "Stream", "Since"]);
    for call in calls() {
        let (number, since) = (call.number.to_string(), call.since.to_string());
        table.row(&[
            call.program,
            &number,
            call.name,
            priority(call.priority),
            stream(call.stream).unwrap_or("-"),
            &since,
        ]);
    }
    Report::table(
        calls().map(|call| Value::Object(head(call))).collect(),
        table,
    )
}

/// One procedure or event with its layout.
pub(super) fn one(procedure: &'static ProcedureSchema) -> Report {
    let mut document = head(procedure);
    document.insert("access".to_owned(), procedure.access.into());
    document.insert(
        "args".to_owned(),
        procedure.args.map_or(Value::Null, structure_json),
    );
    document.insert(
        "ret".to_owned(),
        procedure.ret.map_or(Value::Null, structure_json),
    );
    document.insert("template".to_owned(), template(procedure));
    Report::data(Value::Object(document), text(procedure))
}

/// What to tell somebody whose arguments do not fit.
pub(super) fn hint(procedure: &ProcedureSchema) -> String {
    match procedure.args {
        Some(_) => format!("its form is {}", template(procedure)),
        None => "leave the JSON out".to_owned(),
    }
}

fn head(procedure: &ProcedureSchema) -> Map<String, Value> {
    let head = json!({
        "program": procedure.program,
        "program_number": procedure.id.number,
        "program_version": procedure.id.version,
        "number": procedure.number,
        "name": procedure.name,
        "kind": kind(procedure.kind),
        "priority": priority(procedure.priority),
        "stream": stream(procedure.stream),
        "since": procedure.since.to_string(),
    });
    match head {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn kind(kind: ProcedureKind) -> &'static str {
    if kind == ProcedureKind::Call {
        "call"
    } else {
        "event"
    }
}

fn priority(priority: Priority) -> &'static str {
    if priority == Priority::High {
        "high"
    } else {
        "low"
    }
}

fn stream(stream: StreamDirection) -> Option<&'static str> {
    match stream {
        StreamDirection::Upload => Some("upload"),
        StreamDirection::Download => Some("download"),
        StreamDirection::Bidirectional => Some("both"),
        _ => None,
    }
}

fn text(procedure: &ProcedureSchema) -> String {
    let mut text = format!(
        "{}:{}\n  {} {} of program {} version {}\n  {} priority, since libvirt {}\n",
        procedure.program,
        procedure.name,
        kind(procedure.kind),
        procedure.number,
        program_text(procedure.id),
        procedure.id.version,
        priority(procedure.priority),
        procedure.since,
    );
    if let Some(stream) = stream(procedure.stream) {
        text.push_str(&format!("  opens a data stream ({stream})\n"));
    }
    if !procedure.access.is_empty() {
        text.push_str(&format!("  needs {}\n", procedure.access.join(", ")));
    }
    let event = procedure.kind == ProcedureKind::Event;
    if !event {
        push_part(&mut text, "arguments", procedure.args);
    }
    push_part(
        &mut text,
        if event { "message" } else { "reply" },
        procedure.ret,
    );
    if !event && procedure.args.is_some() {
        text.push_str(&format!("\nas JSON: {}\n", template(procedure)));
    }
    text
}

fn push_part(text: &mut String, title: &str, layout: Option<&StructSchema>) {
    match layout {
        None => text.push_str(&format!("\n{title}: none\n")),
        Some(layout) => {
            text.push_str(&format!("\n{title}: {}\n", layout.name));
            push_fields(text, layout, 1);
        }
    }
}

fn push_fields(text: &mut String, layout: &StructSchema, depth: usize) {
    for field in layout.fields {
        let indent = "  ".repeat(depth);
        text.push_str(&format!(
            "{indent}{}: {}\n",
            field.name,
            type_text(&field.ty)
        ));
        push_inner(text, &field.ty, depth + 1);
    }
}

/// The fields of the structure, or the arms of the union, that a type leads to.
fn push_inner(text: &mut String, ty: &TypeSchema, depth: usize) {
    match ty {
        TypeSchema::Struct(layout) => push_fields(text, layout, depth),
        TypeSchema::Union(layout) => {
            let indent = "  ".repeat(depth);
            for arm in layout.arms {
                let name = arm_name(layout, arm.value, arm.name);
                let ty = arm
                    .ty
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), type_text);
                text.push_str(&format!("{indent}{name} ({}): {ty}\n", arm.value));
            }
        }
        TypeSchema::Enum(layout) => {
            let indent = "  ".repeat(depth);
            for (name, value) in layout.values {
                text.push_str(&format!("{indent}{name} = {value}\n"));
            }
        }
        TypeSchema::Optional(inner)
        | TypeSchema::Array { element: inner, .. }
        | TypeSchema::FixedArray { element: inner, .. } => push_inner(text, inner, depth),
        _ => {}
    }
}

fn type_text(ty: &TypeSchema) -> String {
    match ty {
        TypeSchema::Int => "int".to_owned(),
        TypeSchema::UInt => "unsigned int".to_owned(),
        TypeSchema::Hyper => "hyper".to_owned(),
        TypeSchema::UHyper => "unsigned hyper".to_owned(),
        TypeSchema::Float => "float".to_owned(),
        TypeSchema::Double => "double".to_owned(),
        TypeSchema::Bool => "bool".to_owned(),
        TypeSchema::Char => "char".to_owned(),
        TypeSchema::UChar => "unsigned char".to_owned(),
        TypeSchema::Short => "short".to_owned(),
        TypeSchema::UShort => "unsigned short".to_owned(),
        TypeSchema::String { max } => format!("string, at most {max} bytes"),
        TypeSchema::Opaque { max } => format!("opaque, at most {max} bytes"),
        TypeSchema::FixedOpaque { len: 16 } => "UUID".to_owned(),
        TypeSchema::FixedOpaque { len } => format!("opaque, {len} bytes"),
        TypeSchema::Chars { max } => format!("characters, at most {max}"),
        TypeSchema::FixedChars { len } => format!("characters, {len}"),
        TypeSchema::Array { element, max } => {
            format!("array of {}, at most {max}", type_text(element))
        }
        TypeSchema::FixedArray { element, len } => format!("array of {len} {}", type_text(element)),
        TypeSchema::Optional(inner) => format!("optional {}", type_text(inner)),
        TypeSchema::Struct(StructSchema { name, .. })
        | TypeSchema::Union(UnionSchema { name, .. })
        | TypeSchema::Enum(EnumSchema { name, .. }) => (*name).to_owned(),
        other => format!("{other:?}"),
    }
}

fn structure_json(layout: &StructSchema) -> Value {
    let fields: Vec<_> = layout
        .fields
        .iter()
        .map(|field| json!({ "name": field.name, "type": type_json(&field.ty) }))
        .collect();
    json!({ "kind": "struct", "name": layout.name, "fields": fields })
}

fn type_json(ty: &TypeSchema) -> Value {
    match ty {
        TypeSchema::String { max } => json!({ "kind": "string", "max": max }),
        TypeSchema::Opaque { max } => json!({ "kind": "opaque", "max": max }),
        TypeSchema::FixedOpaque { len: 16 } => json!({ "kind": "uuid" }),
        TypeSchema::FixedOpaque { len } => json!({ "kind": "opaque", "length": len }),
        TypeSchema::Chars { max } => json!({ "kind": "chars", "max": max }),
        TypeSchema::FixedChars { len } => json!({ "kind": "chars", "length": len }),
        TypeSchema::Array { element, max } => {
            json!({ "kind": "array", "element": type_json(element), "max": max })
        }
        TypeSchema::FixedArray { element, len } => {
            json!({ "kind": "array", "element": type_json(element), "length": len })
        }
        TypeSchema::Optional(inner) => json!({ "kind": "optional", "value": type_json(inner) }),
        TypeSchema::Struct(layout) => structure_json(layout),
        TypeSchema::Union(layout) => {
            let arms: Vec<_> = layout
                .arms
                .iter()
                .map(|arm| arm_json(layout, arm))
                .collect();
            json!({ "kind": "union", "name": layout.name, "arms": arms })
        }
        TypeSchema::Enum(layout) => {
            let values: Map<_, _> = layout
                .values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            json!({ "kind": "enum", "name": layout.name, "values": values })
        }
        scalar => json!({ "kind": type_text(scalar) }),
    }
}

fn arm_json(layout: &UnionSchema, arm: &ArmSchema) -> Value {
    json!({
        "type": arm_name(layout, arm.value, arm.name),
        "number": arm.value,
        "value": arm.ty.as_ref().map(type_json),
    })
}

/// Arguments that can be sent as they are, for the user to fill in.
pub(super) fn template(procedure: &ProcedureSchema) -> Value {
    let layout = if procedure.kind == ProcedureKind::Call {
        procedure.args
    } else {
        None
    };
    layout.map_or(Value::Null, structure_template)
}

fn structure_template(layout: &StructSchema) -> Value {
    let fields = layout.fields.iter();
    fields
        .map(|field| (field.name.to_owned(), type_template(&field.ty)))
        .collect::<Map<_, _>>()
        .into()
}

fn type_template(ty: &TypeSchema) -> Value {
    match ty {
        TypeSchema::Float | TypeSchema::Double => json!(0.0),
        TypeSchema::Bool => json!(false),
        TypeSchema::FixedOpaque { len: 16 } => json!("00000000-0000-0000-0000-000000000000"),
        TypeSchema::FixedOpaque { len } => json!("00".repeat(*len)),
        TypeSchema::String { .. }
        | TypeSchema::Opaque { .. }
        | TypeSchema::Chars { .. }
        | TypeSchema::FixedChars { .. } => json!(""),
        TypeSchema::Array { .. } => json!([]),
        TypeSchema::FixedArray { element, len } => vec![type_template(element); *len].into(),
        TypeSchema::Optional(_) => Value::Null,
        TypeSchema::Struct(layout) => structure_template(layout),
        TypeSchema::Union(layout) => layout.arms.first().map_or(Value::Null, |arm| {
            let name = arm_name(layout, arm.value, arm.name);
            json!({ "type": name, "value": arm.ty.as_ref().map(type_template) })
        }),
        TypeSchema::Enum(layout) => layout
            .values
            .first()
            .map_or_else(|| json!(0), |(name, _)| json!(name)),
        _ => json!(0),
    }
}
