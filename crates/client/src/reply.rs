use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use virtwire_protocol::Procedure;
use virtwire_protocol::header::Serial;
use virtwire_xdr::{Decode, IntoOwned, Opaque, Reader};

use crate::connection::RawReply;
use crate::error::{CallContext, Cause, Error, Execution};

/// The answer to a call: it owns the received frame and lends the decoded form.
///
/// Decoding borrows strings and opaque data from the frame, which is several times faster than
/// copying them; [`into_owned`](Self::into_owned) is for those who keep the values.
pub struct Reply<P> {
    raw: RawReply,
    procedure: PhantomData<fn() -> P>,
}

impl<P: Procedure> Reply<P> {
    pub(crate) fn new(raw: RawReply) -> Self {
        Self {
            raw,
            procedure: PhantomData,
        }
    }

    /// The decoded form. Bytes after the structure are ignored, since a newer daemon may send
    /// more than this version knows.
    ///
    /// # Errors
    ///
    /// Of kind `Protocol` when the body does not hold what the procedure returns.
    pub fn decode(&self) -> Result<P::Ret<'_>, Error> {
        P::Ret::decode(&mut Reader::new(&self.raw.body))
            .map_err(|error| self.useless(Cause::Decode(error)))
    }

    /// The failure of a call that was executed and whose answer cannot be used.
    pub(crate) fn useless(&self, cause: Cause) -> Error {
        let context = CallContext {
            procedure: P::NAME,
            serial: Some(Serial::new(self.raw.serial)),
            elapsed: self.raw.elapsed,
            execution: Execution::Executed,
            repeatable: P::REPEATABLE,
        };
        Error::of_call(cause, context)
    }

    /// The decoded form with everything copied out of the frame.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn into_owned(self) -> Result<P::Ret<'static>, Error> {
        self.decode().map(IntoOwned::into_owned)
    }

    /// The received body, as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.raw.body
    }

    /// Opaque data of this reply as [`Bytes`] that share the frame's memory.
    #[must_use]
    pub fn bytes_of(&self, data: &Opaque<'_>) -> Bytes {
        virtwire_xdr::slice_of(&self.raw.body, data).unwrap_or_else(|| Bytes::copy_from_slice(data))
    }
}

impl<P: Procedure> fmt::Debug for Reply<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("procedure", &P::NAME)
            .field("body_length", &self.raw.body.len())
            .finish()
    }
}
