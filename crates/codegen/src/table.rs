//! The tables of public constants: tab-separated, with a header row.

use crate::SourceFile;
use crate::ast::Position;
use crate::error::{Error, ErrorKind};
use crate::model::{Member, Release};
use crate::naming;

/// The public constants of libvirt.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) types: Vec<PublicType>,
    pub(crate) strings: Vec<PublicString>,
}

/// A public enum or set of flags.
#[derive(Debug)]
pub(crate) struct PublicType {
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) is_flags: bool,
    pub(crate) members: Vec<Member>,
}

/// A public string constant.
#[derive(Debug)]
pub(crate) struct PublicString {
    pub(crate) c_name: String,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) since: Release,
}

/// Reads both tables; an empty file is an empty table.
pub(crate) fn public(constants: &SourceFile, strings: &SourceFile) -> Result<Public, Error> {
    Ok(Public {
        types: types(constants)?,
        strings: public_strings(strings)?,
    })
}

/// One row of a table: its cells, each a part of the table's text.
pub(crate) struct Row<'t, const N: usize> {
    pub(crate) cells: [&'t str; N],
    at: Position,
}

impl<'t, const N: usize> Row<'t, N> {
    /// The cell of this column, counted from 0, which must be a name in C.
    fn name(&self, table: &SourceFile, column: usize) -> Result<&'t str, Error> {
        let cell = self.cells.get(column).copied().unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = |c: char| is_part(c) && !c.is_ascii_digit();
        if cell.starts_with(begins) && cell.chars().all(is_part) {
            return Ok(cell);
        }
        let kind = ErrorKind::NotAName(cell.escape_default().to_string());
        Err(self.error(table, column, kind))
    }

    /// An error in the cell of this column, counted from 0.
    pub(crate) fn error(&self, table: &SourceFile, column: usize, kind: ErrorKind) -> Error {
        let before = self.cells.iter().take(column);
        let offset: usize = before.map(|cell| cell.len() + 1).sum();
        let remaining = self.at.remaining.saturating_sub(offset);
        Error::new(table, Position { remaining }, kind)
    }
}

/// The rows of a table of `N` columns, without its header.
pub(crate) fn rows<const N: usize>(table: &SourceFile) -> Result<Vec<Row<'_, N>>, Error> {
    let mut rest = table.text.as_str();
    let mut rows = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let at = Position::of(rest);
        rest = after;
        let cells: Vec<&str> = line.split('\t').collect();
        let found = cells.len();
        let cells = cells
            .try_into()
            .map_err(|_| Error::new(table, at, ErrorKind::Columns { wanted: N, found }))?;
        rows.push(Row { cells, at });
    }
    Ok(rows.into_iter().skip(1).collect())
}

/// A member with the type it belongs to.
struct TypedMember {
    c_type: String,
    member: Member,
}

fn types(table: &SourceFile) -> Result<Vec<PublicType>, Error> {
    let rows = rows::<6>(table)?;
    let members: Vec<TypedMember> = rows
        .iter()
        .map(|row| member(table, row))
        .collect::<Result<_, _>>()?;
    let mut types: Vec<PublicType> = Vec::new();
    for TypedMember { c_type, member } in members {
        match types.iter_mut().find(|ty| ty.c_name == c_type) {
            Some(ty) => ty.members.push(member),
            None => types.push(PublicType {
                name: naming::public_type_name(&c_type),
                is_flags: naming::is_flags(&c_type),
                c_name: c_type,
                members: vec![member],
            }),
        }
    }
    types.iter_mut().for_each(finish);
    Ok(types)
}

fn member(table: &SourceFile, row: &Row<'_, 6>) -> Result<TypedMember, Error> {
    let [_, _, _, _, value, since] = row.cells;
    let (c_type, c_name) = (row.name(table, 2)?, row.name(table, 3)?);
    let wrong = |kind| row.error(table, 4, kind);
    let number: i64 = value
        .parse()
        .map_err(|_| wrong(ErrorKind::Number(value.to_owned())))?;
    let fits = match naming::is_flags(c_type) {
        true => u32::try_from(number).is_ok(),
        false => i32::try_from(number).is_ok(),
    };
    if !fits {
        return Err(wrong(ErrorKind::Number(value.to_owned())));
    }
    let release = since.parse().map_err(|kind| row.error(table, 5, kind))?;
    let member = Member {
        c_name: c_name.to_owned(),
        name: String::new(),
        value: number,
        since: Some(release),
    };
    Ok(TypedMember {
        c_type: c_type.to_owned(),
        member,
    })
}

/// Drops the sentinel and names the other members.
fn finish(ty: &mut PublicType) {
    if let Some(sentinel) = sentinel(&ty.members) {
        // A sentinel may have an older name beside it, which has the same value.
        ty.members.retain(|member| member.value != sentinel);
    }
    let c_names: Vec<&str> = ty
        .members
        .iter()
        .map(|member| member.c_name.as_str())
        .collect();
    let names = naming::member_names(&ty.c_name, &c_names);
    for (member, name) in ty.members.iter_mut().zip(names) {
        member.name = name;
    }
}

/// The value of the `…_LAST` that counts the members; a `_LAST` below others is a real value, as
/// in `VIR_NETWORK_UPDATE_COMMAND_ADD_LAST`.
fn sentinel(members: &[Member]) -> Option<i64> {
    let greatest = members.iter().map(|member| member.value).max()?;
    members
        .iter()
        .any(|member| member.value == greatest && member.c_name.ends_with("_LAST"))
        .then_some(greatest)
}

fn public_strings(table: &SourceFile) -> Result<Vec<PublicString>, Error> {
    let rows = rows::<5>(table)?;
    let strings = rows.iter().map(|row| {
        let [_, _, _, value, since] = row.cells;
        let c_name = row.name(table, 2)?;
        Ok(PublicString {
            c_name: c_name.to_owned(),
            name: naming::string_name(c_name),
            value: value.to_owned(),
            since: since.parse().map_err(|kind| row.error(table, 4, kind))?,
        })
    });
    strings.collect()
}
