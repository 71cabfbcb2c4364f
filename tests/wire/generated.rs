//! Every message of every procedure: what the schema describes is what the generated type reads
//! and writes.

use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::procedure::Program;
use virtwire_protocol::remote;
use virtwire_protocol::schema::{ProcedureKind, ProcedureSchema, StructSchema};
use virtwire_xdr::{Decode, DecodeError, DecodeErrorKind, EncodeErrorKind, Reader};

use crate::body::{Body, Decoded, decode, encode};
use crate::sample::{Flaw, Special, min_size, sample};

/// Random messages per layout.
const SAMPLES: u64 = 24;

/// A layout without fields, for the procedures that take or return nothing.
struct Message {
    procedure: &'static ProcedureSchema,
    body: Body,
    layout: Option<&'static StructSchema>,
}

impl Message {
    fn decode(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let Some(outcome) = decode(self.procedure.id, self.procedure.number, self.body, bytes)
        else {
            panic!("{self}: no generated type");
        };
        outcome
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            procedure, body, ..
        } = self;
        write!(f, "{}.{} {body:?}", procedure.program, procedure.name)
    }
}

fn messages() -> impl Iterator<Item = Message> {
    PROCEDURES.iter().flat_map(|procedure| {
        let message = |body, layout| Message {
            procedure,
            body,
            layout,
        };
        let args =
            (procedure.kind == ProcedureKind::Call).then(|| message(Body::Args, procedure.args));
        args.into_iter().chain([message(Body::Ret, procedure.ret)])
    })
}

fn layouts() -> impl Iterator<Item = (Message, &'static StructSchema)> {
    messages().filter_map(|message| message.layout.map(|layout| (message, layout)))
}

#[test]
fn the_schema_and_the_types_name_the_same_procedures() {
    let mut found = 0;
    let programs: Vec<Program> = PROCEDURES.iter().map(|procedure| procedure.id).collect();
    for number in [i32::MIN, -1, 0, i32::MAX].into_iter().chain(1..=600) {
        for id in [
            programs[0],
            programs[programs.len() - 1],
            Program::new(1, 1),
        ] {
            let listed = PROCEDURES.iter().any(|p| p.id == id && p.number == number);
            let known = decode(id, number, Body::Ret, &[]).is_some();
            assert_eq!(known, listed, "{id} {number}");
            found += usize::from(known);
        }
    }
    assert!(found > 450);
    let other_version = Program::new(programs[0].number, 2);
    assert!(decode(other_version, 1, Body::Ret, &[]).is_none());
}

#[test]
fn procedures_without_arguments_or_reply_have_empty_messages() {
    let mut empty = 0;
    for message in messages().filter(|message| message.layout.is_none()) {
        let decoded = message.decode(&[]).unwrap();
        assert!(decoded.again.unwrap().is_empty(), "{message}");
        assert_eq!(decoded.min_size, 0, "{message}");
        message.decode(&[0; 4]).unwrap_err();
        empty += 1;
    }
    assert!(empty > 150, "{empty}");
}

#[test]
fn random_messages_are_decoded_and_encoded_to_the_same_bytes() {
    for (message, layout) in layouts() {
        for seed in 0..SAMPLES {
            let sample = sample(layout, seed, None);
            let decoded = message
                .decode(&sample.bytes)
                .unwrap_or_else(|error| panic!("{message} {seed}: {error}"));
            assert_eq!(decoded.again.unwrap(), sample.bytes, "{message} {seed}");
            assert_eq!(
                decoded.owned.unwrap(),
                sample.bytes,
                "{message} {seed}, owned"
            );
            assert_eq!(decoded.min_size, min_size(layout), "{message}");
        }
    }
}

#[test]
fn every_length_reaches_its_bound() {
    let mut full = 0;
    for (message, layout) in layouts() {
        for at in 0..sample(layout, 1, None).bounded {
            let sample = sample(layout, 1, Some(Special::Full(at)));
            let decoded = message
                .decode(&sample.bytes)
                .unwrap_or_else(|error| panic!("{message}, length {at}: {error}"));
            assert!(
                decoded.again.unwrap() == sample.bytes,
                "{message}, length {at}"
            );
            full += 1;
        }
    }
    assert!(full > 900, "{full}");
}

#[test]
fn every_length_beyond_its_bound_is_refused_where_it_stands() {
    for (message, layout) in layouts() {
        for at in 0..sample(layout, 2, None).bounded {
            let sample = sample(layout, 2, Some(Special::TooLong(at)));
            let Some(Flaw::TooLong { max, offset }) = sample.flaw else {
                panic!("{message}, length {at}: {:?}", sample.flaw);
            };
            let error = message.decode(&sample.bytes).unwrap_err();
            assert_eq!(
                (error.kind(), error.offset()),
                (
                    &DecodeErrorKind::TooLong {
                        length: max + 1,
                        max
                    },
                    offset
                ),
                "{message}, length {at}: {error}"
            );
            assert!(error.path().contains('.'), "{message}: {error}");
        }
    }
}

#[test]
fn every_discriminant_without_an_arm_is_refused_where_it_stands() {
    let mut refused = 0;
    for (message, layout) in layouts() {
        for at in 0..sample(layout, 3, None).unions {
            let sample = sample(layout, 3, Some(Special::NoArm(at)));
            let Some(Flaw::NoArm {
                discriminant,
                offset,
            }) = sample.flaw
            else {
                panic!("{message}, union {at}: {:?}", sample.flaw);
            };
            let error = message.decode(&sample.bytes).unwrap_err();
            assert_eq!(
                (error.kind(), error.offset()),
                (
                    &DecodeErrorKind::UnknownDiscriminant { discriminant },
                    offset
                ),
                "{message}, union {at}: {error}"
            );
            refused += 1;
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn every_truncation_of_every_message_is_refused() {
    for (message, layout) in layouts() {
        let sample = sample(layout, 4, None);
        for length in 0..sample.bytes.len() {
            let error = message.decode(&sample.bytes[..length]).unwrap_err();
            assert!(
                matches!(error.kind(), DecodeErrorKind::UnexpectedEnd { .. }),
                "{message}, cut at {length}: {error}"
            );
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = virtwire_tests::random::Random::new(5);
    for message in messages() {
        for _ in 0..SAMPLES {
            let length = random.below(200);
            // Small words look like lengths and discriminants, so they get further than noise.
            let bytes: Vec<u8> = (0..length)
                .map(|at| if at % 4 == 3 { random.byte() % 8 } else { 0 })
                .collect();
            let _ = message.decode(&bytes);
        }
    }
}

#[test]
fn the_longest_string_goes_both_ways_and_a_longer_one_neither() {
    let longest = remote::STRING_MAX as usize;
    let args = |length| remote::DomainDefineXmlArgs {
        xml: "x".repeat(length).into(),
    };
    let message = encode(&args(longest)).unwrap();
    let decoded = remote::DomainDefineXmlArgs::decode(&mut Reader::new(&message)).unwrap();
    assert_eq!(decoded.xml.as_bytes().len(), longest);

    let error = encode(&args(longest + 1)).unwrap_err();
    assert_eq!(error.path(), "DomainDefineXmlArgs.xml");
    assert_eq!(
        error.kind(),
        &EncodeErrorKind::TooLong {
            length: longest + 1,
            max: remote::STRING_MAX
        }
    );
}
