//! Constants that the protocol files use but leave to C headers.

use std::collections::HashSet;

use crate::SourceFile;
use crate::ast::{Declaration, Definition, File, Form, Name, Value};
use crate::error::{Error, ErrorKind};

/// C headers, searched for `#define NAME (1 + 2)` and `NAME = 3`.
#[derive(Debug)]
pub(super) struct Headers<'h> {
    headers: &'h [SourceFile],
}

impl<'h> Headers<'h> {
    pub(super) fn new(headers: &'h [SourceFile]) -> Self {
        Self { headers }
    }

    /// Defines what the file uses without defining it: a constant that is only another name for
    /// one becomes a number, all others get a definition at the top.
    pub(super) fn complete(&self, source: &SourceFile, file: &mut File) -> Result<(), Error> {
        let mut defined: HashSet<String> = file
            .definitions
            .iter()
            .map(|def| def.name().text.clone())
            .collect();
        for definition in &mut file.definitions {
            if let Definition::Const { value, .. } = definition {
                if let Value::Name(name) = value {
                    *value = Value::Number(self.number(source, name)?);
                }
            }
        }
        let mut added = Vec::new();
        for name in used(file) {
            if defined.insert(name.text.clone()) {
                let value = Value::Number(self.number(source, &name)?);
                added.push(Definition::Const { name, value });
            }
        }
        file.definitions.splice(0..0, added);
        Ok(())
    }

    fn number(&self, source: &SourceFile, name: &Name) -> Result<i64, Error> {
        let mut lines = self.headers.iter().flat_map(|header| header.text.lines());
        lines
            .find_map(|line| defined_as(line, &name.text))
            .ok_or_else(|| Error::new(source, name.at, ErrorKind::Undefined(name.text.clone())))
    }
}

/// The number that `line` gives to `name`, if it does.
fn defined_as(line: &str, name: &str) -> Option<i64> {
    let line = line.trim_start_matches([' ', '#']);
    let line = line.strip_prefix("define ").unwrap_or(line);
    let value = line.strip_prefix(name)?;
    let value = value
        .strip_prefix([' ', '\t'])?
        .trim_start_matches([' ', '\t', '=']);
    let value = value
        .split([',', '/'])
        .next()?
        .trim()
        .trim_matches(['(', ')']);
    value
        .split('+')
        .map(|term| term.trim().parse::<i64>().ok())
        .sum()
}

/// The constants that the file's bounds, cases and enums name.
fn used(file: &File) -> Vec<Name> {
    let mut names = Vec::new();
    for definition in &file.definitions {
        match definition {
            Definition::Const { .. } | Definition::Enum(_) => {}
            Definition::Typedef(declaration) => names.extend(of_form(declaration)),
            Definition::Struct(def) => names.extend(def.fields.iter().filter_map(of_form)),
            Definition::Union(def) => {
                for arm in &def.arms {
                    names.extend(arm.labels.iter().cloned());
                    names.extend(arm.declaration.iter().filter_map(of_form));
                }
            }
        }
    }
    names
}

fn of_form(declaration: &Declaration) -> Option<Name> {
    match &declaration.form {
        Form::Fixed(Value::Name(name)) | Form::Variable(Some(Value::Name(name))) => {
            Some(name.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::defined_as;

    #[test]
    fn definitions_of_headers_are_numbers() {
        assert_eq!(
            defined_as("# define VIR_X_BUFLEN (256 + 1)", "VIR_X_BUFLEN"),
            Some(257)
        );
        assert_eq!(defined_as("#define VIR_X 16", "VIR_X"), Some(16));
        assert_eq!(
            defined_as("    VIR_X     = 3, /* text */", "VIR_X"),
            Some(3)
        );
        assert_eq!(defined_as("    VIR_X = 3, /* text */", "VIR_"), None);
        assert_eq!(defined_as("#define VIR_X_Y 16", "VIR_X"), None);
    }
}
