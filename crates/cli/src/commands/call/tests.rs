use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use virtwire::constants::DomainState;
use virtwire::remote;
use virtwire::schema::{ProcedureSchema, StructSchema, TypeSchema};
use virtwire::xdr::{Encode, Reader, Str, Writer};
use virtwire_protocol::generated::schema::PROCEDURES;

use super::{arm_name, decode, describe, encode, find};

fn procedure(name: &str) -> &'static ProcedureSchema {
    find::procedure(name).unwrap()
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    let mut buffer = bytes::BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer)).unwrap();
    buffer.to_vec()
}

fn arguments(name: &str, document: &Value) -> Result<Vec<u8>, String> {
    encode::arguments(procedure(name).args, Some(document)).map_err(|error| error.to_string())
}

fn decoded(layout: Option<&'static StructSchema>, bytes: &[u8]) -> Value {
    let mut reader = Reader::new(bytes);
    let document = decode::reply(layout, &mut reader).unwrap();
    assert_eq!(reader.remaining(), 0);
    document
}

fn domain() -> remote::NonnullDomain<'static> {
    remote::NonnullDomain {
        name: "vm".into(),
        uuid: [0xab; 16],
        id: -1,
    }
}

const UUID: &str = "abababab-abab-abab-abab-abababababab";

#[test]
fn arguments_equal_those_of_the_typed_structures() {
    let document = json!({
        "dom": { "name": "vm", "uuid": UUID, "id": -1 },
        "path": "vda",
        "bandwidth": u64::MAX,
        "flags": 64,
    });
    let typed = remote::DomainBlockPullArgs {
        dom: domain(),
        path: "vda".into(),
        bandwidth: u64::MAX,
        flags: 64,
    };
    assert_eq!(
        arguments("DOMAIN_BLOCK_PULL", &document).unwrap(),
        encoded(&typed)
    );
}

#[test]
fn optional_values_are_null_or_left_out() {
    let typed = remote::DomainBlockRebaseArgs {
        dom: domain(),
        path: "vda".into(),
        base: None,
        bandwidth: 0,
        flags: 0,
    };
    let mut document = json!({
        "dom": { "name": "vm", "uuid": UUID, "id": -1 },
        "path": "vda", "base": null, "bandwidth": 0, "flags": 0,
    });
    assert_eq!(
        arguments("DOMAIN_BLOCK_REBASE", &document).unwrap(),
        encoded(&typed)
    );
    document.as_object_mut().unwrap().remove("base");
    assert_eq!(
        arguments("DOMAIN_BLOCK_REBASE", &document).unwrap(),
        encoded(&typed)
    );
    document["base"] = json!("/base");
    let typed = remote::DomainBlockRebaseArgs {
        base: Some("/base".into()),
        ..typed
    };
    assert_eq!(
        arguments("DOMAIN_BLOCK_REBASE", &document).unwrap(),
        encoded(&typed)
    );
}

#[test]
fn typed_parameters_name_their_type() {
    use remote::TypedParamValue as V;
    let param = |field: &'static str, value| remote::TypedParam {
        field: field.into(),
        value,
    };
    let typed = remote::DomainSetSchedulerParametersArgs {
        dom: domain(),
        params: vec![
            param("a", V::Int(-1)),
            param("b", V::Uint(u32::MAX)),
            param("c", V::Llong(i64::MIN)),
            param("d", V::Ullong(u64::MAX)),
            param("e", V::Double(0.5)),
            param("f", V::Boolean(1)),
            param("g", V::String(Str::from_bytes(b"\xff"))),
            param("h", V::Boolean(2)),
        ],
    };
    let document = json!({
        "dom": { "name": "vm", "uuid": UUID, "id": -1 },
        "params": [
            { "field": "a", "value": { "type": "int", "value": -1 } },
            { "field": "b", "value": { "type": "uint", "value": u32::MAX } },
            { "field": "c", "value": { "type": "llong", "value": i64::MIN } },
            { "field": "d", "value": { "type": "ullong", "value": u64::MAX } },
            { "field": "e", "value": { "type": "double", "value": 0.5 } },
            { "field": "f", "value": { "type": "boolean", "value": true } },
            { "field": "g", "value": { "type": "string", "value": { "hex": "ff" } } },
            { "field": "h", "value": { "type": "boolean", "value": 2 } },
        ],
    });
    let name = "DOMAIN_SET_SCHEDULER_PARAMETERS";
    let bytes = encoded(&typed);
    assert_eq!(arguments(name, &document).unwrap(), bytes);
    assert_eq!(decoded(procedure(name).args, &bytes), document);
}

