//! Calls on their way out.

use std::fmt;

use bytes::BytesMut;
use virtwire_xdr::{Encode, EncodeError, Writer};

use crate::frame::{EncodeFrameError, Redacted, encode_frame};
use crate::generated::{qemu, remote};
use crate::header::{Header, MessageType, Serial, Status};
use crate::procedure::{Procedure, Program, StreamDirection};
use crate::schema::ProcedureSchema;

/// The capacity that a packet starts with; most calls are shorter.
const SMALL_PACKET: usize = 128;

/// A packet that is longer shares its allocation with no other.
const LONG_PACKET: usize = 1 << 10;

/// A call, encoded but for its serial, which the session gives it.
///
/// Whoever calls encodes, so that work runs on the task of the caller and the task that drives the
/// connection only copies.
#[derive(Clone)]
pub struct CallRequest {
    callee: Callee,
    lane: Lane,
    packet: BytesMut,
}

/// Which queue a call waits in when the connection has as many calls in flight as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lane {
    /// First come, first served.
    Ordinary,
    /// Ahead of every ordinary call: what ends other work, and so can free slots.
    Urgent,
}

impl CallRequest {
    /// Encodes a call of the procedure `P` into a packet of its own.
    ///
    /// # Errors
    ///
    /// When an argument exceeds its bound or the packet the limit of the protocol.
    pub fn new<P: Procedure>(args: &P::Args<'_>) -> Result<Self, EncodeFrameError> {
        Self::encode(Callee::of::<P>(), |w| args.encode(w))
    }

    /// Encodes a call of the procedure `P` into the free room of `arena` and splits it off, so that
    /// many packets share an allocation. The arena is left empty.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn new_in<P: Procedure>(
        arena: &mut BytesMut,
        args: &P::Args<'_>,
    ) -> Result<Self, EncodeFrameError> {
        let callee = Callee::of::<P>();
        arena.clear();
        encode_frame(arena, &callee.header(), |w| args.encode(w))?;
        let packet = arena.split();
        if packet.len() > LONG_PACKET {
            // Leave the allocation to this packet alone, lest the arena keep it alive.
            *arena = BytesMut::new();
        }
        Ok(Self::assemble(callee, packet))
    }

    /// Encodes a call of a procedure that is known only at run time; `args` writes its arguments.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_schema(
        procedure: &ProcedureSchema,
        args: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeFrameError> {
        let callee = Callee {
            program: procedure.id,
            procedure: procedure.number,
            stream: procedure.stream,
            repeatable: procedure.repeatable,
        };
        Self::encode(callee, args)
    }

    /// A call of a number, whether it means anything or not, without the arguments that belong
    /// there.
    ///
    /// A daemon that finds no arguments where it needs some refuses the call and executes nothing;
    /// a procedure that takes none **is executed**.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), which it never comes to.
    pub fn without_arguments(program: Program, procedure: i32) -> Result<Self, EncodeFrameError> {
        let callee = Callee {
            program,
            procedure,
            stream: StreamDirection::None,
            repeatable: false,
        };
        Self::encode(callee, |_| Ok(()))
    }

    /// The same call in another lane than its procedure has by itself.
    #[must_use]
    pub fn in_lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// The program that is called.
    #[must_use]
    pub fn program(&self) -> Program {
        self.callee.program
    }

    /// The number of the procedure that is called.
    #[must_use]
    pub fn procedure(&self) -> i32 {
        self.callee.procedure
    }

    /// The stream that the call opens.
    #[must_use]
    pub fn stream(&self) -> StreamDirection {
        self.callee.stream
    }

    /// Whether it may be made again when nobody knows if the daemon has executed it; see
    /// [`Procedure::REPEATABLE`].
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.callee.repeatable
    }

    /// The queue it waits in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The length of the packet in bytes.
    #[must_use]
    pub fn packet_len(&self) -> usize {
        self.packet.len()
    }

    /// The packet, for the session to send.
    pub(super) fn into_packet(self) -> BytesMut {
        self.packet
    }

    fn encode(
        callee: Callee,
        args: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeFrameError> {
        let mut packet = BytesMut::with_capacity(SMALL_PACKET);
        encode_frame(&mut packet, &callee.header(), args)?;
        Ok(Self::assemble(callee, packet))
    }

    fn assemble(callee: Callee, packet: BytesMut) -> Self {
        Self {
            callee,
            lane: Lane::of(callee.program, callee.procedure),
            packet,
        }
    }
}

/// What has to be known of a procedure that is called.
#[derive(Debug, Clone, Copy)]
struct Callee {
    program: Program,
    procedure: i32,
    stream: StreamDirection,
    repeatable: bool,
}

impl Callee {
    fn of<P: Procedure>() -> Self {
        Self {
            program: P::PROGRAM,
            procedure: P::NUMBER,
            stream: P::STREAM,
            repeatable: P::REPEATABLE,
        }
    }

    fn header(self) -> Header {
        Header {
            program: self.program,
            procedure: self.procedure,
            kind: MessageType::Call,
            serial: Serial::default(),
            status: Status::Ok,
        }
    }
}

impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest")
            .field("callee", &self.callee)
            .field("lane", &self.lane)
            .field("packet", &Redacted(&self.packet))
            .finish()
    }
}

impl Lane {
    /// The lane of a procedure.
    fn of(program: Program, procedure: i32) -> Self {
        if URGENT.contains(&(program, procedure)) {
            Self::Urgent
        } else {
            Self::Ordinary
        }
    }
}

/// What ends other work: it must not wait behind the calls that hang because of that work.
const URGENT: &[(Program, i32)] = &[
    id::<remote::DomainDestroy>(),
    id::<remote::DomainDestroyFlags>(),
    id::<remote::DomainAbortJob>(),
    id::<remote::DomainAbortJobFlags>(),
    id::<remote::DomainBlockJobAbort>(),
    id::<remote::ConnectDomainEventDeregister>(),
    id::<remote::ConnectDomainEventDeregisterAny>(),
    id::<remote::ConnectDomainEventCallbackDeregisterAny>(),
    id::<remote::ConnectNetworkEventDeregisterAny>(),
    id::<remote::ConnectStoragePoolEventDeregisterAny>(),
    id::<remote::ConnectNodeDeviceEventDeregisterAny>(),
    id::<remote::ConnectSecretEventDeregisterAny>(),
    id::<qemu::ConnectDomainMonitorEventDeregister>(),
];

const fn id<P: Procedure>() -> (Program, i32) {
    (P::PROGRAM, P::NUMBER)
}
