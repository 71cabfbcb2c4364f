//! Public flags as `bitflags` types, public enums as open newtypes, strings as `&str`.

use super::output::{Output, number};
use super::types::{open_enum, origin};
use crate::table::{Public, PublicString, PublicType};

pub(super) fn emit(public: &Public) -> Output {
    let mut out = Output::default();
    for ty in &public.types {
        match ty.is_flags {
            true => flags(&mut out, ty),
            false => {
                out.doc(format!("`{}`.", ty.c_name));
                open_enum(&mut out, &ty.name, &ty.members);
            }
        }
        out.blank();
    }
    if !public.strings.is_empty() {
        names(&mut out, &public.strings);
    }
    out
}

fn names(out: &mut Output, strings: &[PublicString]) {
    out.doc("Names of typed parameters, statistics and the like.");
    out.block("pub mod names", |out| {
        for PublicString {
            c_name,
            name,
            value,
            since,
        } in strings
        {
            out.doc(format!("`{c_name}`, since libvirt {since}."));
            out.line(format!(
                "pub const {name}: &str = \"{}\";",
                value.escape_default()
            ));
        }
    });
}

fn flags(out: &mut Output, ty: &PublicType) {
    out.block("::bitflags::bitflags!", |out| {
        out.doc(format!("`{}`.", ty.c_name));
        out.line("#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]");
        out.block(format!("pub struct {}: u32", ty.name), |out| {
            for member in &ty.members {
                out.doc(origin(member));
                out.line(format!("const {} = {};", member.name, number(member.value)));
            }
            out.line("// Bits of later releases are kept.");
            out.line("const _ = !0;");
        });
    });
}