#[test]
fn replies_show_what_the_typed_structures_hold() {
    let state = remote::DomainGetStateRet {
        state: DomainState::RUNNING.0,
        reason: 1,
    };
    let shown = decoded(procedure("DOMAIN_GET_STATE").ret, &encoded(&state));
    assert_eq!(shown, json!({ "state": 1, "reason": 1 }));

    let lookup = remote::DomainLookupByNameRet { dom: domain() };
    let shown = decoded(procedure("DOMAIN_LOOKUP_BY_NAME").ret, &encoded(&lookup));
    assert_eq!(
        shown,
        json!({ "dom": { "name": "vm", "uuid": UUID, "id": -1 } })
    );

    let label = remote::DomainGetSecurityLabelRet {
        label: b"label\0".to_vec(),
        enforcing: 1,
    };
    let shown = decoded(procedure("DOMAIN_GET_SECURITY_LABEL").ret, &encoded(&label));
    assert_eq!(shown, json!({ "label": "label\0", "enforcing": 1 }));

    let types = remote::AuthListRet {
        types: vec![remote::AuthType::POLKIT, remote::AuthType(9)],
    };
    let shown = decoded(procedure("AUTH_LIST").ret, &encoded(&types));
    assert_eq!(shown, json!({ "types": ["REMOTE_AUTH_POLKIT", 9] }));

    let peek = remote::DomainBlockPeekRet {
        buffer: b"\x00\xffab".to_vec().into(),
    };
    let shown = decoded(procedure("DOMAIN_BLOCK_PEEK").ret, &encoded(&peek));
    assert_eq!(shown, json!({ "buffer": "00ff6162" }));
    assert_eq!(decoded(None, &[]), Value::Null);
}

#[test]
fn character_arrays_of_fixed_length_are_texts() {
    let ret = procedure("NODE_GET_INFO").ret;
    let mut model = [0; 32];
    model[..6].copy_from_slice(b"x86_64");
    let info = remote::NodeGetInfoRet {
        model,
        memory: u64::MAX,
        cpus: 1,
        mhz: 2,
        nodes: 3,
        sockets: 4,
        cores: 5,
        threads: 6,
    };
    let document = decoded(ret, &encoded(&info));
    assert_eq!(document["model"], json!("x86_64"));
    assert_eq!(document["memory"], json!(u64::MAX));
    assert_eq!(
        encode::arguments(ret, Some(&document)).unwrap(),
        encoded(&info)
    );
}

#[test]
fn errors_name_the_place() {
    let dom = json!({ "name": "vm", "uuid": UUID, "id": -1 });
    let pull = |document: Value| arguments("DOMAIN_BLOCK_PULL", &document).unwrap_err();
    let with = |changes: Value| {
        let mut document = json!({ "dom": dom.clone(), "path": "a", "bandwidth": 0, "flags": 0 });
        let changes = changes.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(changes);
        pull(document)
    };
    assert_eq!(pull(json!({ "dom": dom.clone() })), "path is missing");
    assert_eq!(
        with(json!({ "dom": { "uuid": UUID } })),
        "dom.name is missing"
    );
    assert!(with(json!({ "dom": "vm" })).starts_with("dom must be an object"));
    assert!(with(json!({ "extra": 1 })).starts_with("extra is no field"));
    assert_eq!(
        with(json!({ "flags": -1 })),
        "flags -1 does not fit into an unsigned int"
    );
    assert_eq!(
        with(json!({ "flags": 1.5 })),
        "flags 1.5 does not fit into an unsigned int"
    );
    assert_eq!(
        with(json!({ "flags": "1" })),
        "flags must be an unsigned int, not a string"
    );
    assert!(with(json!({ "bandwidth": 18_446_744_073_709_551_616.0 })).contains("does not fit"));
    assert!(with(json!({ "path": "a\0b" })).starts_with("path "));
    assert!(with(json!({ "path": { "hex": "f" } })).starts_with("path.hex is not an even number"));
    let mut other = dom.clone();
    other["uuid"] = json!("1234");
    assert_eq!(with(json!({ "dom": other })), "dom.uuid is no UUID");
    assert!(pull(json!([])).starts_with("must be an object"));

    let params = |value: Value| {
        let params = json!([{ "field": "x", "value": value }]);
        let document = json!({ "dom": dom, "params": params });
        arguments("DOMAIN_SET_SCHEDULER_PARAMETERS", &document).unwrap_err()
    };
    assert!(params(json!({ "type": "ulong", "value": 1 })).contains("params[0].value.type"));
    assert_eq!(
        params(json!({ "type": "int" })),
        "params[0].value.value is missing"
    );
    assert!(params(json!({ "type": "int", "value": 1, "x": 2 })).starts_with("params[0].value.x"));
    assert!(params(json!({ "type": "int", "value": true })).contains("must be an int"));
}

#[test]
fn procedures_without_arguments_take_none() {
    let layout = procedure("CONNECT_GET_URI").args;
    assert!(encode::arguments(layout, None).unwrap().is_empty());
    assert!(
        encode::arguments(layout, Some(&json!({})))
            .unwrap()
            .is_empty()
    );
    assert!(encode::arguments(layout, Some(&json!({ "x": 1 }))).is_err());
    let layout = procedure("DOMAIN_GET_INFO").args;
    assert!(encode::arguments(layout, None).is_err());
}

