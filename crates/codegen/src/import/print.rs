//! Syntax back to text, in our own formatting.

use crate::ast::{Base, Declaration, Definition, EnumDef, File, Form, StructDef, UnionDef, Value};
use crate::parse::{Annotation, Kind};

/// A whole file; definitions are apart by an empty line, except for constants and typedefs.
pub(super) fn file(title: &str, file: &File) -> String {
    let mut text = format!("/* {title}; written by `virtwire-codegen import`, see README.md. */\n");
    let mut last_is_line = false;
    for definition in &file.definitions {
        let is_line = matches!(
            definition,
            Definition::Const { .. } | Definition::Typedef(_)
        );
        if !(is_line && last_is_line) {
            text.push('\n');
        }
        text.push_str(&self::definition(definition));
        last_is_line = is_line;
    }
    text
}

/// One definition with its last newline.
pub(super) fn definition(definition: &Definition) -> String {
    match definition {
        Definition::Const { name, value } => {
            let value = match value {
                Value::Number(number) if name.text.ends_with("_PROGRAM") => {
                    format!("{number:#010x}")
                }
                value => self::value(value),
            };
            format!("const {} = {value};\n", name.text)
        }
        Definition::Typedef(inner) => format!("typedef {};\n", declaration(inner)),
        Definition::Enum(def) => enumeration(def),
        Definition::Struct(def) => structure(def),
        Definition::Union(def) => union(def),
    }
}

fn enumeration(def: &EnumDef) -> String {
    let members = def.members.iter().map(|member| {
        let comment = match &member.comment {
            Some(comment) if comment.text.trim_start().starts_with('@') => {
                format!("    /* {} */\n", comment.text.trim())
            }
            _ => String::new(),
        };
        format!(
            "{comment}    {} = {}",
            member.name.text,
            value(&member.value)
        )
    });
    let members: Vec<String> = members.collect();
    format!("enum {} {{\n{}\n}};\n", def.name.text, members.join(",\n"))
}

fn structure(def: &StructDef) -> String {
    let fields = def
        .fields
        .iter()
        .map(|field| format!("    {};\n", declaration(field)));
    format!(
        "struct {} {{\n{}}};\n",
        def.name.text,
        fields.collect::<String>()
    )
}

fn union(def: &UnionDef) -> String {
    let arms = def.arms.iter().map(|arm| {
        let labels = arm
            .labels
            .iter()
            .map(|label| format!("    case {}:\n", label.text));
        let inner = arm
            .declaration
            .as_ref()
            .map_or_else(|| "void".to_owned(), declaration);
        format!("{}        {inner};\n", labels.collect::<String>())
    });
    let (name, on) = (&def.name.text, declaration(&def.discriminant));
    format!(
        "union {name} switch ({on}) {{\n{}}};\n",
        arms.collect::<String>()
    )
}

fn declaration(declaration: &Declaration) -> String {
    let (base, name) = (base(&declaration.base), &declaration.name.text);
    match &declaration.form {
        Form::Plain => format!("{base} {name}"),
        Form::Optional => format!("{base} *{name}"),
        Form::Fixed(len) => format!("{base} {name}[{}]", value(len)),
        Form::Variable(Some(max)) => format!("{base} {name}<{}>", value(max)),
        Form::Variable(None) => format!("{base} {name}<>"),
    }
}

fn base(base: &Base) -> &str {
    match base {
        Base::Int => "int",
        Base::UInt => "unsigned int",
        Base::Hyper => "hyper",
        Base::UHyper => "unsigned hyper",
        Base::Float => "float",
        Base::Double => "double",
        Base::Bool => "bool",
        Base::Char => "char",
        Base::UChar => "unsigned char",
        Base::Short => "short",
        Base::UShort => "unsigned short",
        Base::String => "string",
        Base::Opaque => "opaque",
        Base::Named(name) => &name.text,
    }
}

pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Name(name) => name.text.clone(),
    }
}

/// The text of an annotation comment.
pub(super) fn annotation(annotation: &Annotation) -> String {
    let since = &annotation.since;
    let since = format!(
        "since{}{}",
        if since.exact { "=" } else { "<=" },
        since.release
    );
    let mut words = match annotation.kind {
        Kind::Event => vec!["@event".to_owned(), since],
        Kind::Call => {
            let priority = if annotation.high_priority {
                "high"
            } else {
                "low"
            };
            vec!["@call".to_owned(), format!("priority={priority}"), since]
        }
    };
    words.extend(
        annotation
            .stream
            .word()
            .map(|word| format!("stream={word}")),
    );
    words.extend(
        annotation
            .sparse_flag
            .iter()
            .map(|flag| format!("sparse={flag}")),
    );
    for (key, checks) in [
        ("acl", &annotation.acl),
        ("aclfilter", &annotation.acl_filter),
    ] {
        if !checks.is_empty() {
            words.push(format!("{key}={}", checks.join(",")));
        }
    }
    words.join(" ")
}
