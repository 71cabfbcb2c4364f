//! Fields, union arms and typedefs: a type, a name, and brackets or a star.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{cut, map, opt, success, value};
use nom::sequence::{delimited, preceded};

use super::lexical::{Failure, Parsed, constant, expected, keyword, name, symbol};
use crate::ast::{Base, Declaration, Form};

/// `T x`, `T *x`, `T x[N]` or `T x<N>`.
pub(super) fn declaration(input: &str) -> Parsed<'_, Declaration> {
    let (rest, base) = base(input)?;
    let (rest, star) = opt(symbol('*', "`*`")).parse(rest)?;
    let (rest, name) = cut(name("the name of this declaration")).parse(rest)?;
    let (rest, form) = match star {
        Some(_) => (rest, Form::Optional),
        None => cut(brackets).parse(rest)?,
    };
    Ok((rest, Declaration { base, name, form }))
}

/// A declaration, or `None` for `void`.
pub(super) fn declaration_or_void(input: &str) -> Parsed<'_, Option<Declaration>> {
    alt((value(None, keyword("void")), map(declaration, Some))).parse(input)
}

fn brackets(input: &str) -> Parsed<'_, Form> {
    let fixed = delimited(symbol('[', "`[`"), cut(constant), cut(symbol(']', "`]`")));
    let variable = delimited(symbol('<', "`<`"), opt(constant), cut(symbol('>', "`>`")));
    alt((
        map(fixed, Form::Fixed),
        map(variable, Form::Variable),
        success(Form::Plain),
    ))
    .parse(input)
}

fn base(input: &str) -> Parsed<'_, Base> {
    expected(
        "a type",
        alt((
            preceded(keyword("unsigned"), unsigned),
            word("int", Base::Int),
            word("hyper", Base::Hyper),
            word("float", Base::Float),
            word("double", Base::Double),
            word("bool", Base::Bool),
            word("char", Base::Char),
            word("short", Base::Short),
            word("string", Base::String),
            word("opaque", Base::Opaque),
            map(name("a type"), Base::Named),
        )),
    )
    .parse(input)
}

/// What may follow `unsigned`; alone it means `unsigned int`.
fn unsigned(input: &str) -> Parsed<'_, Base> {
    alt((
        word("int", Base::UInt),
        word("hyper", Base::UHyper),
        word("char", Base::UChar),
        word("short", Base::UShort),
        success(Base::UInt),
    ))
    .parse(input)
}

fn word<'s>(
    word: &'static str,
    base: Base,
) -> impl Parser<&'s str, Output = Base, Error = Failure> {
    value(base, keyword(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Value;

    fn parsed(text: &str) -> (Base, String, Form) {
        let (rest, declaration) = declaration(text).unwrap();
        assert_eq!(rest, "");
        (declaration.base, declaration.name.text, declaration.form)
    }

    #[test]
    fn brackets_and_star_give_the_form() {
        let seven = || Value::Number(7);
        let x = || "x".to_owned();
        assert_eq!(parsed("int x"), (Base::Int, x(), Form::Plain));
        assert_eq!(parsed("int *x"), (Base::Int, x(), Form::Optional));
        assert_eq!(parsed("int x[7]"), (Base::Int, x(), Form::Fixed(seven())));
        assert_eq!(
            parsed("int x<7>"),
            (Base::Int, x(), Form::Variable(Some(seven())))
        );
        assert_eq!(parsed("int x<>"), (Base::Int, x(), Form::Variable(None)));
    }

    #[test]
    fn unsigned_alone_is_an_int() {
        assert_eq!(parsed("unsigned x").0, Base::UInt);
        assert_eq!(parsed("unsigned int x").0, Base::UInt);
        assert_eq!(parsed("unsigned hyper x").0, Base::UHyper);
        assert_eq!(parsed("unsigned char x").0, Base::UChar);
    }

    #[test]
    fn void_is_no_declaration() {
        assert_eq!(declaration_or_void("void").unwrap().1, None);
        assert!(declaration("void x").is_err());
    }
}
