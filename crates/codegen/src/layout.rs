//! The layout of a protocol as plain lines, for comparing two releases.

use crate::model::{Enum, Field, Module, Primitive, Struct, Type, TypeDef, TypeId, Union};
use crate::parse::Kind;
use crate::{Error, SourceFile};

/// One line for each constant, struct, union, enum and procedure: everything that decides how
/// bytes are read, and nothing else.
///
/// Each line stands for itself: a release is compatible with an older one if it has all of the
/// older one's lines.
///
/// # Errors
///
/// The first mistake in the files, with its place.
pub fn layout(protocol: &[SourceFile]) -> Result<String, Error> {
    let model = crate::resolved(protocol)?;
    let lines = model.modules.iter().flat_map(module);
    Ok(lines.map(|line| line + "\n").collect())
}

fn module(module: &Module) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(program) = module.program {
        let name = &module.name;
        lines.push(format!(
            "program\t{name}\t{:#x}\t{}",
            program.number, program.version
        ));
    }
    let constants = module.constants.iter();
    lines.extend(
        constants.map(|constant| format!("const\t{}\t{}", constant.c_name, constant.value)),
    );
    lines.extend(module.types.iter().map(|def| match def {
        TypeDef::Struct(def) => structure(def),
        TypeDef::Union(def) => union(def),
        TypeDef::Enum(def) => enumeration(def),
    }));
    lines.extend(module.procedures.iter().map(|procedure| {
        let kind = match procedure.kind {
            Kind::Call => "call",
            Kind::Event => "event",
        };
        let (args, ret) = (
            message(procedure.args.as_deref()),
            message(procedure.ret.as_deref()),
        );
        format!(
            "{kind}\t{}\t{}\t{args}\t{ret}",
            procedure.c_name, procedure.number
        )
    }));
    lines
}

fn message(id: Option<&TypeId>) -> &str {
    id.map_or("-", |id| &id.c_name)
}

fn structure(def: &Struct) -> String {
    let fields: Vec<String> = def.fields.iter().map(field).collect();
    format!("struct\t{}\t{}", def.id.c_name, fields.join("; "))
}

fn union(def: &Union) -> String {
    let arms = def.variants.iter().map(|variant| match &variant.field {
        Some(inner) => format!("{} {}", variant.value, field(inner)),
        None => format!("{} void", variant.value),
    });
    format!(
        "union\t{}\t{}",
        def.id.c_name,
        arms.collect::<Vec<_>>().join("; ")
    )
}

fn enumeration(def: &Enum) -> String {
    let members = def
        .members
        .iter()
        .map(|member| format!("{} {}", member.c_name, member.value));
    format!(
        "enum\t{}\t{}",
        def.id.c_name,
        members.collect::<Vec<_>>().join("; ")
    )
}

fn field(field: &Field) -> String {
    format!("{} {}", type_name(&field.ty), field.c_name)
}

fn type_name(ty: &Type) -> String {
    match ty {
        Type::Primitive(primitive) => primitive_name(*primitive).to_owned(),
        Type::String(bound) => format!("string<{}>", bound.max),
        Type::Opaque(bound) => format!("opaque<{}>", bound.max),
        Type::FixedOpaque(len) => format!("opaque[{len}]"),
        Type::Chars(bound) => format!("char<{}>", bound.max),
        Type::FixedChars(len) => format!("char[{len}]"),
        Type::Array(element, bound) => format!("{}<{}>", type_name(element), bound.max),
        Type::FixedArray(element, len) => format!("{}[{len}]", type_name(element)),
        Type::Optional(inner) => format!("{}*", type_name(inner)),
        Type::Named(id) => id.c_name.clone(),
    }
}

fn primitive_name(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::Int => "int",
        Primitive::UInt => "unsigned int",
        Primitive::Hyper => "hyper",
        Primitive::UHyper => "unsigned hyper",
        Primitive::Float => "float",
        Primitive::Double => "double",
        Primitive::Bool => "bool",
        Primitive::Char => "char",
        Primitive::UChar => "unsigned char",
        Primitive::Short => "short",
        Primitive::UShort => "unsigned short",
    }
}
