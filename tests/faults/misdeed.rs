//! What a daemon can do wrong, and what is to come of it.

use bytes::BytesMut;
use virtwire::constants::{ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventId};
use virtwire::xdr::{Encode, Writer};
use virtwire::{CloseCause, Event, Procedure, Program, qemu, remote};
use virtwire_protocol::frame::FrameError;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::session::ProtocolError;
use virtwire_sim::fault::{Fault, Plan};
use virtwire_tests::peer::{
    Guest as _, callback_id, domain, event_header, packet, ping_header, reply_header,
};

use crate::daemon::Daemon;

/// How many packets a flood has.
const FLOOD: usize = 5_000;

/// Hands all misdeeds, as a test's name and the variant, to a macro that makes tests of them.
macro_rules! for_each_misdeed {
    ($make:ident! $($before:tt)*) => {
        $make! {
            $($before)* {
                end_of_file EndOfFile
                reset Reset
                half_close HalfClose
                truncated_packet TruncatedPacket
                length_below_minimum LengthBelowMinimum
                length_above_maximum LengthAboveMaximum
                garbage Garbage
                flipped_bit_in_header FlippedBitInHeader
                event_of_unknown_program EventOfUnknownProgram
                call_from_daemon CallFromDaemon
                reply_with_descriptors ReplyWithDescriptors
                flood_of_unknown_serials FloodOfUnknownSerials
                stall Stall
                reply_of_other_procedure ReplyOfOtherProcedure
                reply_of_unknown_status ReplyOfUnknownStatus
                undecodable_reply UndecodableReply
                unknown_serial UnknownSerial
                duplicate_reply DuplicateReply
                reply_of_other_program ReplyOfOtherProgram
                reordered Reordered
                one_byte_at_a_time OneByOne
                undecodable_event UndecodableEvent
                unknown_keepalive UnknownKeepalive
                flood_of_pings FloodOfPings
                flood_of_unasked_events FloodOfUnaskedEvents
                flood_of_stray_stream_packets FloodOfStrayStreamPackets
            }
        }
    };
}
pub(crate) use for_each_misdeed;

/// A misdeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misdeed {
    EndOfFile,
    Reset,
    HalfClose,
    TruncatedPacket,
    LengthBelowMinimum,
    LengthAboveMaximum,
    Garbage,
    FlippedBitInHeader,
    EventOfUnknownProgram,
    CallFromDaemon,
    ReplyWithDescriptors,
    FloodOfUnknownSerials,
    Stall,
    ReplyOfOtherProcedure,
    ReplyOfUnknownStatus,
    UndecodableReply,
    UnknownSerial,
    DuplicateReply,
    ReplyOfOtherProgram,
    Reordered,
    OneByOne,
    UndecodableEvent,
    UnknownKeepalive,
    FloodOfPings,
    FloodOfUnaskedEvents,
    FloodOfStrayStreamPackets,
}

/// What is to come of it.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    /// The connection ends at once, by a cause of this kind.
    Fatal(fn(&CloseCause) -> bool),
    /// The connection ends when the daemon's silence has lasted long enough.
    Silence,
    /// The call that was answered wrongly fails, and nothing else.
    CallFails,
    /// Nothing.
    Harmless,
}

