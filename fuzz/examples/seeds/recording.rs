//! What a client and a daemon have said to each other.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use virtwire_protocol::frame::{Frame, FrameDecoder};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::{MessageType, Status};

/// Answers that describe the machine that the daemon runs on.
const ABOUT_THE_MACHINE: [&str; 9] = [
    "CAPABILITIES",
    "HOSTNAME",
    "SYSINFO",
    "NODE_GET_",
    "NODE_DEVICE_",
    "NODE_LIST_",
    "LIST_ALL_NODE_DEVICES",
    "CLIENT_GET_INFO",
    "LIST_ALL_NWFILTERS",
];

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Names it among the others.
    pub(crate) name: String,
    pub(crate) to_daemon: Vec<Packet>,
    pub(crate) to_client: Vec<Packet>,
}

/// A packet and who sent it.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) frame: Frame,
    pub(crate) from_client: bool,
    /// The name of its procedure.
    pub(crate) procedure: &'static str,
}

impl Connection {
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet> + '_ {
        self.to_daemon.iter().chain(&self.to_client).cloned()
    }
}

impl Packet {
    /// What is alike among packets of one class: all but their values, and their length nearly.
    pub(crate) fn class(&self) -> String {
        let header = &self.frame.header;
        let side = if self.from_client { "daemon" } else { "client" };
        let kind = match (header.kind, header.status) {
            (kind, Status::Ok) => format!("{kind:?}"),
            (kind, status) => format!("{kind:?}-{status:?}"),
        };
        let size = self
            .frame
            .payload
            .len()
            .checked_ilog2()
            .map_or(0, |log| log + 1);
        let program = header.program.number & 0xffff_0000;
        format!("{}-{program:x}-to-{side}-{kind}-{size}", self.procedure).to_lowercase()
    }
}

/// All connections, in the order of their names.
pub(crate) fn connections(recordings: &Path) -> Result<Vec<Connection>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for relay in fs::read_dir(recordings)? {
        for file in fs::read_dir(relay?.path())? {
            files.push(file?.path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|side| side == "to-daemon"));
    files.sort();
    let connections = files.iter().enumerate().map(|(number, file)| {
        Ok(Connection {
            name: format!("session-{number:03}"),
            to_daemon: packets(file, true)?,
            to_client: packets(&file.with_extension("to-client"), false)?,
        })
    });
    connections.collect()
}

/// The packets of one side, but for those that tell of the machine.
fn packets(file: &Path, from_client: bool) -> Result<Vec<Packet>, Box<dyn Error>> {
    let mut decoder = FrameDecoder::new();
    decoder.buffer_mut().extend_from_slice(&fs::read(file)?);
    let mut packets = Vec::new();
    while let Some(mut frame) = decoder.next_frame()? {
        let header = frame.header;
        let procedure = PROCEDURES
            .iter()
            .find(|p| (p.id, p.number) == (header.program, header.procedure));
        let procedure = procedure.map_or("KEEPALIVE", |procedure| procedure.name);
        let is_answer = header.kind != MessageType::Call;
        if is_answer
            && ABOUT_THE_MACHINE
                .iter()
                .any(|part| procedure.contains(part))
        {
            continue;
        }
        frame.payload = without_paths(&frame.payload).into();
        packets.push(Packet {
            frame,
            from_client,
            procedure,
        });
    }
    Ok(packets)
}

/// Makes paths below `/tmp`, `/var` and `/run` into ones of the same length that exist nowhere.
fn without_paths(payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for root in [b"/tmp/".as_slice(), b"/var/", b"/run/"] {
        let mut from = 0;
        while let Some(found) = payload[from..]
            .windows(root.len())
            .position(|part| part == root)
        {
            from += found + 1;
            let path = &mut payload[from..];
            let is_part = |byte: &&mut u8| byte.is_ascii_alphanumeric() || b"/-._".contains(byte);
            for byte in path.iter_mut().take_while(is_part) {
                if *byte != b'/' {
                    *byte = b'x';
                }
            }
        }
    }
    payload
}
