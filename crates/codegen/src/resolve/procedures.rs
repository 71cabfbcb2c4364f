//! The enum of procedures: each member with its annotation and its messages.

use std::collections::HashSet;
use std::rc::Rc;

use super::Input;
use super::names::Names;
use super::types::Types;
use crate::ast::{Definition, EnumDef, EnumMember, Name};
use crate::error::{Error, ErrorKind};
use crate::model::{Module, Procedure, Program, TypeId};
use crate::naming::{self, Prefixes};
use crate::parse::{self, Kind};
use crate::repeat;

/// The suffixes of the structs that procedures carry.
const MESSAGES: [&str; 3] = ["args", "ret", "msg"];

/// The program's number and version, which a file with procedures must have.
pub(super) fn program(
    input: &Input<'_>,
    prefixes: &Prefixes,
    names: &Names<'_>,
) -> Result<Option<Program>, Error> {
    let number = constant(input, names, &prefixes.program())?;
    let version = constant(input, names, &prefixes.version())?;
    match (number, version) {
        (Some(number), Some(version)) => Ok(Some(Program { number, version })),
        _ => match find(input, &prefixes.procedure_enum()) {
            Some(name) => {
                let stem = input.module().to_uppercase();
                Err(input.error(name.at, ErrorKind::NoProgram(stem)))
            }
            None => Ok(None),
        },
    }
}

fn constant(input: &Input<'_>, names: &Names<'_>, c_name: &str) -> Result<Option<u32>, Error> {
    let Some(name) = find(input, c_name) else {
        return Ok(None);
    };
    let value = names.number(input, name)?;
    let number = u32::try_from(value)
        .map_err(|_| input.error(name.at, ErrorKind::Number(value.to_string())))?;
    Ok(Some(number))
}

/// The procedures in the order of the file.
pub(super) fn procedures(
    input: &Input<'_>,
    def: &EnumDef,
    prefixes: &Prefixes,
    names: &Names<'_>,
    types: &mut Types<'_>,
) -> Result<Vec<Procedure>, Error> {
    let mut numbers = HashSet::new();
    let mut procedures = Vec::new();
    for member in &def.members {
        let number = number(input, member, names)?;
        if !numbers.insert(number) {
            let kind = ErrorKind::DefinedTwice(number.to_string());
            return Err(input.error(member.name.at, kind));
        }
        procedures.push(procedure(input, member, number, prefixes, types)?);
    }
    Ok(procedures)
}

fn procedure(
    input: &Input<'_>,
    member: &EnumMember,
    number: i32,
    prefixes: &Prefixes,
    types: &mut Types<'_>,
) -> Result<Procedure, Error> {
    let missing = || {
        input.error(
            member.name.at,
            ErrorKind::NoAnnotation(member.name.text.clone()),
        )
    };
    let comment = member.comment.as_ref().ok_or_else(missing)?;
    let annotation = parse::annotation(input.source, comment)?;
    let word = prefixes.procedure_word(&member.name.text);
    let mut message = |suffix| bound(input, &prefixes.message(word, suffix), types);
    let (args, ret, msg) = (message("args")?, message("ret")?, message("msg")?);
    let (ret, strays) = match annotation.kind {
        Kind::Call => (ret, [msg, None]),
        Kind::Event => (msg, [args.clone(), ret]),
    };
    if let Some(stray) = strays.into_iter().flatten().next() {
        let kind = ErrorKind::WrongKind(stray.c_name.clone());
        return Err(input.error(member.name.at, kind));
    }
    Ok(Procedure {
        word: word.to_owned(),
        c_name: member.name.text.clone(),
        name: naming::camel(word),
        number,
        kind: annotation.kind,
        high_priority: annotation.high_priority,
        stream: annotation.stream,
        repeatable: repeat::only_reads(&annotation),
        sparse_flag: annotation.sparse_flag,
        since: annotation.since,
        acl: annotation.acl,
        acl_filter: annotation.acl_filter,
        args,
        ret,
    })
}

/// The struct of this name, if this file has it.
fn bound(
    input: &Input<'_>,
    c_name: &str,
    types: &mut Types<'_>,
) -> Result<Option<Rc<TypeId>>, Error> {
    find(input, c_name)
        .map(|name| types.message(input, name))
        .transpose()
}

fn number(input: &Input<'_>, member: &EnumMember, names: &Names<'_>) -> Result<i32, Error> {
    let value = names.value(input, &member.value)?;
    i32::try_from(value)
        .map_err(|_| input.error(member.name.at, ErrorKind::Number(value.to_string())))
}

fn find<'i>(input: &'i Input<'_>, c_name: &str) -> Option<&'i Name> {
    input
        .file
        .definitions
        .iter()
        .map(Definition::name)
        .find(|name| name.text == c_name)
}

/// A struct that is named like a message but belongs to no procedure is a mistake somewhere.
pub(super) fn check_orphans(
    input: &Input<'_>,
    prefixes: &Prefixes,
    module: &Module,
) -> Result<(), Error> {
    if module.procedures.is_empty() {
        return Ok(());
    }
    let used: HashSet<String> = module
        .procedures
        .iter()
        .flat_map(|procedure| MESSAGES.map(|suffix| prefixes.message(&procedure.word, suffix)))
        .collect();
    for definition in &input.file.definitions {
        let name = definition.name();
        let is_message = MESSAGES.iter().any(|suffix| {
            name.text
                .strip_suffix(suffix)
                .is_some_and(|stem| stem.ends_with('_'))
        });
        if matches!(definition, Definition::Struct(_)) && is_message && !used.contains(&name.text) {
            return Err(input.error(name.at, ErrorKind::Orphan(name.text.clone())));
        }
    }
    Ok(())
}
