//! A flood of events: many more than a queue holds, as fast as the client takes them.

use std::io;

use bytes::BytesMut;
use virtwire_protocol::constants::DomainEventStartedDetailType;
use virtwire_protocol::event::{DomainEventKind, Lifecycle, Message};
use virtwire_protocol::frame::encode_frame;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::remote;
use virtwire_xdr::Writer;

use crate::message;

/// How many events there are in a flood.
pub const EVENTS: usize = 200_000;

/// The call that makes the null server send a flood: events about as many domains, in turn, as it
/// has room for.
pub type Trigger = remote::ConnectListDomains;

/// The registration that the events are for: the first of a connection.
pub const CALLBACK: i32 = 1;

/// How many events are written at once; any number of domains that divides it may be asked for.
const BLOCK: usize = message::DOMAINS;

/// How far before the end of its packet the ID of a domain stands: two words are behind it.
const ID: usize = 12;

/// The rest of a flood. The ID of an event's domain says which event it is, counted from zero.
#[derive(Debug)]
pub struct Flood {
    block: BytesMut,
    packet: usize,
    sent: u32,
}

impl Flood {
    /// Lifecycle events about so many domains in turn.
    ///
    /// # Errors
    ///
    /// When they have no form on the wire.
    pub fn new(domains: usize) -> io::Result<Self> {
        let mut block = BytesMut::new();
        for index in 0..BLOCK {
            append_event(&mut block, index % domains.max(1))?;
        }
        let packet = block.len() / BLOCK;
        let sent = 0;
        Ok(Self {
            block,
            packet,
            sent,
        })
    }

    /// The packets that come next; `None` at the end.
    pub fn next_block(&mut self) -> Option<&[u8]> {
        if self.sent as usize >= EVENTS {
            return None;
        }
        for packet in self.block.chunks_exact_mut(self.packet) {
            let id = packet.len().checked_sub(ID)?;
            let word = packet.get_mut(id..)?.first_chunk_mut()?;
            *word = self.sent.to_be_bytes();
            self.sent += 1;
        }
        Some(&self.block)
    }
}

fn append_event(buffer: &mut BytesMut, domain: usize) -> io::Result<()> {
    let what = Lifecycle::Started(DomainEventStartedDetailType::BOOTED);
    let what = DomainEventKind::from(what);
    let message = Message::new(Some(CALLBACK), message::domain(domain), what);
    let event = message.encode().map_err(io::Error::other)?;
    let header = Header {
        program: event.program,
        procedure: event.procedure,
        kind: MessageType::Message,
        serial: Serial::default(),
        status: Status::Ok,
    };
    let payload = |writer: &mut Writer<'_>| {
        writer.raw(&event.payload);
        Ok(())
    };
    encode_frame(buffer, &header, payload).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtwire_protocol::event::Subject;
    use virtwire_protocol::frame::FrameDecoder;

    #[test]
    fn a_flood_is_numbered_and_complete() {
        let mut flood = Flood::new(2).unwrap();
        let mut decoder = FrameDecoder::new();
        let mut count = 0;
        while let Some(block) = flood.next_block() {
            decoder.buffer_mut().extend_from_slice(block);
            while let Some(frame) = decoder.next_frame().unwrap() {
                let header = frame.header;
                let message = Message::decode(header.program, header.procedure, &frame.payload);
                let message = message.unwrap().unwrap();
                let expected = remote::NonnullDomain {
                    id: i32::try_from(count).unwrap(),
                    ..message::domain(count % 2)
                };
                assert_eq!(message.callback_id, Some(CALLBACK));
                assert_eq!(message.subject, Subject::Domain(expected));
                count += 1;
            }
        }
        assert_eq!(count, EVENTS);
    }
}
