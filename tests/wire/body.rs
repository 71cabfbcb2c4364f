//! Messages whose procedure is known by number only: decoded by the generated type and encoded
//! again.

use std::fmt::Debug;

use bytes::BytesMut;
use virtwire_protocol::generated::dispatch;
use virtwire_protocol::procedure::{Event, Procedure, Program, Visitor};
use virtwire_xdr::{Decode, DecodeError, Encode, EncodeError, IntoOwned, Reader, Writer};

/// Which of a procedure's two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    Args,
    /// The reply, or what an event carries.
    Ret,
}

/// What became of a message. Encoding it again fails where a string has a zero byte.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Encoded again from the borrowed form.
    pub(crate) again: Result<BytesMut, EncodeError>,
    /// Encoded again from the owned form.
    pub(crate) owned: Result<BytesMut, EncodeError>,
    pub(crate) min_size: usize,
}

/// Decodes all of `message` and encodes it again; `None` when there is no such procedure.
pub(crate) fn decode(
    program: Program,
    number: i32,
    body: Body,
    message: &[u8],
) -> Option<Result<Decoded, DecodeError>> {
    dispatch::visit(program, number, Recoder { body, message })
}

struct Recoder<'m> {
    body: Body,
    message: &'m [u8],
}

impl<'m> Visitor for Recoder<'m> {
    type Output = Result<Decoded, DecodeError>;

    fn procedure<P: Procedure>(self) -> Self::Output {
        match self.body {
            Body::Args => recode::<P::Args<'m>>(self.message),
            Body::Ret => recode::<P::Ret<'m>>(self.message),
        }
    }

    fn event<E: Event>(self) -> Self::Output {
        assert_eq!(self.body, Body::Ret, "{} has no arguments", E::NAME);
        recode::<E::Msg<'m>>(self.message)
    }
}

fn recode<'m, T>(message: &'m [u8]) -> Result<Decoded, DecodeError>
where
    T: Decode<'m> + Encode + IntoOwned<Owned: Encode> + Debug,
{
    let mut reader = Reader::new(message);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    assert!(!format!("{value:?}").is_empty());
    Ok(Decoded {
        again: encode(&value),
        owned: encode(&value.into_owned()),
        min_size: T::MIN_SIZE,
    })
}

pub(crate) fn encode(value: &impl Encode) -> Result<BytesMut, EncodeError> {
    let mut buffer = BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer))?;
    Ok(buffer)
}
