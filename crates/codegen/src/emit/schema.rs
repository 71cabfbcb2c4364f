//! The layout as data: a `static` per type, and the list of all procedures.

use std::collections::HashSet;

use super::output::{Output, number};
use super::procedures::{priority, since, stream};
use crate::model::{
    Enum, Model, Module, Primitive, Procedure, Struct, Type, TypeDef, TypeId, Union,
};
use crate::parse::Kind;

/// Programs below the level of calls: what they send is nothing a user would ask for.
const NOT_LISTED: [&str; 2] = ["net", "keepalive"];

pub(super) fn emit(model: &Model) -> Output {
    let mut out = Output::default();
    let modules = || {
        model
            .modules
            .iter()
            .filter(|m| !NOT_LISTED.contains(&m.name.as_str()))
    };
    out.doc("Every procedure and event, by program and number.");
    out.wrapped(
        "pub static PROCEDURES: &[ProcedureSchema] = &[",
        "];",
        |out| {
            for module in modules() {
                for procedure in &module.procedures {
                    self::procedure(out, module, procedure);
                }
            }
        },
    );
    out.blank();
    let reachable = reachable(model, modules());
    for def in model.modules.iter().flat_map(|module| &module.types) {
        if reachable.contains(def.id().c_name.as_str()) {
            definition(&mut out, def);
        }
    }
    out
}

fn procedure(out: &mut Output, module: &Module, procedure: &Procedure) {
    let kind = match procedure.kind {
        Kind::Call => "Call",
        Kind::Event => "Event",
    };
    out.wrapped("ProcedureSchema {", "},", |out| {
        out.line(format!(
            "program: \"{0}\", id: super::{0}::PROGRAM,",
            module.name
        ));
        out.line(format!(
            "number: {}, name: \"{}\",",
            procedure.number, procedure.word
        ));
        out.line(format!(
            "kind: ProcedureKind::{kind}, priority: {},",
            priority(procedure)
        ));
        let sparse = match &procedure.sparse_flag {
            Some(flag) => format!("Some(\"{flag}\")"),
            None => "None".to_owned(),
        };
        out.line(format!(
            "stream: {}, sparse_flag: {sparse},",
            stream(procedure)
        ));
        let access: Vec<String> = procedure
            .acl
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        out.line(format!(
            "repeatable: {}, since: {}, access: &[{}],",
            procedure.repeatable,
            since(procedure),
            access.join(", ")
        ));
        let args = message(procedure.args.as_deref());
        out.line(format!(
            "args: {args}, ret: {},",
            message(procedure.ret.as_deref())
        ));
    });
}

fn message(id: Option<&TypeId>) -> String {
    match id {
        Some(id) => format!("Some(&{})", static_name(id)),
        None => "None".to_owned(),
    }
}

/// The C names of all types that messages of these modules are made of.
fn reachable<'m>(model: &'m Model, modules: impl Iterator<Item = &'m Module>) -> HashSet<&'m str> {
    let mut found = HashSet::new();
    let mut open: Vec<&TypeId> = modules
        .flat_map(|module| &module.procedures)
        .flat_map(|procedure| [procedure.args.as_deref(), procedure.ret.as_deref()])
        .flatten()
        .collect();
    while let Some(id) = open.pop() {
        if found.insert(id.c_name.as_str()) {
            let defs = model.modules.iter().flat_map(|module| &module.types);
            let def = defs.filter(|def| def.id().c_name == id.c_name);
            open.extend(def.flat_map(parts).filter_map(named));
        }
    }
    found
}

/// The types that a type is made of.
fn parts(def: &TypeDef) -> Vec<&Type> {
    match def {
        TypeDef::Struct(def) => def.fields.iter().map(|field| &field.ty).collect(),
        TypeDef::Union(def) => {
            let fields = def
                .variants
                .iter()
                .filter_map(|variant| variant.field.as_ref());
            fields.map(|field| &field.ty).collect()
        }
        TypeDef::Enum(_) => Vec::new(),
    }
}

