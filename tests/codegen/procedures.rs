//! Every procedure and event there is, against the independent table `protocol/procedures.tsv`.

use virtwire_protocol::generated::dispatch::visit;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::procedure::{
    Event, Priority, Procedure, Program, Release, StreamDirection, Visitor,
};
use virtwire_protocol::schema::{ProcedureKind, ProcedureSchema, StructSchema};
use virtwire_protocol::{admin, keepalive, lxc, qemu, remote};

use crate::read;

fn of(program: &str) -> Vec<&'static ProcedureSchema> {
    PROCEDURES
        .iter()
        .filter(|procedure| procedure.program == program)
        .collect()
}

fn events(program: &str) -> usize {
    of(program)
        .iter()
        .filter(|procedure| procedure.kind == ProcedureKind::Event)
        .count()
}

#[test]
fn every_program_has_all_its_procedures_without_gaps() {
    for (program, count) in [("remote", 456), ("qemu", 7), ("lxc", 1), ("admin", 20)] {
        let numbers: Vec<i32> = of(program)
            .iter()
            .map(|procedure| procedure.number)
            .collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{program}");
    }
    assert_eq!(PROCEDURES.len(), 484);
}

#[test]
fn every_program_has_all_its_events() {
    let counts = ["remote", "qemu", "lxc", "admin"].map(events);
    assert_eq!(counts, [55, 1, 0, 0]);
}

#[test]
fn programs_have_the_numbers_of_the_wire() {
    let numbers = [
        (remote::PROGRAM, 0x2000_8086),
        (qemu::PROGRAM, 0x2000_8087),
        (lxc::PROGRAM, 0x0006_8000),
        (admin::PROGRAM, 0x0690_0690),
        (keepalive::PROGRAM, 0x6b65_6570),
    ];
    for (program, number) in numbers {
        assert_eq!(program, Program::new(number, 1));
    }
}

#[test]
fn procedures_agree_with_the_table() {
    let table = read("protocol/procedures.tsv");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|row| row.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), PROCEDURES.len());
    for (row, procedure) in rows.iter().zip(PROCEDURES) {
        let number = procedure.number.to_string();
        let name = |schema: Option<&'static StructSchema>| schema.map_or("-", |schema| schema.name);
        let kind = match procedure.kind {
            ProcedureKind::Call => "call",
            _ => "event",
        };
        let priority = match procedure.priority {
            Priority::High => "high",
            _ => "low",
        };
        let here = [
            procedure.program,
            &number,
            procedure.name,
            name(procedure.args),
            name(procedure.ret),
            kind,
        ];
        assert_eq!(row[..6], here);
        // Events are sent, not run: whatever libvirt says of their priority means nothing.
        if procedure.kind == ProcedureKind::Call {
            assert_eq!(row[6], priority, "{}", procedure.name);
        }
    }
}

#[test]
fn streams_are_those_of_the_wire_notes() {
    let streams: Vec<_> = PROCEDURES
        .iter()
        .filter(|procedure| procedure.stream.is_stream())
        .map(|procedure| (procedure.number, procedure.stream, procedure.sparse_flag))
        .collect();
    use StreamDirection::{Bidirectional, Download, Upload};
    let expected = [
        (148, Upload, None),
        (201, Bidirectional, None),
        (208, Upload, Some("VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM")),
        (
            209,
            Download,
            Some("VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM"),
        ),
        (211, Download, None),
        (215, Upload, None),
        (296, Bidirectional, None),
        (304, Upload, None),
    ];
    assert_eq!(streams, expected);
}

/// What the traits say of a procedure.
type Said = (
    Program,
    i32,
    &'static str,
    Release,
    Option<(Priority, StreamDirection, bool)>,
);

struct Say;

impl Visitor for Say {
    type Output = Said;

    fn procedure<P: Procedure>(self) -> Said {
        (
            P::PROGRAM,
            P::NUMBER,
            P::NAME,
            P::SINCE,
            Some((P::PRIORITY, P::STREAM, P::REPEATABLE)),
        )
    }

    fn event<E: Event>(self) -> Said {
        (E::PROGRAM, E::NUMBER, E::NAME, E::SINCE, None)
    }
}

#[test]
fn traits_say_the_same_as_the_schema() {
    for it in PROCEDURES {
        let said = visit(it.id, it.number, Say).unwrap();
        let annotations =
            (it.kind == ProcedureKind::Call).then_some((it.priority, it.stream, it.repeatable));
        assert_eq!(said, (it.id, it.number, it.name, it.since, annotations));
    }
}

#[test]
fn unknown_numbers_have_no_type() {
    assert!(visit(remote::PROGRAM, 0, Say).is_none());
    assert!(visit(remote::PROGRAM, 457, Say).is_none());
    assert!(visit(Program::new(1, 1), 1, Say).is_none());
}

#[test]
fn releases_are_those_of_the_public_functions() {
    let since = |number: i32| of("remote")[usize::try_from(number).unwrap() - 1].since;
    assert_eq!(
        since(remote::DomainBlockPull::NUMBER),
        Release::new(0, 9, 4)
    );
    assert_eq!(
        since(remote::DomainCreateXml::NUMBER),
        Release::new(0, 0, 3)
    );
    assert_eq!(
        since(remote::DomainEventCallbackTunable::NUMBER),
        Release::new(1, 2, 9)
    );
    assert_eq!(
        since(remote::DomainAnnounceInterface::NUMBER),
        Release::new(12, 5, 0)
    );
}
