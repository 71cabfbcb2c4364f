//! The least that any client must do: write bytes that were made beforehand, read until the
//! replies are there. Blocking, without allocation, two system calls per round trip.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::BytesMut;
use virtwire_protocol::frame::encode_frame;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::{Procedure, remote};
use virtwire_xdr::Encode;

/// The size of the read buffer as long as no reply is longer.
const CHUNK: usize = 64 << 10;

/// A connection that knows nothing but lengths.
#[derive(Debug)]
pub struct Floor {
    stream: UnixStream,
    buffer: Vec<u8>,
}

/// A call as it stands on the wire.
///
/// # Errors
///
/// When the arguments have no form on the wire.
pub fn request<P: Procedure>(serial: u32, args: &P::Args<'_>) -> io::Result<BytesMut> {
    let header = Header {
        program: P::PROGRAM,
        procedure: P::NUMBER,
        kind: MessageType::Call,
        serial: Serial::new(serial),
        status: Status::Ok,
    };
    let mut packet = BytesMut::new();
    encode_frame(&mut packet, &header, |writer| args.encode(writer)).map_err(io::Error::other)?;
    Ok(packet)
}

impl Floor {
    /// Connects and nothing else.
    ///
    /// # Errors
    ///
    /// When the socket cannot be connected to.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(socket)?,
            buffer: vec![0; CHUNK],
        })
    }

    /// Opens the hypervisor connection, which a real daemon wants before anything else.
    ///
    /// # Errors
    ///
    /// When the connection ends or fails.
    pub fn open(&mut self, name: &str) -> io::Result<()> {
        let args = remote::ConnectOpenArgs {
            name: Some(name.into()),
            flags: 0,
        };
        let call = request::<remote::ConnectOpen>(1, &args)?;
        self.round_trip(&call, 1).map(drop)
    }

    /// Writes `requests` and reads as many replies; returns the bytes of the last ones, from the
    /// first that was still in the buffer.
    ///
    /// # Errors
    ///
    /// When the connection ends or fails.
    pub fn round_trip(&mut self, requests: &[u8], replies: usize) -> io::Result<&[u8]> {
        self.stream.write_all(requests)?;
        let mut filled = 0;
        let mut whole = 0;
        let mut missing = replies;
        while missing > 0 {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            filled += self.read(filled)?;
            while let Some(length) = packet_length(self.buffer.get(whole..filled)) {
                whole += length;
                missing = missing.saturating_sub(1);
            }
        }
        Ok(self.buffer.get(..whole).unwrap_or_default())
    }

    /// Writes `request` and reads until so many packets have come, which it counts and forgets.
    ///
    /// # Errors
    ///
    /// When the connection ends or fails.
    pub fn count(&mut self, request: &[u8], packets: usize) -> io::Result<()> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        let mut missing = packets;
        while missing > 0 {
            filled += self.read(filled)?;
            let mut whole = 0;
            while let Some(length) = packet_length(self.buffer.get(whole..filled)) {
                whole += length;
                missing = missing.saturating_sub(1);
            }
            self.buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        Ok(())
    }

    /// Reads what is there into the buffer, behind the bytes that it holds already.
    fn read(&mut self, filled: usize) -> io::Result<usize> {
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        match self.stream.read(room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

/// The length of the packet at the front, when all of it is here.
fn packet_length(bytes: Option<&[u8]>) -> Option<usize> {
    let bytes = bytes?;
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    (bytes.len() >= length).then_some(length)
}
