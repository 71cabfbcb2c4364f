//! Events: messages that the server sends, which nobody can call.

use super::output::Output;
use super::procedures::{message, since_const};
use crate::model::{Module, Procedure};
use crate::parse::Kind;

/// The events of a module.
pub(super) fn of(module: &Module) -> impl Iterator<Item = &Procedure> {
    module
        .procedures
        .iter()
        .filter(|procedure| procedure.kind == Kind::Event)
}

/// `impl Event` for the unit struct of an event.
pub(super) fn implementation(out: &mut Output, module: &Module, event: &Procedure) {
    out.block(format!("impl Event for {}", event.name), |out| {
        out.line("const PROGRAM: Program = PROGRAM;");
        out.line(format!("const NUMBER: i32 = {};", event.number));
        out.line(format!("const NAME: &'static str = \"{}\";", event.word));
        out.line(since_const(event));
        out.line(format!(
            "type Msg<'a> = {};",
            message(event.ret.as_deref(), module)
        ));
    });
}
