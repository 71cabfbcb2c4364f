//! A server that answers every call at once, so that what is measured is the client.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::remote::{
    ConnectDomainEventCallbackRegisterAny as Register,
    ConnectDomainEventCallbackRegisterAnyRet as RegisterRet,
};
use virtwire_protocol::{Procedure, Program, remote};
use virtwire_xdr::{Decode, Encode, EncodeError, Reader, Writer};

use crate::flood::{Flood, Trigger};
use crate::message;
use crate::process::{self, Process};

/// What is read or written at once, as long as no packet is longer.
const CHUNK: usize = 64 << 10;

/// Where the serial stands in a packet.
const SERIAL: std::ops::Range<usize> = 20..24;

/// Canned replies, encoded beforehand; a call without one gets an empty reply. Registrations for
/// events of domains are numbered from one, and a [`Trigger`] lets loose a [`Flood`].
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
        let mut received = FrameDecoder::new();
        let mut client = Client::default();
        loop {
            match recv(stream, chunk.as_mut_slice(), client.patience()) {
                Ok((0, _)) => return Ok(()),
                Ok((count, _)) => received
                    .buffer_mut()
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(frame) = received.next_frame().map_err(io::Error::other)? {
                client.serve(self, &frame)?;
            }
            client.tell_events();
            stream.write_all(&client.output)?;
            client.output.clear();
        }
    }
}

/// What there is for one client.
#[derive(Debug, Default)]
struct Client {
    output: BytesMut,
    registrations: i32,
    flood: Option<Flood>,
}

impl Client {
    /// While there are events to tell, calls are answered in between and not waited for.
    fn patience(&self) -> RecvFlags {
        match self.flood {
            Some(_) => RecvFlags::DONTWAIT,
            None => RecvFlags::empty(),
        }
    }

    fn serve(&mut self, server: &NullServer, frame: &Frame) -> io::Result<()> {
        let call = frame.header;
        if call.kind != MessageType::Call {
            return Ok(());
        }
        match (call.program, call.procedure) {
            (remote::PROGRAM, Register::NUMBER) => {
                self.registrations += 1;
                let callback_id = self.registrations;
                self.reply(call, |writer| RegisterRet { callback_id }.encode(writer))
            }
            (remote::PROGRAM, Trigger::NUMBER) => {
                let args = <Trigger as Procedure>::Args::decode(&mut Reader::new(&frame.payload));
                let domains = args.map_err(io::Error::other)?.maxids;
                self.flood = Some(Flood::new(usize::try_from(domains).unwrap_or_default())?);
                let none = remote::ConnectListDomainsRet::default();
                self.reply(call, |writer| none.encode(writer))
            }
            procedure => match server.packets.get(&procedure) {
                Some(packet) => {
                    self.reply_canned(call, packet);
                    Ok(())
                }
                None => self.reply(call, |_| Ok(())),
            },
        }
    }

    fn reply(
        &mut self,
        call: Header,
        payload: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> io::Result<()> {
        let header = Header {
            kind: MessageType::Reply,
            ..call
        };
        encode_frame(&mut self.output, &header, payload).map_err(io::Error::other)
    }

    fn reply_canned(&mut self, call: Header, packet: &[u8]) {
        let start = self.output.len();
        self.output.extend_from_slice(packet);
        let serial = call.serial.get().to_be_bytes();
        let packet = self.output.get_mut(start..);
        if let Some(word) = packet.and_then(|packet| packet.get_mut(SERIAL)) {
            word.copy_from_slice(&serial);
        }
    }

    fn tell_events(&mut self) {
        let events = self.flood.as_mut().and_then(Flood::next_block);
        match events {
            Some(events) => self.output.extend_from_slice(events),
            None => self.flood = None,
        }
    }
}

/// A [`NullServer`] in a process of its own, so that its processor time is not the client's.
#[derive(Debug)]
pub struct Server(Process);

/// The argument that makes a program of this package the server.
const ROLE: &str = "null-server";

/// The name of its socket.
const SOCKET: &str = "socket";

impl Server {
    /// Starts this very program once more, as the server.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not listen.
    pub fn start() -> io::Result<Self> {
        Process::start(ROLE).map(Self)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.socket(SOCKET)
    }
}

/// Becomes the server when this program was started by [`Server::start`]; call it first in `main`.
///
/// # Errors
///
/// When the server cannot listen.
pub fn serve_if_asked(server: impl FnOnce() -> io::Result<NullServer>) -> io::Result<()> {
    let Some(directory) = process::directory_of(ROLE) else {
        return Ok(());
    };
    let listener = UnixListener::bind(directory.join(SOCKET))?;
    process::ready()?;
    server()?.serve(&listener)
}