#[test]
fn templates_can_be_sent_as_they_are() {
    for procedure in PROCEDURES {
        let template = describe::template(procedure);
        let sent = encode::arguments(procedure.args, Some(&template));
        if procedure.kind == virtwire::schema::ProcedureKind::Call {
            assert!(sent.is_ok(), "{}: {:?}", procedure.name, sent.unwrap_err());
        }
    }
}

#[test]
fn truncated_replies_are_errors() {
    let lookup = encoded(&remote::DomainLookupByNameRet { dom: domain() });
    let layout = procedure("DOMAIN_LOOKUP_BY_NAME").ret;
    for length in 0..lookup.len() {
        assert!(decode::reply(layout, &mut Reader::new(&lookup[..length])).is_err());
    }
}

/// Any document that fits a type.
fn document_of(ty: &'static TypeSchema) -> BoxedStrategy<Value> {
    let text = || "\\PC{0,12}".prop_map(Value::from);
    match ty {
        TypeSchema::Int => any::<i32>().prop_map(Value::from).boxed(),
        TypeSchema::UInt => any::<u32>().prop_map(Value::from).boxed(),
        TypeSchema::Hyper => any::<i64>().prop_map(Value::from).boxed(),
        TypeSchema::UHyper => any::<u64>().prop_map(Value::from).boxed(),
        TypeSchema::Char => any::<i8>().prop_map(Value::from).boxed(),
        TypeSchema::UChar => any::<u8>().prop_map(Value::from).boxed(),
        TypeSchema::Short => any::<i16>().prop_map(Value::from).boxed(),
        TypeSchema::UShort => any::<u16>().prop_map(Value::from).boxed(),
        TypeSchema::Double => any::<i32>().prop_map(|n| json!(f64::from(n) / 8.0)).boxed(),
        TypeSchema::Bool => any::<bool>().prop_map(Value::from).boxed(),
        TypeSchema::Chars { .. } | TypeSchema::String { .. } => {
            prop_oneof![text(), Just(json!({ "hex": "c3ff" }))].boxed()
        }
        TypeSchema::Opaque { .. } => "([0-9a-f]{2}){0,9}".prop_map(Value::from).boxed(),
        TypeSchema::FixedOpaque { len: 16 } => any::<[u8; 16]>()
            .prop_map(|bytes| virtwire::Uuid::from_bytes(bytes).to_string().into())
            .boxed(),
        TypeSchema::FixedChars { .. } => "[a-z]{0,12}".prop_map(Value::from).boxed(),
        TypeSchema::Array { element, .. } => prop::collection::vec(document_of(element), 0..3)
            .prop_map(Value::from)
            .boxed(),
        TypeSchema::Optional(inner) => prop_oneof![Just(Value::Null), document_of(inner)].boxed(),
        TypeSchema::Struct(layout) => structure_of(layout),
        TypeSchema::Union(layout) => {
            let arms = layout.arms.iter().map(|arm| {
                let name = arm_name(layout, arm.value, arm.name);
                let document = match (name, &arm.ty) {
                    ("boolean", _) => any::<bool>().prop_map(Value::from).boxed(),
                    (_, Some(ty)) => document_of(ty),
                    (_, None) => Just(Value::Null).boxed(),
                };
                document
                    .prop_map(move |value| json!({ "type": name, "value": value }))
                    .boxed()
            });
            prop::strategy::Union::new(arms).boxed()
        }
        TypeSchema::Enum(layout) => prop::sample::select(layout.values)
            .prop_map(|(name, _)| name.into())
            .boxed(),
        other => panic!("no strategy for {other:?}"),
    }
}

fn structure_of(layout: &'static StructSchema) -> BoxedStrategy<Value> {
    let mut documents = Just(serde_json::Map::new()).boxed();
    for field in layout.fields {
        documents = (documents, document_of(&field.ty))
            .prop_map(|(mut fields, value)| {
                fields.insert(field.name.to_owned(), value);
                fields
            })
            .boxed();
    }
    documents.prop_map(Value::Object).boxed()
}

#[test]
fn every_layout_survives_the_round_trip() {
    let layouts = PROCEDURES
        .iter()
        .flat_map(|procedure| [procedure.args, procedure.ret])
        .flatten();
    for layout in layouts {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 8,
            ..ProptestConfig::default()
        });
        let round_trip = |document: Value| {
            let bytes = encode::arguments(Some(layout), Some(&document)).unwrap();
            prop_assert_eq!(decoded(Some(layout), &bytes), document, "{}", layout.name);
            Ok(())
        };
        runner.run(&structure_of(layout), round_trip).unwrap();
    }
}

#[test]
fn hostile_replies_do_no_harm() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 4,
        ..ProptestConfig::default()
    });
    for procedure in PROCEDURES {
        runner
            .run(&prop::collection::vec(any::<u8>(), 0..64), |bytes| {
                let _ = decode::reply(procedure.ret, &mut Reader::new(&bytes));
                Ok(())
            })
            .unwrap();
    }
}
