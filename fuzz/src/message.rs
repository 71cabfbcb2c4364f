//! Every message of every program.

use arbitrary::Arbitrary;
use bytes::BytesMut;
use virtwire_protocol::generated::dispatch;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::{HEADER_LEN, Header};
use virtwire_protocol::procedure::{Event, Procedure, Program, Visitor};
use virtwire_protocol::{RemoteError, admin, keepalive, lxc, net, qemu, remote};
use virtwire_xdr::{Decode, Encode, EncodeError, EncodeErrorKind, IntoOwned, Reader, UNIT, Writer};

use crate::budget::within;

/// A message and what it is taken for.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// Whose message it is.
    pub program: ProgramName,
    /// The procedure; numbers beyond the last one start again from the first.
    pub number: u16,
    /// Which of its messages.
    pub body: Body,
    /// Where to cut the message short.
    pub cut: u16,
    /// The encoded message.
    pub message: &'a [u8],
}

/// The programs, and what they all share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum ProgramName {
    /// `remote.x`
    Remote,
    /// `qemu.x`
    Qemu,
    /// `lxc.x`
    Lxc,
    /// `admin.x`
    Admin,
    /// `keepalive.x`
    Keepalive,
    /// `net.x`: no program, but messages.
    Net,
}

/// Which of a procedure's two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Body {
    /// What the client sends.
    Args,
    /// What the daemon sends.
    Ret,
}

/// Decodes or refuses; what is decoded encodes to the same bytes, but for what XDR leaves open,
/// and owned as well as borrowed.
pub fn check(input: &Input<'_>) {
    let Some(recode) = codec(input) else {
        return;
    };
    // A name of no bytes takes four on the wire and a few dozen in memory.
    let budget = 1024 + 64 * input.message.len();
    let Some(decoded) = within(budget, || recode(input.message)) else {
        return;
    };
    let consumed = &input.message[..decoded.consumed];
    assert!(consumed.len() >= decoded.min_size);
    assert_eq!(decoded.owned, decoded.again);
    if !consumed.is_empty() {
        let cut = usize::from(input.cut) % consumed.len();
        assert!(
            recode(&consumed[..cut]).is_none(),
            "a part is a message too"
        );
    }
    match decoded.again {
        Ok(again) => {
            assert_same_meaning(consumed, &again);
            let twice = recode(&again).expect("what was encoded decodes");
            assert_eq!((twice.consumed, twice.again), (again.len(), Ok(again)));
        }
        Err(error) => assert_zero_byte(&error),
    }
    if input.program == ProgramName::Net {
        check_error(input.message);
        check_header(input.message);
    }
}

/// The codec for the message that an input is taken for.
fn codec(input: &Input<'_>) -> Option<Codec> {
    let program = match input.program {
        ProgramName::Remote => remote::PROGRAM,
        ProgramName::Qemu => qemu::PROGRAM,
        ProgramName::Lxc => lxc::PROGRAM,
        ProgramName::Admin => admin::PROGRAM,
        ProgramName::Keepalive => keepalive::PROGRAM,
        ProgramName::Net => {
            let codecs: [Codec; 3] = [
                |message| recode::<net::MessageError<'_>>(message),
                |message| recode::<net::MessageHeader>(message),
                |message| recode::<net::StreamHole>(message),
            ];
            return codecs.get(usize::from(input.number % 3)).copied();
        }
    };
    dispatch::visit(
        program,
        wrapped(program, input.number),
        FindCodec(input.body),
    )
}

/// A number that the program has. Keepalive, which nobody calls, is in no table.
fn wrapped(program: Program, number: u16) -> i32 {
    let numbers = PROCEDURES.iter().filter(|p| p.id == program);
    let last = numbers.map(|p| p.number).max().unwrap_or(2);
    (i32::from(number) - 1).rem_euclid(last) + 1
}

/// The hand-written error keeps all that a daemon sends, and what is shown of it is harmless.
fn check_error(payload: &[u8]) {
    let Ok(mut error) = RemoteError::decode(payload) else {
        return;
    };
    assert!(!error.to_string().chars().any(char::is_control));
    let mut again = BytesMut::new();
    match error.encode(&mut Writer::new(&mut again)) {
        Ok(()) => {
            // Only their names were kept, and a name alone is not sent.
            (error.dom, error.net) = (None, None);
            assert_eq!(RemoteError::decode(&again), Ok(error));
        }
        Err(error) => assert_zero_byte(&error),
    }
}

/// The hand-written header agrees with the generated one, but for types that are unknown.
fn check_header(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
        return;
    };
    let generated = net::MessageHeader::decode(&mut Reader::new(bytes));
    let generated = generated.expect("six words are a header");
    match Header::decode(bytes) {
        Ok(header) => {
            assert_eq!(header.encode(), *bytes);
            assert_eq!(header.kind as i32, generated.type_.0);
            assert_eq!(i32::from(header.status), generated.status.0);
        }
        Err(_) => assert_eq!(generated.type_.name(), None),
    }
}

/// Decodes a message and encodes it again; `None` when it cannot be decoded.
type Codec = fn(&[u8]) -> Option<Recoded>;

/// What became of a message. Small, and the only part that is compiled for each type.
struct Recoded {
    consumed: usize,
    min_size: usize,
    again: Result<BytesMut, EncodeError>,
    owned: Result<BytesMut, EncodeError>,
}

/// Finds the codec of a procedure's message.
struct FindCodec(Body);

impl Visitor for FindCodec {
    type Output = Codec;

    fn procedure<P: Procedure>(self) -> Codec {
        match self.0 {
            Body::Args => |message| recode::<P::Args<'_>>(message),
            Body::Ret => |message| recode::<P::Ret<'_>>(message),
        }
    }

    fn event<E: Event>(self) -> Codec {
        |message| recode::<E::Msg<'_>>(message)
    }
}

fn recode<'m, T>(message: &'m [u8]) -> Option<Recoded>
where
    T: Decode<'m> + Encode + IntoOwned<Owned: Encode>,
{
    let mut reader = Reader::new(message);
    let value = T::decode(&mut reader).ok()?;
    Some(Recoded {
        consumed: reader.offset(),
        min_size: T::MIN_SIZE,
        again: encode(&value),
        owned: encode(&value.into_owned()),
    })
}

fn encode(value: &impl Encode) -> Result<BytesMut, EncodeError> {
    let mut buffer = BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer))?;
    Ok(buffer)
}

/// The one thing that may be received and not sent.
fn assert_zero_byte(error: &EncodeError) {
    let zero = matches!(error.kind(), EncodeErrorKind::ZeroByte { .. });
    assert!(zero, "{error}");
}

/// The same words, but for a truth that is not 1, for padding, which may hold anything, and for
/// the upper bytes of a character, which are its sign when it is sent.
fn assert_same_meaning(received: &[u8], sent: &[u8]) {
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.chunks(UNIT).zip(sent.chunks(UNIT)) {
        let truth = sent == [0, 0, 0, 1] && received != [0; UNIT];
        let cleared = received.iter().zip(sent).all(|(r, s)| r == s || *s == 0);
        let character = received.last() == sent.last() && sent.starts_with(&[0xff; 3]);
        let same = truth || cleared || character;
        assert!(same, "{received:?} became {sent:?}");
    }
}
