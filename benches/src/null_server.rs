//! A server that answers every call at once, so that what is measured is the client.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use bytes::{Buf, BytesMut};
use tempfile::TempDir;
use virtwire_protocol::frame::{PREFIX_LEN, encode_frame};
use virtwire_protocol::header::{HEADER_LEN, Header, MessageType, Serial, Status};
use virtwire_protocol::{Procedure, Program, remote};
use virtwire_xdr::Encode;

use crate::message;

/// What is read or written at once, as long as no packet is longer.
const CHUNK: usize = 64 << 10;

/// Where the serial stands in a packet.
const SERIAL: std::ops::Range<usize> = 20..24;

/// Canned replies, encoded beforehand; a call without one gets an empty reply.
#[derive(Debug, Default)]
pub struct NullServer {
    packets: HashMap<(Program, i32), BytesMut>,
}

impl NullServer {
    /// Answers every call of `P` with `reply`.
    ///
    /// # Errors
    ///
    /// When the reply has no form on the wire.
    pub fn reply<P: Procedure>(mut self, reply: &P::Ret<'_>) -> io::Result<Self> {
        let header = Header {
            program: P::PROGRAM,
            procedure: P::NUMBER,
            kind: MessageType::Reply,
            serial: Serial::default(),
            status: Status::Ok,
        };
        let mut packet = BytesMut::new();
        encode_frame(&mut packet, &header, |writer| reply.encode(writer))
            .map_err(io::Error::other)?;
        self.packets.insert((P::PROGRAM, P::NUMBER), packet);
        Ok(self)
    }

    /// What a client needs to open a connection, and the replies that are measured.
    ///
    /// # Errors
    ///
    /// When a reply has no form on the wire.
    pub fn with_everything() -> io::Result<Self> {
        Self::default()
            .reply::<remote::AuthList>(&remote::AuthListRet {
                types: vec![remote::AuthType::NONE],
            })?
            .reply::<remote::ConnectSupportsFeature>(&remote::ConnectSupportsFeatureRet {
                supported: 1,
            })?
            .reply::<remote::ConnectGetLibVersion>(&message::library_version())?
            .reply::<remote::ConnectListAllDomains>(&message::list())?
            .reply::<remote::ConnectGetAllDomainStats>(&message::stats())
    }

    /// Serves every connection to `listener`, each on a thread of its own, until accepting fails.
    ///
    /// # Errors
    ///
    /// When a connection cannot be accepted.
    pub fn serve(self, listener: &UnixListener) -> io::Result<()> {
        let server = Arc::new(self);
        loop {
            let (stream, _) = listener.accept()?;
            let server = Arc::clone(&server);
            // A client that goes away ends its thread and nothing else.
            thread::spawn(move || server.answer(&stream));
        }
    }

    fn answer(&self, mut stream: &UnixStream) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut received = BytesMut::with_capacity(CHUNK);
        let mut replies = BytesMut::with_capacity(CHUNK);
        loop {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            received.extend_from_slice(chunk.get(..count).unwrap_or_default());
            while let Some(header) = take_packet(&mut received)? {
                self.append_reply(&mut replies, header)?;
            }
            stream.write_all(&replies)?;
            replies.clear();
        }
    }

    fn append_reply(&self, replies: &mut BytesMut, call: Header) -> io::Result<()> {
        if call.kind != MessageType::Call {
            return Ok(());
        }
        let start = replies.len();
        match self.packets.get(&(call.program, call.procedure)) {
            Some(packet) => replies.extend_from_slice(packet),
            None => encode_frame(replies, &reply_to(call), |_| Ok(())).map_err(io::Error::other)?,
        }
        let serial = call.serial.get().to_be_bytes();
        if let Some(word) = replies.get_mut(start..).and_then(|p| p.get_mut(SERIAL)) {
            word.copy_from_slice(&serial);
        }
        Ok(())
    }
}

fn reply_to(call: Header) -> Header {
    Header {
        kind: MessageType::Reply,
        ..call
    }
}

/// The header of the next whole packet, which is taken out of `received`.
fn take_packet(received: &mut BytesMut) -> io::Result<Option<Header>> {
    let Some((length, rest)) = received.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    let Some(header) = rest.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if received.len() < length || length < PREFIX_LEN {
        return Ok(None);
    }
    let header = Header::decode(header).map_err(io::Error::other)?;
    received.advance(length);
    Ok(Some(header))
}

/// A [`NullServer`] in a process of its own, so that its processor time is not the client's.
#[derive(Debug)]
pub struct Process {
    child: Child,
    directory: TempDir,
}

/// The argument that makes a program of this package the server.
const ROLE: &str = "null-server";

impl Process {
    /// Starts this very program once more, as the server.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not listen.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .arg(directory.path().join("socket"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = [0];
        match child.stdout.take() {
            Some(mut stdout) => stdout.read_exact(&mut ready)?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(Self { child, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes the server when this program was started by [`Process::start`]; call it first in `main`.
///
/// # Errors
///
/// When the server cannot listen.
pub fn serve_if_asked(server: impl FnOnce() -> io::Result<NullServer>) -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|role| role != ROLE) {
        return Ok(());
    }
    let socket = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
    let listener = UnixListener::bind(socket)?;
    // The pipe breaks when the one who started us is gone, however that came about.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    io::stdout().write_all(b"!")?;
    io::stdout().flush()?;
    server()?.serve(&listener)
}
