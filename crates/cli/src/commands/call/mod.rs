//! `call`: any procedure of any program, with JSON for its arguments and its reply.

mod decode;
mod describe;
mod encode;
mod find;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use serde_json::Value;
use virtwire::Program;
use virtwire::schema::{ProcedureKind, ProcedureSchema, UnionSchema};
use virtwire::xdr::Reader;

pub(super) use self::decode::{boolean, float, hex, string};
use super::connect;
use crate::args::{Arguments, Call};
use crate::failure::Failure;
use crate::output::{Output, Report};

/// Names of the arms of libvirt's typed parameters, which are numbered from 1 in the C header.
const TYPED_PARAM_ARMS: [(i32, &str); 7] = [
    (1, "int"),
    (2, "uint"),
    (3, "llong"),
    (4, "ullong"),
    (5, "double"),
    (6, "boolean"),
    (7, "string"),
];

pub(super) async fn run(
    arguments: &Arguments,
    call: &Call,
    output: Output,
) -> Result<Report, Failure> {
    if call.list {
        return Ok(describe::list());
    }
    if let Some(name) = &call.describe {
        return Ok(describe::one(find::procedure(name)?));
    }
    let procedure = find::procedure(call.procedure.as_deref().unwrap_or_default())?;
    check_callable(procedure)?;
    let args = encoded_arguments(procedure, call.arguments.as_deref())?;
    let connection = connect(arguments).await?;
    let reply = connection.call_raw(procedure, &args).await?;
    let document = decoded_reply(procedure, &reply.body, output)?;
    connection.close().await;
    Ok(Report::document(document.clone(), pretty(&document)))
}

fn check_callable(procedure: &ProcedureSchema) -> Result<(), Failure> {
    let name = procedure.name;
    if procedure.kind != ProcedureKind::Call {
        return Err(Failure::Usage(format!(
            "{name} is an event: the daemon sends it, nobody calls it"
        )));
    }
    if procedure.stream.is_stream() {
        let message = format!("{name} opens a data stream, which `call` cannot carry yet");
        return Err(Failure::Usage(message));
    }
    Ok(())
}

fn encoded_arguments(procedure: &ProcedureSchema, json: Option<&str>) -> Result<Vec<u8>, Failure> {
    let document = match json {
        Some("-") => {
            let mut text = String::new();
            let read = io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| Failure::io("cannot read standard input", error))?;
            Some(parse(&text)?)
        }
        Some(text) => Some(parse(text)?),
        None => None,
    };
    let usage = |error: String| {
        let name = procedure.name;
        let hint = describe::hint(procedure);
        Failure::Usage(format!("{name}: {error}; {hint}"))
    };
    encode::arguments(procedure.args, document.as_ref()).map_err(|error| usage(error.to_string()))
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Usage(format!("the arguments are not JSON: {error}")))
}

fn decoded_reply(
    procedure: &ProcedureSchema,
    body: &[u8],
    output: Output,
) -> Result<Value, Failure> {
    let mut reader = Reader::new(body);
    let document = decode::reply(procedure.ret, &mut reader)
        .map_err(|error| Failure::Reply(format!("cannot read the reply: {error}")))?;
    if reader.remaining() > 0 && !output.is_json() {
        // A newer daemon may append fields.
        let count = reader.remaining();
        output.remark(&format!(
            "note: {count} bytes follow what is known of this reply"
        ));
    }
    Ok(document)
}

fn pretty(document: &Value) -> String {
    format!("{document:#}")
}

/// The name by which an arm of a union is chosen in JSON.
fn arm_name(union: &UnionSchema, value: i32, c_name: &'static str) -> &'static str {
    let typed_param = union.name.ends_with("_typed_param_value");
    let known = TYPED_PARAM_ARMS
        .iter()
        .find(|(number, _)| typed_param && *number == value);
    known.map_or(c_name, |(_, name)| name)
}

/// Whether it is the arm that holds a truth value in an `int`.
fn is_boolean(union: &UnionSchema, value: i32) -> bool {
    arm_name(union, value, "") == "boolean"
}

/// A program as people write it.
fn program_text(program: Program) -> String {
    format!("{:#010x}", program.number)
}
