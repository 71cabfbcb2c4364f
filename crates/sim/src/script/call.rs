use std::fmt;
use std::ops::Deref;

use virtwire_protocol::Procedure;
use virtwire_protocol::session::Request;
use virtwire_xdr::IntoOwned;

use super::ScriptError;

/// A call of the procedure `P`, its arguments decoded. It is a [`Request`], too.
pub struct Call<P: Procedure> {
    /// The arguments.
    pub args: P::Args<'static>,
    request: Request,
}

impl<P: Procedure> Call<P> {
    /// Takes a request for a call of `P`, which it may have been found to be by
    /// [`Request::is`].
    ///
    /// # Errors
    ///
    /// When it carries no such arguments.
    pub fn new(request: Request) -> Result<Self, ScriptError> {
        let args = request.args::<P>().map(IntoOwned::into_owned);
        match args {
            Ok(args) => Ok(Self { args, request }),
            Err(source) => Err(ScriptError::Arguments {
                procedure: P::NAME,
                source,
            }),
        }
    }

    /// The call as received.
    #[must_use]
    pub fn into_request(self) -> Request {
        self.request
    }
}

impl<P: Procedure> Deref for Call<P> {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

/// Shows the call without its arguments, which may hold secrets.
impl<P: Procedure> fmt::Debug for Call<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("procedure", &P::NAME)
            .field("serial", &self.request.route.serial)
            .finish_non_exhaustive()
    }
}
