//! Structs, unions, enums, and what their fields are made of.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Input;
use super::names::{Meaning, Names};
use crate::ast::{Base, Declaration, Definition, EnumDef, Form, Name, StructDef, UnionDef, Value};
use crate::error::{Error, ErrorKind};
use crate::model::{
    Bound, Enum, Field, Member, Primitive, Struct, Type, TypeId, TypeKind, Union, Variant,
};
use crate::naming::{self, Prefixes};

/// The types resolved so far.
#[derive(Debug)]
pub(super) struct Types<'s> {
    names: &'s Names<'s>,
    known: HashMap<String, Rc<TypeId>>,
    /// Types whose fields are being looked at: meeting one of them again is a circle.
    open: Vec<String>,
}

impl<'s> Types<'s> {
    pub(super) fn new(names: &'s Names<'s>) -> Self {
        Self {
            names,
            known: HashMap::new(),
            open: Vec::new(),
        }
    }

    /// Resolves a typedef for its errors only: it becomes nothing of its own.
    pub(super) fn check(&mut self, input: &Input<'_>, typedef: &Declaration) -> Result<(), Error> {
        self.declared(input, typedef).map(|_| ())
    }

    pub(super) fn struct_def(
        &mut self,
        input: &Input<'_>,
        def: &StructDef,
    ) -> Result<Struct, Error> {
        let fields = self.fields(input, &def.fields)?;
        let id = self.identity(input, &def.name, TypeKind::Struct, || Extent {
            borrows: fields.iter().any(|field| field.ty.borrows()),
            has_default: fields.iter().all(|field| field.ty.has_default()),
            min_size: fields.iter().fold(0, |sum: usize, field| {
                sum.saturating_add(field.ty.min_size())
            }),
        });
        Ok(Struct { id, fields })
    }

    pub(super) fn enum_def(&mut self, input: &Input<'_>, def: &EnumDef) -> Result<Enum, Error> {
        let c_names: Vec<&str> = def
            .members
            .iter()
            .map(|member| member.name.text.as_str())
            .collect();
        let names = naming::member_names(&def.name.text, &c_names);
        let members = def.members.iter().zip(names).map(|(member, name)| {
            let value = self.names.value(input, &member.value)?;
            in_range::<i32>(input, &member.name, value)?;
            let c_name = member.name.text.clone();
            Ok(Member {
                c_name,
                name,
                value,
                since: None,
            })
        });
        let members = members.collect::<Result<_, Error>>()?;
        let id = self.identity(input, &def.name, TypeKind::Enum, || Extent {
            borrows: false,
            has_default: true,
            min_size: 4,
        });
        Ok(Enum { id, members })
    }

    pub(super) fn union_def(&mut self, input: &Input<'_>, def: &UnionDef) -> Result<Union, Error> {
        self.check_discriminant(input, &def.discriminant)?;
        let variants = self.variants(input, def)?;
        let id = self.identity(input, &def.name, TypeKind::Union, || {
            union_extent(&variants)
        });
        let discriminant = def.discriminant.name.text.clone();
        Ok(Union {
            id,
            discriminant,
            variants,
        })
    }

    /// One variant for each `case` label.
    fn variants(&mut self, input: &Input<'_>, def: &UnionDef) -> Result<Vec<Variant>, Error> {
        let arms = def.arms.iter();
        let cases = arms.flat_map(|arm| arm.labels.iter().map(|label| (label, &arm.declaration)));
        let c_names: Vec<&str> = cases
            .clone()
            .map(|(label, _)| label.text.as_str())
            .collect();
        let names = naming::member_names(&def.name.text, &c_names);
        let mut values = HashSet::new();
        let mut variants = Vec::new();
        for ((label, declaration), name) in cases.zip(names) {
            let value: i32 = in_range(input, label, self.names.number(input, label)?)?;
            if !values.insert(value) {
                return Err(input.error(label.at, ErrorKind::ArmTwice(value.into())));
            }
            let field = declaration.as_ref().map(|inner| self.field(input, inner));
            variants.push(Variant {
                c_label: label.text.clone(),
                name: naming::camel(&name),
                value,
                field: field.transpose()?,
            });
        }
        Ok(variants)
    }

