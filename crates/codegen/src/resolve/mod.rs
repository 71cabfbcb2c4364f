//! Syntax to [`model`](crate::model): names looked up, constants folded, typedefs followed,
//! arguments, replies and messages bound to their procedures.

mod names;
mod procedures;
mod types;

use std::collections::HashSet;

use names::Names;
use types::Types;

use crate::SourceFile;
use crate::ast::{Definition, File, Position};
use crate::error::{Error, ErrorKind};
use crate::model::{Constant, Model, Module, TypeDef};
use crate::naming::Prefixes;

/// A file with its syntax.
#[derive(Debug)]
pub(crate) struct Input<'s> {
    pub(crate) source: &'s SourceFile,
    pub(crate) file: File,
}

impl Input<'_> {
    pub(crate) fn module(&self) -> &str {
        self.source.module()
    }

    fn error(&self, at: Position, kind: ErrorKind) -> Error {
        Error::new(self.source, at, kind)
    }
}

/// Resolves all files together; a file may use the names of any other.
pub(crate) fn resolve(inputs: &[Input<'_>]) -> Result<Model, Error> {
    let names = Names::collect(inputs)?;
    let mut types = Types::new(&names);
    let modules = inputs.iter().map(|input| module(input, &names, &mut types));
    Ok(Model {
        modules: modules.collect::<Result<_, _>>()?,
    })
}

fn module(input: &Input<'_>, names: &Names<'_>, types: &mut Types<'_>) -> Result<Module, Error> {
    let prefixes = Prefixes::of(input.module());
    let procedure_enum = prefixes.procedure_enum();
    let mut module = Module {
        name: input.module().to_owned(),
        program: procedures::program(input, &prefixes, names)?,
        constants: Vec::new(),
        types: Vec::new(),
        procedures: Vec::new(),
    };
    for definition in &input.file.definitions {
        match definition {
            Definition::Const { name, .. } => {
                // These two are the module's PROGRAM.
                if name.text != prefixes.program() && name.text != prefixes.version() {
                    module.constants.push(Constant {
                        c_name: name.text.clone(),
                        name: prefixes.constant_name(&name.text),
                        value: names.number(input, name)?,
                    });
                }
            }
            Definition::Enum(def) if def.name.text == procedure_enum => {
                module.procedures = procedures::procedures(input, def, &prefixes, names, types)?;
            }
            Definition::Typedef(declaration) => types.check(input, declaration)?,
            Definition::Enum(def) => module
                .types
                .push(TypeDef::Enum(types.enum_def(input, def)?)),
            Definition::Struct(def) => {
                module
                    .types
                    .push(TypeDef::Struct(types.struct_def(input, def)?));
            }
            Definition::Union(def) => {
                module
                    .types
                    .push(TypeDef::Union(types.union_def(input, def)?));
            }
        }
    }
    procedures::check_orphans(input, &prefixes, &module)?;
    check_rust_names(input, &module)?;
    Ok(module)
}

/// Types and procedures share a namespace in Rust, though not in C.
fn check_rust_names(input: &Input<'_>, module: &Module) -> Result<(), Error> {
    let types = module
        .types
        .iter()
        .map(|def| (&def.id().c_name, &def.id().name));
    let procedures = module.procedures.iter().map(|def| (&def.c_name, &def.name));
    let mut taken = HashSet::new();
    for (c_name, name) in types.chain(procedures) {
        if !taken.insert(name) {
            let at = names::place(input, c_name);
            return Err(input.error(at, ErrorKind::RustNameTaken(name.clone())));
        }
    }
    Ok(())
}
