//! Constants, structs, unions and enums: the types without their codecs.

use super::output::{Output, number};
use crate::model::{
    Bound, Enum, Field, Member, Module, Primitive, Struct, Type, TypeDef, TypeId, Union, Variant,
};

/// `PROGRAM`, where the module has one.
pub(super) fn program(out: &mut Output, module: &Module) {
    if let Some(program) = module.program {
        out.doc(format!("The program `{}`.", module.name));
        out.line(format!(
            "pub const PROGRAM: Program = Program::new({:#010x}, {});",
            program.number, program.version
        ));
        out.blank();
    }
}

/// The numbers that the file defines, mostly bounds.
pub(super) fn constants(out: &mut Output, module: &Module) {
    for constant in &module.constants {
        let ty = if u32::try_from(constant.value).is_ok() {
            "u32"
        } else {
            "i64"
        };
        out.doc(format!("`{}`.", constant.c_name));
        out.line(format!(
            "pub const {}: {ty} = {};",
            constant.name,
            number(constant.value)
        ));
    }
    out.blank();
}

pub(super) fn definition(out: &mut Output, module: &Module, def: &TypeDef) {
    match def {
        TypeDef::Struct(def) => structure(out, module, def),
        TypeDef::Union(def) => union(out, module, def),
        TypeDef::Enum(def) => enumeration(out, def),
    }
    out.blank();
}

fn structure(out: &mut Output, module: &Module, def: &Struct) {
    let id = &def.id;
    out.doc(format!("`{}`.", id.c_name));
    let default = if id.has_default { ", Default" } else { "" };
    out.line(format!("#[derive(Debug, Clone, PartialEq{default})]"));
    out.block(
        format!("pub struct {}{}", id.name, generics(id, "'a")),
        |out| {
            for field in &def.fields {
                out.doc(described(field));
                out.line(format!(
                    "pub {}: {},",
                    field.name,
                    rust_type(&field.ty, module, "'a")
                ));
            }
        },
    );
}

fn union(out: &mut Output, module: &Module, def: &Union) {
    let id = &def.id;
    out.doc(format!(
        "`{}`, chosen by `{}`.",
        id.c_name, def.discriminant
    ));
    out.line("#[derive(Debug, Clone, PartialEq)]");
    out.line("#[non_exhaustive]");
    out.block(
        format!("pub enum {}{}", id.name, generics(id, "'a")),
        |out| {
            for Variant {
                c_label,
                name,
                value,
                field,
            } in &def.variants
            {
                out.doc(format!("`{c_label}` ({value})."));
                match field {
                    Some(field) => {
                        out.line(format!("{name}({}),", rust_type(&field.ty, module, "'a")));
                    }
                    None => out.line(format!("{name},")),
                }
            }
        },
    );
}

fn enumeration(out: &mut Output, def: &Enum) {
    out.doc(format!("`{}`.", def.id.c_name));
    open_enum(out, &def.id.name, &def.members);
}

/// A newtype over `i32` that keeps values it has no name for.
pub(super) fn open_enum(out: &mut Output, name: &str, members: &[Member]) {
    out.line("#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]");
    out.line(format!("pub struct {name}(pub i32);"));
    out.blank();
    out.block(format!("impl {name}"), |out| {
        for member in members {
            out.doc(origin(member));
            out.line(format!(
                "pub const {}: Self = Self({});",
                member.name,
                number(member.value)
            ));
        }
        out.blank();
        out.doc("The name of this value, if it is one of the above.");
        out.line("#[must_use]");
        out.block("pub const fn name(self) -> Option<&'static str>", |out| {
            out.wrapped("Some(match self.0 {", "})", |out| names(out, members));
        });
    });
    out.blank();
    out.block(format!("impl ::core::fmt::Debug for {name}"), |out| {
        let signature = "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result";
        out.block(signature, |out| {
            out.block("match self.name()", |out| {
                out.line("Some(name) => f.write_str(name),");
                out.line(format!("None => write!(f, \"{name}({{}})\", self.0),"));
            });
        });
    });
    out.blank();
    out.block(format!("impl From<i32> for {name}"), |out| {
        out.block("fn from(value: i32) -> Self", |out| out.line("Self(value)"));
    });
}

/// The arms of `name()`; of two names for one value the first counts.
fn names(out: &mut Output, members: &[Member]) {
    for (index, member) in members.iter().enumerate() {
        if members
            .iter()
            .take(index)
            .all(|earlier| earlier.value != member.value)
        {
            out.line(format!("{} => \"{}\",", number(member.value), member.name));
        }
    }
    out.line("_ => return None,");
}

/// Where a constant comes from.
pub(super) fn origin(member: &Member) -> String {
    match member.since {
        Some(since) => format!("`{}`, since libvirt {since}.", member.c_name),
        None => format!("`{}`.", member.c_name),
    }
}

/// The doc line of a field: its C name and its bound.
fn described(field: &Field) -> String {
    let bound = match &field.ty {
        Type::Optional(inner) => bound(inner),
        ty => bound(ty),
    };
    match bound {
        Some(bound) => format!("`{}`: {bound}.", field.c_name),
        None => format!("`{}`.", field.c_name),
    }
}

fn bound(ty: &Type) -> Option<String> {
    let (bound, unit) = match ty {
        Type::String(bound) | Type::Opaque(bound) => (bound, "bytes"),
        Type::Chars(bound) => (bound, "characters"),
        Type::Array(_, bound) => (bound, "elements"),
        _ => return None,
    };
    let Bound { max, c_name } = bound;
    Some(match c_name {
        Some(c_name) => format!("at most {max} {unit} (`{c_name}`)"),
        None => format!("at most {max} {unit}"),
    })
}

/// `<'a>` for a type that borrows, nothing for others.
pub(super) fn generics(id: &TypeId, lifetime: &str) -> String {
    if id.borrows {
        format!("<{lifetime}>")
    } else {
        String::new()
    }
}

/// A named type as `module` writes it, without its lifetime.
pub(super) fn path(id: &TypeId, module: &Module) -> String {
    if id.module == module.name {
        id.name.clone()
    } else {
        format!("super::{}::{}", id.module, id.name)
    }
}

/// A type as `module` writes it.
pub(super) fn rust_type(ty: &Type, module: &Module, lifetime: &str) -> String {
    match ty {
        Type::Primitive(primitive) => primitive_name(*primitive).to_owned(),
        Type::String(_) => format!("Str<{lifetime}>"),
        Type::Opaque(_) => format!("Opaque<{lifetime}>"),
        Type::FixedOpaque(len) | Type::FixedChars(len) => format!("[u8; {len}]"),
        Type::Chars(_) => "Vec<u8>".to_owned(),
        Type::Array(element, _) => format!("Vec<{}>", rust_type(element, module, lifetime)),
        Type::FixedArray(element, len) => {
            format!("[{}; {len}]", rust_type(element, module, lifetime))
        }
        Type::Optional(inner) => format!("Option<{}>", rust_type(inner, module, lifetime)),
        Type::Named(id) => format!("{}{}", path(id, module), generics(id, lifetime)),
    }
}

/// The Rust type of a primitive, which is also the name of its methods on `Reader` and `Writer`.
pub(super) fn primitive_name(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::Int => "i32",
        Primitive::UInt => "u32",
        Primitive::Hyper => "i64",
        Primitive::UHyper => "u64",
        Primitive::Float => "f32",
        Primitive::Double => "f64",
        Primitive::Bool => "bool",
        Primitive::Char => "i8",
        Primitive::UChar => "u8",
        Primitive::Short => "i16",
        Primitive::UShort => "u16",
    }
}