impl Misdeed {
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::EndOfFile | Self::HalfClose | Self::TruncatedPacket => {
                Verdict::Fatal(|cause| matches!(cause, CloseCause::EndOfFile))
            }
            Self::Reset => Verdict::Fatal(|cause| {
                let reset = std::io::ErrorKind::ConnectionReset;
                matches!(cause, CloseCause::Io(error) if error.kind() == reset)
            }),
            Self::LengthBelowMinimum => Verdict::Fatal(|cause| {
                matches!(
                    cause,
                    CloseCause::Frame(FrameError::TooShort { length: 27 })
                )
            }),
            Self::LengthAboveMaximum | Self::Garbage => Verdict::Fatal(|cause| {
                matches!(cause, CloseCause::Frame(FrameError::TooLong { .. }))
            }),
            Self::FlippedBitInHeader => {
                Verdict::Fatal(|cause| matches!(cause, CloseCause::Frame(FrameError::Header(_))))
            }
            Self::EventOfUnknownProgram => Verdict::Fatal(|cause| {
                matches!(broken(cause), Some(ProtocolError::UnknownProgram(_)))
            }),
            Self::CallFromDaemon => Verdict::Fatal(|cause| {
                let call = ProtocolError::UnexpectedMessageType(MessageType::Call);
                broken(cause) == Some(call)
            }),
            Self::ReplyWithDescriptors => Verdict::Fatal(|cause| {
                broken(cause) == Some(ProtocolError::UnexpectedFds { count: 1 })
            }),
            Self::FloodOfUnknownSerials => Verdict::Fatal(|cause| {
                matches!(broken(cause), Some(ProtocolError::UnmatchedReplies { .. }))
            }),
            Self::Stall => Verdict::Silence,
            Self::ReplyOfOtherProcedure | Self::ReplyOfUnknownStatus | Self::UndecodableReply => {
                Verdict::CallFails
            }
            _ => Verdict::Harmless,
        }
    }

    /// What goes wrong on the way, all the time.
    pub(crate) fn plan(self) -> Plan {
        match self {
            Self::OneByOne => Plan::default().to_client(Fault::OneByOne),
            _ => Plan::default(),
        }
    }

    /// Has the daemon do it. What it still owes afterwards it may answer as it should.
    pub(crate) async fn commit(self, daemon: &mut Daemon) {
        match self {
            Self::EndOfFile => daemon.take_peer().close().await,
            Self::Reset => daemon.take_peer().reset(),
            Self::HalfClose => daemon.peer().half_close().await,
            Self::TruncatedPacket => {
                let reply = reply_header(&daemon.wronged(), Status::Ok);
                let whole = packet(&reply, &[0; 8]);
                say_raw(daemon, &whole[..whole.len() - 3]).await;
                daemon.take_peer().close().await;
            }
            Self::LengthBelowMinimum => say_raw(daemon, &27_u32.to_be_bytes()).await,
            Self::LengthAboveMaximum => {
                say_raw(daemon, &((32_u32 << 20) + 5).to_be_bytes()).await;
            }
            Self::Garbage => say_raw(daemon, b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Self::FlippedBitInHeader => {
                let mut reply = packet(&reply_header(&daemon.wronged(), Status::Ok), &[0; 8]);
                // The type is the fourth word of the header.
                reply[4 + 12] ^= 0x10;
                say_raw(daemon, &reply).await;
            }
            Self::Stall | Self::OneByOne => {}
            _ => self.send_packets(daemon).await,
        }
    }

    async fn send_packets(self, daemon: &mut Daemon) {
        let wronged = daemon.wronged();
        let reply = reply_header(&wronged, Status::Ok);
        let event = event_header(remote::PROGRAM, 9999);
        match self {
            Self::EventOfUnknownProgram => {
                say(daemon, &event_header(Program::new(0x1234, 1), 1), b"").await;
            }
            Self::CallFromDaemon => {
                let kind = MessageType::Call;
                say(daemon, &Header { kind, ..event }, b"").await;
            }
            Self::ReplyWithDescriptors => {
                let kind = MessageType::ReplyWithFds;
                say(daemon, &Header { kind, ..reply }, &[0, 0, 0, 1]).await;
            }
            Self::FloodOfUnknownSerials => {
                let serial = Serial::new(4711);
                flood(daemon, &Header { serial, ..reply }).await;
            }
            Self::ReplyOfOtherProcedure => {
                let procedure = reply.procedure + 1;
                answer_wrongly(daemon, &Header { procedure, ..reply }, &[0; 64]).await;
            }
            Self::ReplyOfUnknownStatus => {
                let status = Status::Unknown(3);
                answer_wrongly(daemon, &Header { status, ..reply }, &[0; 64]).await;
            }
            Self::UndecodableReply => {
                let status = Status::Error;
                answer_wrongly(daemon, &Header { status, ..reply }, &[0; 7]).await;
            }
            Self::UnknownSerial => {
                let serial = Serial::new(4711);
                say(daemon, &Header { serial, ..reply }, &[0; 64]).await;
            }
            Self::DuplicateReply => {
                daemon.peer().respond(&wronged).await;
                daemon.pay().await;
                // Once more, and once more by another payload.
                say(daemon, &reply, &[0; 64]).await;
            }
            Self::ReplyOfOtherProgram => {
                let program = qemu::PROGRAM;
                say(daemon, &Header { program, ..reply }, &[0; 64]).await;
            }
            Self::Reordered => {
                say_job_is_completed(daemon).await;
                daemon.owed.reverse();
                daemon.pay().await;
            }
            Self::UndecodableEvent => {
                let number = remote::DomainEventBlockJob2::NUMBER;
                let event = event_header(remote::PROGRAM, number);
                say(daemon, &event, b"").await;
                let callback = callback_id(DomainEventId::BLOCK_JOB_2.0).to_be_bytes();
                say(daemon, &event, &callback).await;
            }
            Self::UnknownKeepalive => {
                let procedure = 3;
                let unknown = Header {
                    procedure,
                    ..ping_header()
                };
                say(daemon, &unknown, b"anything").await;
            }
            Self::FloodOfPings => flood(daemon, &ping_header()).await,
            Self::FloodOfUnaskedEvents => flood(daemon, &event).await,
            Self::FloodOfStrayStreamPackets => {
                let stray = Header {
                    kind: MessageType::Stream,
                    status: Status::Continue,
                    procedure: remote::StorageVolDownload::NUMBER,
                    serial: Serial::new(4711),
                    ..event
                };
                flood(daemon, &stray).await;
            }
            _ => unreachable!("{self:?} is no packet"),
        }
    }
}

fn broken(cause: &CloseCause) -> Option<ProtocolError> {
    match cause {
        CloseCause::Protocol(error) => Some(*error),
        _ => None,
    }
}

async fn say(daemon: &mut Daemon, header: &Header, payload: &[u8]) {
    daemon.peer().send(header, payload).await.unwrap();
}

async fn say_raw(daemon: &mut Daemon, bytes: &[u8]) {
    daemon.peer().send_raw(bytes).await.unwrap();
}

/// Answers the call that is to be wronged, which is owed nothing any more.
async fn answer_wrongly(daemon: &mut Daemon, header: &Header, payload: &[u8]) {
    if !daemon.owed.is_empty() {
        daemon.owed.remove(0);
    }
    say(daemon, header, payload).await;
}

async fn flood(daemon: &mut Daemon, header: &Header) {
    let packets = packet(header, &[0; 4]).repeat(100);
    for _ in 0..FLOOD / 100 {
        say_raw(daemon, &packets).await;
    }
}

/// Announces the end of a job, which there may be or not.
pub(crate) async fn say_job_is_completed(daemon: &mut Daemon) {
    let message = remote::DomainEventBlockJob2Msg {
        callback_id: callback_id(DomainEventId::BLOCK_JOB_2.0),
        dom: domain(),
        dst: "vda".into(),
        type_: DomainBlockJobType::PULL.0,
        status: ConnectDomainEventBlockJobStatus::COMPLETED.0,
    };
    let mut body = BytesMut::new();
    message.encode(&mut Writer::new(&mut body)).unwrap();
    let number = remote::DomainEventBlockJob2::NUMBER;
    say(daemon, &event_header(remote::PROGRAM, number), &body).await;
}
