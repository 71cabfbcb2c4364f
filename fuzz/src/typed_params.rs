//! Typed parameters.

use bytes::BytesMut;
use virtwire_protocol::remote::{TypedParam, TypedParamValue};
use virtwire_protocol::typed_param::{MAX_FIELD_NAME, TypedParams};
use virtwire_xdr::{Decode, Encode, IntoOwned, Reader, Writer};

use crate::budget::within;

/// As many parameters as the input has survive, and are found by their names.
pub fn check(input: &[u8]) {
    let params = within(1024 + 32 * input.len(), || decode(input));
    let Some(again) = encode(&params) else {
        assert!(input.contains(&0), "only a zero byte cannot be sent");
        return;
    };
    let decoded = decode(&again);
    assert_eq!(encode(&decoded).as_ref(), Some(&again));
    let owned: Vec<_> = decoded.into_iter().map(IntoOwned::into_owned).collect();
    assert_eq!(encode(&owned), Some(again));
    for param in &params {
        check_name(&params, param);
        check_value(&param.value);
    }
}

fn decode(input: &[u8]) -> Vec<TypedParam<'_>> {
    let mut reader = Reader::new(input);
    let mut params = Vec::new();
    while let Ok(param) = TypedParam::decode(&mut reader) {
        params.push(param);
    }
    params
}

fn encode(params: &[TypedParam<'_>]) -> Option<BytesMut> {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer);
    for param in params {
        param.encode(&mut writer).ok()?;
    }
    Some(buffer)
}

/// All lookups of one name give what a walk over the list gives.
fn check_name(params: &[TypedParam<'_>], param: &TypedParam<'_>) {
    let Ok(name) = param.field.to_str() else {
        return;
    };
    let lookup = TypedParams::new(params);
    let named: Vec<_> = params.iter().filter(|p| p.field == param.field).collect();
    let found: Vec<_> = lookup.all(name).collect();
    assert_eq!(found.len(), named.len());
    for (found, named) in found.iter().zip(&named) {
        assert!(std::ptr::eq(*found, &raw const named.value));
    }
    let first = lookup.get(name).expect("it is there");
    assert!(std::ptr::eq(first, found[0]));
    assert_eq!(lookup.unsigned(name), first.to_unsigned());
    assert_eq!(lookup.signed(name), first.to_signed());
    assert_eq!(lookup.bool(name), first.to_bool());
    assert_eq!(lookup.str(name), first.as_str());
    let bits = |number: Option<f64>| number.map(f64::to_bits);
    assert_eq!(bits(lookup.double(name)), bits(first.to_double()));
    let made = TypedParam::new(name, first.to_unsigned().unwrap_or(0));
    assert_eq!(made.is_ok(), name.len() <= MAX_FIELD_NAME);
}

/// A value is of one kind, and what it converts to converts back.
fn check_value(value: &TypedParamValue<'_>) {
    let (unsigned, signed) = (value.to_unsigned(), value.to_signed());
    let integer = unsigned.is_some() || signed.is_some();
    let kinds = [
        integer,
        value.to_double().is_some(),
        value.to_bool().is_some(),
        value.as_str().is_some(),
    ];
    let text_of_other_kind = matches!(value, TypedParamValue::String(s) if s.to_str().is_err());
    let count = kinds.iter().filter(|is_it| **is_it).count();
    assert_eq!(count, usize::from(!text_of_other_kind), "{value:?}");
    if let (Some(unsigned), Some(signed)) = (unsigned, signed) {
        assert_eq!(i64::try_from(unsigned), Ok(signed));
    }
    if let Some(unsigned) = unsigned {
        assert_eq!(
            TypedParamValue::from(unsigned).to_unsigned(),
            Some(unsigned)
        );
    }
    if let Some(signed) = signed {
        assert_eq!(TypedParamValue::from(signed).to_signed(), Some(signed));
    }
}
