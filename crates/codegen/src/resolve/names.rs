//! Who defines what.

use std::collections::HashMap;

use super::Input;
use crate::ast::{Definition, Name, Position, Value};
use crate::error::{Error, ErrorKind};

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning<'s> {
    Constant(&'s Value),
    Type(&'s Definition),
}

/// Every name of every file.
#[derive(Debug)]
pub(super) struct Names<'s> {
    files: Vec<(&'s Input<'s>, HashMap<&'s str, Meaning<'s>>)>,
}

impl<'s> Names<'s> {
    pub(super) fn collect(inputs: &'s [Input<'s>]) -> Result<Self, Error> {
        let files = inputs.iter().map(|input| Ok((input, of_file(input)?)));
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// The definition of a name and the file it is in: the file that uses it comes first.
    pub(super) fn find(
        &self,
        user: &Input<'_>,
        name: &Name,
    ) -> Result<(&'s Input<'s>, Meaning<'s>), Error> {
        let own = self
            .files
            .iter()
            .filter(|(input, _)| input.module() == user.module());
        own.chain(&self.files)
            .find_map(|(input, names)| Some((*input, *names.get(name.text.as_str())?)))
            .ok_or_else(|| user.error(name.at, ErrorKind::Undefined(name.text.clone())))
    }

    /// The number that a constant's name stands for.
    pub(super) fn number(&self, user: &Input<'_>, name: &Name) -> Result<i64, Error> {
        self.value(user, &Value::Name(name.clone()))
    }

    /// The number that a value stands for.
    pub(super) fn value(&self, user: &Input<'_>, value: &Value) -> Result<i64, Error> {
        self.follow(user, value, MAX_CHAIN)
    }

    fn follow(&self, user: &Input<'_>, value: &Value, steps: usize) -> Result<i64, Error> {
        let name = match value {
            Value::Number(number) => return Ok(*number),
            Value::Name(name) => name,
        };
        if steps == 0 {
            return Err(user.error(name.at, ErrorKind::Recursive(name.text.clone())));
        }
        match self.find(user, name)? {
            (home, Meaning::Constant(value)) => self.follow(home, value, steps - 1),
            _ => Err(user.error(name.at, ErrorKind::NotAConstant(name.text.clone()))),
        }
    }
}

/// How many constants may be defined by one another before they count as a circle.
const MAX_CHAIN: usize = 16;

fn of_file<'s>(input: &'s Input<'s>) -> Result<HashMap<&'s str, Meaning<'s>>, Error> {
    let mut names = HashMap::new();
    for definition in &input.file.definitions {
        let meaning = match definition {
            Definition::Const { value, .. } => Meaning::Constant(value),
            _ => Meaning::Type(definition),
        };
        insert(input, &mut names, definition.name(), meaning)?;
        if let Definition::Enum(def) = definition {
            for member in &def.members {
                insert(
                    input,
                    &mut names,
                    &member.name,
                    Meaning::Constant(&member.value),
                )?;
            }
        }
    }
    Ok(names)
}

fn insert<'s>(
    input: &Input<'_>,
    names: &mut HashMap<&'s str, Meaning<'s>>,
    name: &'s Name,
    meaning: Meaning<'s>,
) -> Result<(), Error> {
    match names.insert(&name.text, meaning) {
        None => Ok(()),
        Some(_) => Err(input.error(name.at, ErrorKind::DefinedTwice(name.text.clone()))),
    }
}

/// Where a file defines a name, or the file's end.
pub(super) fn place(input: &Input<'_>, c_name: &str) -> Position {
    let definitions = input.file.definitions.iter();
    let mut names = definitions.flat_map(|definition| {
        let members = match definition {
            Definition::Enum(def) => def.members.as_slice(),
            _ => &[],
        };
        std::iter::once(definition.name()).chain(members.iter().map(|member| &member.name))
    });
    names
        .rfind(|name| name.text == c_name)
        .map_or(Position { remaining: 0 }, |name| name.at)
}