    fn check_discriminant(&mut self, input: &Input<'_>, on: &Declaration) -> Result<(), Error> {
        match self.declared(input, on)? {
            Type::Primitive(Primitive::Int) => Ok(()),
            Type::Named(id) if id.kind == TypeKind::Enum => Ok(()),
            _ => Err(input.error(on.name.at, ErrorKind::Discriminant)),
        }
    }

    fn fields(&mut self, input: &Input<'_>, fields: &[Declaration]) -> Result<Vec<Field>, Error> {
        let mut taken = HashSet::new();
        for declaration in fields {
            if !taken.insert(&declaration.name.text) {
                let kind = ErrorKind::DefinedTwice(declaration.name.text.clone());
                return Err(input.error(declaration.name.at, kind));
            }
        }
        fields
            .iter()
            .map(|declaration| self.field(input, declaration))
            .collect()
    }

    fn field(&mut self, input: &Input<'_>, declaration: &Declaration) -> Result<Field, Error> {
        Ok(Field {
            c_name: declaration.name.text.clone(),
            name: naming::field_name(&declaration.name.text),
            ty: self.declared(input, declaration)?,
        })
    }

    /// The type of a declaration: its base, and what its brackets or star make of that.
    fn declared(&mut self, input: &Input<'_>, declaration: &Declaration) -> Result<Type, Error> {
        let name = &declaration.name;
        match (&declaration.base, &declaration.form) {
            (Base::String, Form::Variable(max)) => Ok(Type::String(self.bound(input, name, max)?)),
            (Base::String, _) => Err(needs_brackets(input, name, false)),
            (Base::Opaque, Form::Variable(max)) => Ok(Type::Opaque(self.bound(input, name, max)?)),
            (Base::Opaque, Form::Fixed(len)) => {
                Ok(Type::FixedOpaque(self.length(input, name, len)?))
            }
            (Base::Opaque, _) => Err(needs_brackets(input, name, true)),
            (Base::Char, Form::Variable(max)) => Ok(Type::Chars(self.bound(input, name, max)?)),
            (Base::Char, Form::Fixed(len)) => Ok(Type::FixedChars(self.length(input, name, len)?)),
            (base, form) => {
                let base = self.base(input, base, name)?;
                self.formed(input, name, base, form)
            }
        }
    }

    fn formed(
        &self,
        input: &Input<'_>,
        name: &Name,
        base: Type,
        form: &Form,
    ) -> Result<Type, Error> {
        Ok(match form {
            Form::Plain => base,
            Form::Optional => Type::Optional(Box::new(base)),
            Form::Fixed(len) => Type::FixedArray(Box::new(base), self.length(input, name, len)?),
            Form::Variable(max) => Type::Array(Box::new(base), self.bound(input, name, max)?),
        })
    }

    fn base(&mut self, input: &Input<'_>, base: &Base, name: &Name) -> Result<Type, Error> {
        let primitive = match base {
            Base::Int => Primitive::Int,
            Base::UInt => Primitive::UInt,
            Base::Hyper => Primitive::Hyper,
            Base::UHyper => Primitive::UHyper,
            Base::Float => Primitive::Float,
            Base::Double => Primitive::Double,
            Base::Bool => Primitive::Bool,
            Base::Char => Primitive::Char,
            Base::UChar => Primitive::UChar,
            Base::Short => Primitive::Short,
            Base::UShort => Primitive::UShort,
            Base::String | Base::Opaque => return Err(needs_brackets(input, name, false)),
            Base::Named(named) => return self.named(input, named),
        };
        Ok(Type::Primitive(primitive))
    }

