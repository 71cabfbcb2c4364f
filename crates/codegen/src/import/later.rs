//! Definitions of releases newer than the sources that are imported.

use super::print;
use crate::SourceFile;
use crate::ast::{Definition, EnumDef, File};
use crate::error::{Error, ErrorKind};
use crate::naming::Prefixes;

/// Adds what `later` has for this file's module and the file itself has not.
pub(super) fn append(
    source: &SourceFile,
    file: &mut File,
    later_source: &SourceFile,
    later: &File,
) -> Result<(), Error> {
    let program = Prefixes::of(source.module()).program();
    let own = |text: &str| {
        text.to_lowercase()
            .starts_with(&format!("{}_", source.module()))
    };
    for definition in later.definitions.iter().filter(|def| own(&def.name().text)) {
        let name = definition.name();
        let differs = || {
            Error::new(
                later_source,
                name.at,
                ErrorKind::LaterDiffers(name.text.clone()),
            )
        };
        let present = file
            .definitions
            .iter_mut()
            .find(|def| def.name().text == name.text);
        match (present, definition) {
            (Some(Definition::Enum(present)), Definition::Enum(def)) => {
                extend(present, def).then_some(()).ok_or_else(differs)?;
            }
            (Some(present), _) if print::definition(present) == print::definition(definition) => {}
            (Some(_), _) => return Err(differs()),
            (None, _) => {
                // Before the program's number, where the other messages end.
                let end = file.definitions.len();
                let place = file
                    .definitions
                    .iter()
                    .position(|def| def.name().text == program);
                file.definitions
                    .insert(place.unwrap_or(end), definition.clone());
            }
        }
    }
    Ok(())
}

/// Adds the missing members; false if one is there with another value.
fn extend(present: &mut EnumDef, later: &EnumDef) -> bool {
    for member in &later.members {
        match present
            .members
            .iter()
            .find(|other| other.name.text == member.name.text)
        {
            Some(other) if print::value(&other.value) == print::value(&member.value) => {}
            Some(_) => return false,
            None => present.members.push(member.clone()),
        }
    }
    true
}
