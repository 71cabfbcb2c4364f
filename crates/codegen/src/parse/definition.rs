//! `const`, `typedef`, `enum`, `struct` and `union`.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{cut, map, opt};
use nom::multi::{many0, many1, separated_list1};
use nom::sequence::{delimited, preceded, terminated};

use super::declaration::{declaration, declaration_or_void};
use super::lexical::{Failure, Parsed, blank, constant, expected, keyword, name, symbol};
use crate::ast::{Arm, Declaration, Definition, EnumDef, EnumMember, Name, StructDef, UnionDef};

/// One definition with its semicolon.
pub(super) fn definition(input: &str) -> Parsed<'_, Definition> {
    terminated(
        alt((
            preceded(keyword("const"), cut(const_def)),
            preceded(
                keyword("typedef"),
                cut(map(declaration, Definition::Typedef)),
            ),
            preceded(keyword("enum"), cut(map(enum_def, Definition::Enum))),
            preceded(keyword("struct"), cut(map(struct_def, Definition::Struct))),
            preceded(keyword("union"), cut(map(union_def, Definition::Union))),
        )),
        cut(symbol(';', "`;`")),
    )
    .parse(input)
}

fn const_def(input: &str) -> Parsed<'_, Definition> {
    let (rest, name) = name("the name of the constant").parse(input)?;
    let (rest, value) = preceded(symbol('=', "`=`"), constant).parse(rest)?;
    Ok((rest, Definition::Const { name, value }))
}

fn enum_def(input: &str) -> Parsed<'_, EnumDef> {
    let (rest, name) = name("the name of the enum").parse(input)?;
    let members = separated_list1(symbol(',', "`,`"), enum_member);
    let (rest, members) = braces(terminated(members, opt(symbol(',', "`,`")))).parse(rest)?;
    Ok((rest, EnumDef { name, members }))
}

fn enum_member(input: &str) -> Parsed<'_, EnumMember> {
    let (rest, comment) = blank(input)?;
    let (rest, name) = name("a member of the enum").parse(rest)?;
    let (rest, value) = cut(preceded(symbol('=', "`=`"), constant)).parse(rest)?;
    Ok((
        rest,
        EnumMember {
            comment,
            name,
            value,
        },
    ))
}

fn struct_def(input: &str) -> Parsed<'_, StructDef> {
    let (rest, name) = name("the name of the struct").parse(input)?;
    let (rest, fields) = braces(many1(field)).parse(rest)?;
    Ok((rest, StructDef { name, fields }))
}

fn field(input: &str) -> Parsed<'_, Declaration> {
    terminated(declaration, cut(symbol(';', "`;`"))).parse(input)
}

fn union_def(input: &str) -> Parsed<'_, UnionDef> {
    let (rest, name) = name("the name of the union").parse(input)?;
    let (rest, _) = expected("`switch`", keyword("switch")).parse(rest)?;
    let (rest, discriminant) =
        delimited(symbol('(', "`(`"), declaration, symbol(')', "`)`")).parse(rest)?;
    let (rest, arms) = braces(many1(arm)).parse(rest)?;
    Ok((
        rest,
        UnionDef {
            name,
            discriminant,
            arms,
        },
    ))
}

fn arm(input: &str) -> Parsed<'_, Arm> {
    let (rest, first) = expected("`case` or `}`", label).parse(input)?;
    let (rest, more) = many0(label).parse(rest)?;
    let (rest, declaration) =
        cut(terminated(declaration_or_void, symbol(';', "`;`"))).parse(rest)?;
    let labels = std::iter::once(first).chain(more).collect();
    Ok((
        rest,
        Arm {
            labels,
            declaration,
        },
    ))
}

fn label(input: &str) -> Parsed<'_, Name> {
    delimited(
        keyword("case"),
        cut(name("the name of a constant")),
        cut(symbol(':', "`:`")),
    )
    .parse(input)
}

fn braces<'s, T>(
    body: impl Parser<&'s str, Output = T, Error = Failure>,
) -> impl Parser<&'s str, Output = T, Error = Failure> {
    delimited(symbol('{', "`{`"), body, symbol('}', "`}`"))
}