    /// A type by its name: what a typedef stands for, or a struct, union or enum.
    fn named(&mut self, input: &Input<'_>, name: &Name) -> Result<Type, Error> {
        if let Some(id) = self.known.get(&name.text) {
            return Ok(Type::Named(Rc::clone(id)));
        }
        if self.open.contains(&name.text) {
            return Err(input.error(name.at, ErrorKind::Recursive(name.text.clone())));
        }
        let (home, meaning) = self.names.find(input, name)?;
        let Meaning::Type(definition) = meaning else {
            return Err(input.error(name.at, ErrorKind::NotAType(name.text.clone())));
        };
        self.open.push(name.text.clone());
        let ty = match definition {
            Definition::Typedef(declaration) => self.declared(home, declaration)?,
            Definition::Struct(def) => Type::Named(self.struct_def(home, def)?.id),
            Definition::Union(def) => Type::Named(self.union_def(home, def)?.id),
            Definition::Enum(def) => Type::Named(self.enum_def(home, def)?.id),
            Definition::Const { .. } => {
                return Err(input.error(name.at, ErrorKind::NotAType(name.text.clone())));
            }
        };
        self.open.pop();
        Ok(ty)
    }

    /// The identity of a struct by its name, for procedures.
    pub(super) fn message(&mut self, input: &Input<'_>, name: &Name) -> Result<Rc<TypeId>, Error> {
        match self.named(input, name)? {
            Type::Named(id) => Ok(id),
            _ => Err(input.error(name.at, ErrorKind::NotAType(name.text.clone()))),
        }
    }

    fn identity(
        &mut self,
        input: &Input<'_>,
        name: &Name,
        kind: TypeKind,
        extent: impl FnOnce() -> Extent,
    ) -> Rc<TypeId> {
        let known = self.known.entry(name.text.clone()).or_insert_with(|| {
            let Extent {
                borrows,
                has_default,
                min_size,
            } = extent();
            Rc::new(TypeId {
                kind,
                module: input.module().to_owned(),
                c_name: name.text.clone(),
                name: Prefixes::of(input.module()).type_name(&name.text),
                borrows,
                has_default,
                min_size,
            })
        });
        Rc::clone(known)
    }

    fn bound(&self, input: &Input<'_>, name: &Name, max: &Option<Value>) -> Result<Bound, Error> {
        let Some(max) = max else {
            return Err(input.error(name.at, ErrorKind::Unbounded(name.text.clone())));
        };
        let c_name = match max {
            Value::Number(_) => None,
            Value::Name(constant) => Some(constant.text.clone()),
        };
        Ok(Bound {
            max: self.length(input, name, max)?,
            c_name,
        })
    }

    fn length(&self, input: &Input<'_>, name: &Name, value: &Value) -> Result<u32, Error> {
        in_range(input, name, self.names.value(input, value)?)
    }
}

/// What is known of a type once its fields are.
struct Extent {
    borrows: bool,
    has_default: bool,
    min_size: usize,
}

/// The discriminant and the smallest arm are what a union takes at least.
fn union_extent(variants: &[Variant]) -> Extent {
    let types = || {
        variants
            .iter()
            .map(|variant| variant.field.as_ref().map(|field| &field.ty))
    };
    let smallest = types().map(|ty| ty.map_or(0, Type::min_size)).min();
    Extent {
        borrows: types().flatten().any(Type::borrows),
        has_default: false,
        min_size: smallest.unwrap_or(0).saturating_add(4),
    }
}

fn in_range<T: TryFrom<i64>>(input: &Input<'_>, name: &Name, value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| input.error(name.at, ErrorKind::Number(value.to_string())))
}

fn needs_brackets(input: &Input<'_>, name: &Name, fixed_too: bool) -> Error {
    input.error(
        name.at,
        ErrorKind::NeedsBrackets(name.text.clone(), fixed_too),
    )
}
