//! Seeds that are made of packets.

use virtwire_fuzz::message::{Body, ProgramName};
use virtwire_protocol::frame::{Frame, MAX_STREAM_CHUNK};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::StreamDirection;
use virtwire_protocol::remote::TypedParam;
use virtwire_protocol::{admin, keepalive, lxc, qemu, remote};
use virtwire_xdr::{Decode, Reader};

use crate::MAX_LEN;
use crate::input::{Fields, Seed, message};
use crate::recording::{Connection, Packet};

/// How much of a connection's bytes a seed takes.
const MAX_STREAM: usize = 3 * MAX_LEN;

/// How many answers of a connection a seed takes.
const MAX_ANSWERS: usize = 24;

/// The seeds of one packet.
pub(crate) fn of_packet(packet: &Packet) -> Vec<Seed> {
    let mut seeds: Vec<_> = of_message(packet).into_iter().collect();
    seeds.extend(of_params(packet));
    seeds.extend(of_event(packet));
    seeds.extend(of_domain(packet));
    seeds
}

fn of_message(packet: &Packet) -> Option<Seed> {
    let header = &packet.frame.header;
    let number = u16::try_from(header.procedure).ok()?;
    let body = if packet.from_client {
        Body::Args
    } else {
        Body::Ret
    };
    let (program, number) = match (header.kind, header.status) {
        (MessageType::StreamHole, _) => (ProgramName::Net, 2),
        (MessageType::Stream, Status::Error) if packet.from_client => return None,
        (_, Status::Error) => (ProgramName::Net, 0),
        (MessageType::Stream, _) => return None,
        _ => (program_name(packet), number),
    };
    let fields = message(program, number, body, &packet.frame.payload);
    Some(fields.seed("message", packet.class()))
}

fn program_name(packet: &Packet) -> ProgramName {
    match packet.frame.header.program {
        qemu::PROGRAM => ProgramName::Qemu,
        lxc::PROGRAM => ProgramName::Lxc,
        admin::PROGRAM => ProgramName::Admin,
        keepalive::PROGRAM => ProgramName::Keepalive,
        _ => ProgramName::Remote,
    }
}

/// The typed parameters in a packet, wherever they are.
fn of_params(packet: &Packet) -> Option<Seed> {
    let payload = &packet.frame.payload;
    let starts = (0..payload.len()).step_by(4);
    let mut parts = starts.map(|start| &payload[start..]);
    let params = parts.find(|part| {
        let mut reader = Reader::new(part);
        let is_one = |reader: &mut Reader<'_>| {
            TypedParam::decode(reader).is_ok_and(|p| p.field.as_bytes().len() > 3)
        };
        is_one(&mut reader) && is_one(&mut reader)
    })?;
    Some(
        Fields::default()
            .rest(params)
            .seed("typed_params", packet.class()),
    )
}

/// The XML of a domain in a packet.
fn of_domain(packet: &Packet) -> Option<Seed> {
    let text = String::from_utf8_lossy(&packet.frame.payload);
    let (start, end) = (text.find("<domain ")?, text.find("</domain>")?);
    let xml = text.get(start..end)?;
    let fields = Fields::default().rest(xml.as_bytes()).rest(b"</domain>");
    Some(fields.seed("domain_xml", packet.class()))
}

/// Somebody who subscribes to everything, is granted it, gets this and something that is meant for
/// them, before and after the connection is lost.
fn of_event(packet: &Packet) -> Option<Seed> {
    let header = &packet.frame.header;
    let number = u16::try_from(header.procedure).ok()?;
    if header.kind != MessageType::Message || header.program == keepalive::PROGRAM {
        return None;
    }
    let of_qemu = u8::from(header.program == qemu::PROGRAM);
    let action = |fields: Fields, index| fields.next().variant(index, 10);
    let all = |fields: Fields| (0..16).fold(fields, |fields, _| action(fields, 2).u8(0));
    let told = |fields: Fields| {
        let fields = action(fields, 6).u8(of_qemu).u16(number);
        let fields = fields.blob(&packet.frame.payload);
        let fields = action(fields, 5).u8(1).u8(0).u8(3).variant(0, 3);
        action(fields, 7).u8(0).u8(3)
    };
    // The daemon has callback IDs.
    let fields = action(Fields::default().u8(0), 0);
    let fields = fields.u16(u16::MAX).u8(0).u8(7).variant(0, 4);
    let fields = told(all(fields.u8(1).u8(1).u8(1)));
    let fields = told(all(action(action(fields, 8), 9)));
    Some(action(fields, 1).u8(0).seed("event", packet.class()))
}

/// The seeds of a whole connection.
pub(crate) fn of_session(connection: &Connection) -> Vec<Seed> {
    let name = &connection.name;
    let to_daemon = stream(&connection.to_daemon);
    let to_client = stream(&connection.to_client);
    let framed = |bytes: &[u8], name| Fields::default().u32(1).rest(bytes).seed("frame", name);
    let served = Fields::default().u32(1).u8(5).rest(&to_daemon);
    vec![
        framed(&to_daemon, format!("{name}-to-daemon")),
        framed(&to_client, format!("{name}-to-client")),
        served.seed("server_session", name),
        of_client(connection).seed("client_session", name),
        of_pair(connection).seed("session_pair", name),
        of_simulator(connection).seed("simulator", name),
    ]
}

