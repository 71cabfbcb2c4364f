//! A unit struct per procedure and event, and what the protocol says about it.

use super::events;
use super::output::Output;
use super::types::{generics, path};
use crate::model::{Module, Procedure, Stream, TypeId};
use crate::parse::Kind;

/// The unit struct of a procedure or event with its trait.
pub(super) fn procedure(out: &mut Output, module: &Module, procedure: &Procedure) {
    documentation(out, procedure);
    out.line("#[derive(Debug, Clone, Copy)]");
    out.line(format!("pub struct {};", procedure.name));
    out.blank();
    out.line(format!("impl Sealed for {} {{}}", procedure.name));
    out.blank();
    match procedure.kind {
        Kind::Call => implementation(out, module, procedure),
        Kind::Event => events::implementation(out, module, procedure),
    }
    out.blank();
}

fn documentation(out: &mut Output, procedure: &Procedure) {
    let what = match procedure.kind {
        Kind::Call => "procedure",
        Kind::Event => "event",
    };
    let Procedure {
        c_name,
        number,
        since,
        ..
    } = procedure;
    let when = if since.exact {
        "since"
    } else {
        "at the latest since"
    };
    out.doc(format!(
        "`{c_name}`, {what} {number}, {when} libvirt {}.",
        since.release
    ));
    let mut notes = Vec::new();
    if let Some(flag) = &procedure.sparse_flag {
        notes.push(format!("The stream may have holes with the flag `{flag}`."));
    }
    if !procedure.acl.is_empty() {
        notes.push(format!("Needs {}.", quoted(&procedure.acl)));
    }
    if !procedure.acl_filter.is_empty() {
        notes.push(format!(
            "Leaves out what the caller lacks {} for.",
            quoted(&procedure.acl_filter)
        ));
    }
    for note in notes {
        out.line("///");
        out.doc(note);
    }
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn implementation(out: &mut Output, module: &Module, procedure: &Procedure) {
    out.block(format!("impl Procedure for {}", procedure.name), |out| {
        out.line("const PROGRAM: Program = PROGRAM;");
        out.line(format!("const NUMBER: i32 = {};", procedure.number));
        out.line(format!(
            "const NAME: &'static str = \"{}\";",
            procedure.word
        ));
        out.line(format!(
            "const PRIORITY: Priority = {};",
            priority(procedure)
        ));
        out.line(format!(
            "const STREAM: StreamDirection = {};",
            stream(procedure)
        ));
        out.line(format!(
            "const REPEATABLE: bool = {};",
            procedure.repeatable
        ));
        out.line(since_const(procedure));
        out.line(format!(
            "type Args<'a> = {};",
            message(procedure.args.as_deref(), module)
        ));
        out.line(format!(
            "type Ret<'a> = {};",
            message(procedure.ret.as_deref(), module)
        ));
    });
}

pub(super) fn since_const(procedure: &Procedure) -> String {
    format!("const SINCE: Release = {};", since(procedure))
}

pub(super) fn since(procedure: &Procedure) -> String {
    let release = procedure.since.release;
    format!(
        "Release::new({}, {}, {})",
        release.major, release.minor, release.micro
    )
}

pub(super) fn priority(procedure: &Procedure) -> &'static str {
    if procedure.high_priority {
        "Priority::High"
    } else {
        "Priority::Low"
    }
}

pub(super) fn stream(procedure: &Procedure) -> &'static str {
    match procedure.stream {
        Stream::None => "StreamDirection::None",
        Stream::Upload => "StreamDirection::Upload",
        Stream::Download => "StreamDirection::Download",
        Stream::Both => "StreamDirection::Bidirectional",
    }
}

/// The type of a message with the lifetime of its associated type; `()` for none.
pub(super) fn message(id: Option<&TypeId>, module: &Module) -> String {
    match id {
        Some(id) => format!("{}{}", path(id, module), generics(id, "'a")),
        None => "()".to_owned(),
    }
}
