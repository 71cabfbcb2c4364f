//! A connection, as bytes and packets; nothing here waits.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use bytes::{Buf as _, BytesMut};
use virtwire_protocol::Program;
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::header::{Header, MessageType, Serial, Status};

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    decoder: FrameDecoder,
    outbox: BytesMut,
    /// Bytes that carry descriptors and belong to no packet.
    carriers: usize,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// Between packets.
    Clean,
    /// Within a packet, or by what is no packet.
    Broken(String),
}

impl Wire {
    /// Takes a connection over.
    ///
    /// # Errors
    ///
    /// When it cannot be kept from waiting.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: FrameDecoder::new(),
            outbox: BytesMut::new(),
            carriers: 0,
        })
    }

    /// Queues bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Queues a packet.
    pub fn send_packet(
        &mut self,
        (program, procedure): (Program, i32),
        kind: MessageType,
        serial: u32,
        status: Status,
        payload: &[u8],
    ) {
        let header = Header {
            program,
            procedure,
            kind,
            serial: Serial::new(serial),
            status,
        };
        // Nothing that is made here exceeds a packet.
        let _ = encode_frame(&mut self.outbox, &header, |writer| {
            writer.raw(payload);
            Ok(())
        });
    }

    /// Whether there is something to be written.
    #[must_use]
    pub fn wants_to_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Writes and reads what can be done without waiting.
    ///
    /// # Errors
    ///
    /// The end of the connection; the packets before it have been added to `frames`.
    pub fn exchange(&mut self, frames: &mut Vec<Frame>) -> Result<(), End> {
        // A daemon that hung up may have said something before; that is still to be read.
        let written = self.write();
        let read = self.read();
        loop {
            let buffer = self.decoder.buffer_mut();
            let carriers = self.carriers.min(buffer.len());
            buffer.advance(carriers);
            self.carriers -= carriers;
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    self.carriers += frame.fds as usize;
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return Err(End::Broken(error.to_string())),
            }
        }
        match (read, written) {
            (Ok(()), Ok(())) => Ok(()),
            _ if self.decoder.buffered() > 0 => Err(End::Broken("a packet is cut short".into())),
            _ => Err(End::Clean),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => self.outbox.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let bytes = chunk.get(..count).unwrap_or_default();
                    self.decoder.buffer_mut().extend_from_slice(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
