//! From the numbers of a procedure to its type.

use super::output::Output;
use crate::model::{Model, Module, Procedure};
use crate::parse::Kind;

/// The function that finds a procedure or event by its numbers.
pub(super) fn emit(model: &Model) -> Output {
    let with_procedures = || {
        model
            .modules
            .iter()
            .filter(|module| !module.procedures.is_empty())
    };
    let names: Vec<&str> = with_procedures()
        .map(|module| module.name.as_str())
        .collect();
    let mut out = Output::default();
    out.line(format!("use super::{{{}}};", names.join(", ")));
    out.blank();
    out.doc(
        "Calls `visitor` with the type of a procedure or event; `None` when there is none of this",
    );
    out.doc("number.");
    out.block(
        "pub fn visit<V: Visitor>(program: Program, number: i32, visitor: V) -> Option<V::Output>",
        |out| {
            out.block("match program", |out| {
                for name in names {
                    out.line(format!("{name}::PROGRAM => visit_{name}(number, visitor),"));
                }
                out.line("_ => None,");
            });
        },
    );
    for module in with_procedures() {
        out.blank();
        program(&mut out, module);
    }
    out
}

fn program(out: &mut Output, module: &Module) {
    let name = &module.name;
    let head = format!("fn visit_{name}<V: Visitor>(number: i32, visitor: V) -> Option<V::Output>");
    out.block(head, |out| {
        out.wrapped("Some(match number {", "})", |out| {
            for procedure in &module.procedures {
                out.line(arm(module, procedure));
            }
            out.line("_ => return None,");
        });
    });
}

fn arm(module: &Module, procedure: &Procedure) -> String {
    let method = match procedure.kind {
        Kind::Call => "procedure",
        Kind::Event => "event",
    };
    let Procedure { number, name, .. } = procedure;
    format!("{number} => visitor.{method}::<{}::{name}>(),", module.name)
}
