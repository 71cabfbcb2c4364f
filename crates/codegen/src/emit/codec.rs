//! `Encode`, `Decode` and `IntoOwned` for every type, as straight lines of calls.

use super::output::{Output, number};
use super::types::{generics, path, primitive_name};
use crate::model::{Enum, Field, Module, Struct, Type, TypeDef, TypeId, Union, Variant};

pub(super) fn definition(out: &mut Output, module: &Module, def: &TypeDef) {
    match def {
        TypeDef::Struct(def) => structure(out, module, def),
        TypeDef::Union(def) => union(out, module, def),
        TypeDef::Enum(def) => enumeration(out, def),
    }
}

fn structure(out: &mut Output, module: &Module, def: &Struct) {
    let id = &def.id;
    encode_impl(out, id, |out| {
        for field in &def.fields {
            out.line(encode_field(id, field, &format!("self.{}", field.name)));
        }
        out.line("Ok(())");
    });
    decode_impl(out, id, |out| {
        out.wrapped("Ok(Self {", "})", |out| {
            for field in &def.fields {
                out.line(format!(
                    "{}: {},",
                    field.name,
                    decode_field(module, id, field)
                ));
            }
        });
    });
    into_owned_impl(out, id, |out| {
        out.block(id.name.as_str(), |out| {
            for Field { name, ty, .. } in &def.fields {
                let copy = if ty.borrows() { ".into_owned()" } else { "" };
                out.line(format!("{name}: self.{name}{copy},"));
            }
        });
    });
}

fn union(out: &mut Output, module: &Module, def: &Union) {
    let id = &def.id;
    encode_impl(out, id, |out| {
        out.block("match self", |out| encode_variants(out, def));
        out.line("Ok(())");
    });
    decode_impl(out, id, |out| {
        let tag = in_field("r.i32()", id, &def.discriminant);
        out.block(format!("match {tag}"), |out| {
            decode_variants(out, module, def)
        });
    });
    into_owned_impl(out, id, |out| {
        out.block("match self", |out| own_variants(out, def));
    });
}

fn encode_variants(out: &mut Output, def: &Union) {
    for Variant {
        name, value, field, ..
    } in &def.variants
    {
        let tag = format!("w.i32({});", number(*value));
        match field {
            Some(field) => out.block(format!("Self::{name}(value) =>"), |out| {
                out.line(tag);
                out.line(encode_field(&def.id, field, "*value"));
            }),
            None => out.line(format!("Self::{name} => {tag}")),
        }
    }
}

fn decode_variants(out: &mut Output, module: &Module, def: &Union) {
    for Variant {
        name, value, field, ..
    } in &def.variants
    {
        let inner = match field {
            Some(field) => format!("({})", decode_field(module, &def.id, field)),
            None => String::new(),
        };
        out.line(format!("{} => Ok(Self::{name}{inner}),", number(*value)));
    }
    out.line("other => Err(r.unknown_discriminant(other)),");
}

fn own_variants(out: &mut Output, def: &Union) {
    for Variant { name, field, .. } in &def.variants {
        let path = format!("{}::{name}", def.id.name);
        match field {
            Some(field) if field.ty.borrows() => {
                out.line(format!(
                    "Self::{name}(value) => {path}(value.into_owned()),"
                ));
            }
            Some(_) => out.line(format!("Self::{name}(value) => {path}(value),")),
            None => out.line(format!("Self::{name} => {path},")),
        }
    }
}

fn enumeration(out: &mut Output, def: &Enum) {
    encode_impl(out, &def.id, |out| {
        out.line("w.i32(self.0);");
        out.line("Ok(())");
    });
    decode_impl(out, &def.id, |out| out.line("r.i32().map(Self)"));
    into_owned_impl(out, &def.id, |_| {});
}

fn encode_impl(out: &mut Output, id: &TypeId, body: impl FnOnce(&mut Output)) {
    out.block(
        format!("impl Encode for {}{}", id.name, generics(id, "'_")),
        |out| {
            inline(out, id);
            out.block(
                "fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError>",
                body,
            );
        },
    );
    out.blank();
}

fn decode_impl(out: &mut Output, id: &TypeId, body: impl FnOnce(&mut Output)) {
    out.block(
        format!("impl<'a> Decode<'a> for {}{}", id.name, generics(id, "'a")),
        |out| {
            out.line(format!("const MIN_SIZE: usize = {};", id.min_size));
            out.blank();
            inline(out, id);
            out.block(
                "fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError>",
                body,
            );
        },
    );
    out.blank();
}