/// The first packets as bytes.
fn stream(packets: &[Packet]) -> Vec<u8> {
    let mut stream = Vec::new();
    for Packet { frame, .. } in packets {
        if stream.len() + frame.payload.len() > MAX_STREAM {
            break;
        }
        let fds = frame.header.kind.has_fds().then(|| frame.fds.to_be_bytes());
        let fds = fds.as_ref().map_or([].as_slice(), |count| count);
        let length = 4 + 24 + fds.len() + frame.payload.len();
        let length = u32::try_from(length).expect("packets are short");
        stream.extend(length.to_be_bytes());
        stream.extend(frame.header.encode());
        stream.extend(fds);
        stream.extend(frame.payload.iter());
    }
    stream
}

/// What the daemon said, as actions on a client's session.
fn of_client(connection: &Connection) -> Fields {
    let action = |fields: Fields, index| fields.next().variant(index, 16);
    let mut fields = Fields::default().u8(4).u16(u16::MAX).u8(64).u8(0);
    let mut calls = 0;
    for Packet { frame, .. } in short(&connection.to_client).take(MAX_ANSWERS) {
        let payload = &frame.payload;
        let header = &frame.header;
        match header.kind {
            MessageType::Reply => {
                fields = action(fields, 0).variant(client_call(frame), 6);
                fields = action(fields, 3).u8(255);
                let failed = usize::from(header.status == Status::Error);
                fields = action(fields, 4).u8(calls).variant(failed, 5).blob(payload);
                calls += 1;
            }
            MessageType::Stream | MessageType::StreamHole => {
                let hole = u8::from(header.kind == MessageType::StreamHole);
                let status = i32::from(header.status).to_le_bytes()[0];
                let call = calls.saturating_sub(1);
                fields = action(fields, 5).u8(call).u8(hole).u8(status).blob(payload);
            }
            _ => {
                let [low, high, ..] = header.procedure.to_le_bytes();
                let program = if header.program == keepalive::PROGRAM {
                    2
                } else {
                    0
                };
                fields = action(fields, 6).u8(program).u8(low).u8(high);
                fields = fields.u8(header.kind as u8).u8(1).u8(0).blob(payload);
            }
        }
    }
    fields
}

/// The order of the calls and answers, for two sessions that make up the rest.
fn of_pair(connection: &Connection) -> Fields {
    let action = |fields: Fields, index| fields.next().variant(index, 15);
    let mut fields = Fields::default();
    for Packet { frame, .. } in short(&connection.to_client).take(MAX_ANSWERS) {
        let succeeded = u8::from(frame.header.status != Status::Error);
        let length = u32::try_from(frame.payload.len()).expect("packets are short");
        fields = match frame.header.kind {
            MessageType::Reply => {
                fields = action(fields, 0).variant(pair_call(frame), 5);
                fields = action(fields, 2).u16(u16::MAX);
                action(fields, 4).u8(0).u8(succeeded)
            }
            MessageType::StreamHole => action(fields, 6).u8(0).u32(length),
            MessageType::Stream if length > 0 => action(fields, 5).u8(0).u32(length),
            MessageType::Stream => action(fields, 7).u8(0),
            _ => action(fields, 9),
        };
        fields = action(fields, 3).u16(u16::MAX);
        if frame.header.kind == MessageType::Reply && direction(frame).uploads() {
            let length = u32::try_from(MAX_STREAM_CHUNK).expect("chunks are short");
            fields = action(fields, 10).u8(0).u32(length);
            fields = action(action(fields, 12).u8(0), 2).u16(u16::MAX);
        }
    }
    fields
}

/// What the client said, to the simulated daemon.
fn of_simulator(connection: &Connection) -> Fields {
    let action = |fields: Fields, index| fields.next().variant(index, 7);
    // The driver is opened by the client's own call.
    let mut fields = Fields::default().variant(0, 3);
    let mut calls = 0;
    for Packet { frame, .. } in short(&connection.to_daemon).take(MAX_ANSWERS) {
        let header = &frame.header;
        let number = u16::try_from(header.procedure).unwrap_or_default();
        match header.kind {
            MessageType::Call if header.program == remote::PROGRAM => {
                fields = action(fields, 0).u16(number).blob(&frame.payload);
                calls += 1;
            }
            MessageType::Stream | MessageType::StreamHole => {
                let hole = u8::from(header.kind == MessageType::StreamHole);
                let status = i32::from(header.status).to_le_bytes()[0];
                let call = u8::saturating_sub(calls, 1);
                fields = action(fields, 4).u8(call).u8(hole).u8(status);
                fields = fields.blob(&frame.payload);
            }
            _ => {}
        }
        fields = action(fields, 6).u16(1);
    }
    fields
}

fn short(packets: &[Packet]) -> impl Iterator<Item = &Packet> {
    packets
        .iter()
        .filter(|packet| packet.frame.payload.len() <= 512)
}

fn client_call(frame: &Frame) -> usize {
    match direction(frame) {
        StreamDirection::Download => 3,
        StreamDirection::Upload => 4,
        StreamDirection::Bidirectional => 5,
        _ if frame.header.program == admin::PROGRAM => 2,
        _ => 0,
    }
}

fn pair_call(frame: &Frame) -> usize {
    match direction(frame) {
        StreamDirection::Download => 2,
        StreamDirection::Upload => 3,
        StreamDirection::Bidirectional => 4,
        _ => 0,
    }
}

fn direction(frame: &Frame) -> StreamDirection {
    let header = &frame.header;
    let procedure = PROCEDURES
        .iter()
        .find(|p| (p.id, p.number) == (header.program, header.procedure));
    procedure.map_or(StreamDirection::None, |procedure| procedure.stream)
}