fn named(ty: &Type) -> Option<&TypeId> {
    match ty {
        Type::Named(id) => Some(id),
        Type::Array(inner, _) | Type::FixedArray(inner, _) | Type::Optional(inner) => named(inner),
        _ => None,
    }
}

fn definition(out: &mut Output, def: &TypeDef) {
    match def {
        TypeDef::Struct(def) => structure(out, def),
        TypeDef::Union(def) => union(out, def),
        TypeDef::Enum(def) => enumeration(out, def),
    }
    out.blank();
}

fn structure(out: &mut Output, def: &Struct) {
    described(out, &def.id, "StructSchema", "fields", |out| {
        for field in &def.fields {
            let (name, ty) = (&field.c_name, type_schema(&field.ty));
            out.line(format!("FieldSchema {{ name: \"{name}\", ty: {ty} }},"));
        }
    });
}

fn union(out: &mut Output, def: &Union) {
    described(out, &def.id, "UnionSchema", "arms", |out| {
        for variant in &def.variants {
            let (name, ty) = match &variant.field {
                Some(field) => (
                    field.c_name.as_str(),
                    format!("Some({})", type_schema(&field.ty)),
                ),
                None => ("void", "None".to_owned()),
            };
            let value = number(variant.value);
            out.line(format!(
                "ArmSchema {{ value: {value}, name: \"{name}\", ty: {ty} }},"
            ));
        }
    });
}

fn enumeration(out: &mut Output, def: &Enum) {
    described(out, &def.id, "EnumSchema", "values", |out| {
        for member in &def.members {
            out.line(format!(
                "(\"{}\", {}),",
                member.c_name,
                number(member.value)
            ));
        }
    });
}

fn described(
    out: &mut Output,
    id: &TypeId,
    schema: &str,
    list: &str,
    body: impl FnOnce(&mut Output),
) {
    out.wrapped(
        format!("static {}: {schema} = {schema} {{", static_name(id)),
        "};",
        |out| {
            out.line(format!("name: \"{}\",", id.c_name));
            out.wrapped(format!("{list}: &["), "],", body);
        },
    );
}

fn static_name(id: &TypeId) -> String {
    id.c_name.to_uppercase()
}

fn type_schema(ty: &Type) -> String {
    let variant = match ty {
        Type::Primitive(primitive) => primitive_schema(*primitive).to_owned(),
        Type::String(bound) => format!("String {{ max: {} }}", number(bound.max)),
        Type::Opaque(bound) => format!("Opaque {{ max: {} }}", number(bound.max)),
        Type::FixedOpaque(len) => format!("FixedOpaque {{ len: {len} }}"),
        Type::Chars(bound) => format!("Chars {{ max: {} }}", number(bound.max)),
        Type::FixedChars(len) => format!("FixedChars {{ len: {len} }}"),
        Type::Array(element, bound) => {
            let (element, max) = (type_schema(element), number(bound.max));
            format!("Array {{ element: &{element}, max: {max} }}")
        }
        Type::FixedArray(element, len) => {
            format!(
                "FixedArray {{ element: &{}, len: {len} }}",
                type_schema(element)
            )
        }
        Type::Optional(inner) => format!("Optional(&{})", type_schema(inner)),
        Type::Named(id) => format!("{:?}(&{})", id.kind, static_name(id)),
    };
    format!("TypeSchema::{variant}")
}

fn primitive_schema(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::Int => "Int",
        Primitive::UInt => "UInt",
        Primitive::Hyper => "Hyper",
        Primitive::UHyper => "UHyper",
        Primitive::Float => "Float",
        Primitive::Double => "Double",
        Primitive::Bool => "Bool",
        Primitive::Char => "Char",
        Primitive::UChar => "UChar",
        Primitive::Short => "Short",
        Primitive::UShort => "UShort",
    }
}