/// The conversion of a type that borrows by `body`, and of one that does not by nothing.
fn into_owned_impl(out: &mut Output, id: &TypeId, body: impl FnOnce(&mut Output)) {
    out.block(
        format!("impl IntoOwned for {}{}", id.name, generics(id, "'_")),
        |out| {
            if id.borrows {
                out.line(format!("type Owned = {}<'static>;", id.name));
                out.blank();
                out.block("fn into_owned(self) -> Self::Owned", body);
            } else {
                out.line("type Owned = Self;");
                out.blank();
                out.block("fn into_owned(self) -> Self", |out| out.line("self"));
            }
        },
    );
    out.blank();
}

/// Building blocks are inlined into the messages that hold them; messages are not inlined.
fn inline(out: &mut Output, id: &TypeId) {
    if !["_args", "_ret", "_msg"]
        .iter()
        .any(|suffix| id.c_name.ends_with(suffix))
    {
        out.line("#[inline]");
    }
}

fn encode_field(id: &TypeId, field: &Field, place: &str) -> String {
    match encode(&field.ty, place) {
        Call::Sure(call) => format!("{call};"),
        Call::Fallible(call) => format!("{};", in_field(&call, id, &field.name)),
    }
}

fn decode_field(module: &Module, id: &TypeId, field: &Field) -> String {
    in_field(&decode(&field.ty, module), id, &field.name)
}

fn in_field(call: &str, id: &TypeId, field: &str) -> String {
    format!("{call}.in_field(\"{}\", \"{field}\")?", id.name)
}

/// The expression that reads a value of type `ty` from `r`.
fn decode(ty: &Type, module: &Module) -> String {
    match ty {
        Type::Primitive(primitive) => format!("r.{}()", primitive_name(*primitive)),
        Type::String(bound) => format!("r.string({})", number(bound.max)),
        Type::Opaque(bound) => format!("r.opaque({})", number(bound.max)),
        Type::FixedOpaque(_) => "r.fixed_opaque()".to_owned(),
        Type::Chars(bound) => format!("r.chars({})", number(bound.max)),
        Type::FixedChars(_) => "r.fixed_chars()".to_owned(),
        Type::Array(element, bound) => {
            let (max, min_size) = (number(bound.max), element.min_size());
            format!("r.array({max}, {min_size}, {})", reader(element, module))
        }
        Type::FixedArray(element, _) => format!("r.fixed_array({})", reader(element, module)),
        Type::Optional(inner) => format!("r.optional({})", reader(inner, module)),
        Type::Named(id) => format!("{}::decode(r)", path(id, module)),
    }
}

/// A function that reads a value of type `ty` from the reader it is given.
fn reader(ty: &Type, module: &Module) -> String {
    match ty {
        Type::Primitive(primitive) => format!("Reader::{}", primitive_name(*primitive)),
        Type::Named(id) => format!("{}::decode", path(id, module)),
        _ => format!("|r| {}", decode(ty, module)),
    }
}

/// A call on the writer, which may or may not be able to fail.
enum Call {
    Sure(String),
    Fallible(String),
}

/// The expression that writes the value at `place`, of type `ty`, to `w`.
fn encode(ty: &Type, place: &str) -> Call {
    // A reference is what most methods want; `&*value` is `value`.
    let reference = match place.strip_prefix('*') {
        Some(reference) => reference.to_owned(),
        None => format!("&{place}"),
    };
    let by_dot = place.trim_start_matches('*');
    Call::Fallible(match ty {
        Type::Primitive(primitive) => {
            return Call::Sure(format!("w.{}({place})", primitive_name(*primitive)));
        }
        Type::FixedOpaque(_) => return Call::Sure(format!("w.fixed_opaque({reference})")),
        Type::FixedChars(_) => return Call::Sure(format!("w.fixed_chars({reference})")),
        Type::String(bound) => format!("w.string({reference}, {})", number(bound.max)),
        Type::Opaque(bound) => format!("w.opaque({reference}, {})", number(bound.max)),
        Type::Chars(bound) => format!("w.chars({reference}, {})", number(bound.max)),
        Type::Array(element, bound) => {
            format!(
                "w.array({reference}, {}, {})",
                number(bound.max),
                writer(element)
            )
        }
        Type::FixedArray(element, _) => format!("w.fixed_array({reference}, {})", writer(element)),
        Type::Optional(inner) => format!("w.optional({reference}, {})", writer(inner)),
        Type::Named(_) => format!("{by_dot}.encode(w)"),
    })
}

/// A closure that writes the value it is given a reference to.
fn writer(ty: &Type) -> String {
    match encode(ty, "*v") {
        Call::Sure(call) => format!("|w, v| {{ {call}; Ok(()) }}"),
        Call::Fallible(call) => format!("|w, v| {call}"),
    }
}
