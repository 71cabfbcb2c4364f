//! What the daemon knows how to do.

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::session::{CallRequest, Lane};
use virtwire_protocol::{Procedure, Program, Release, remote};
use virtwire_xdr::Decode;

use super::{Connection, not_sent};
use crate::Error;
use crate::error::Cause;

/// A number that no program has given to a procedure, nor will while they count upwards.
const NOBODY: i32 = i32::MAX;

impl Connection {
    /// Whether the daemon knows the procedure `P`.
    ///
    /// One that is not older than the procedure does, by its
    /// [release](Self::library_version), which is asked once, reconnections included. Otherwise it is asked for the
    /// procedure itself, since distributions give new procedures to old releases, and since a
    /// daemon may lack a whole program other than [`remote`]. It is asked by a call without the
    /// arguments that belong there, which it refuses in either case: what it says tells whether it
    /// missed the arguments or the procedure. Nothing is executed; the daemon puts a line or two
    /// into its log. A procedure that takes no arguments cannot be asked for like that. There the
    /// release and the program decide, and a new procedure in an old release is not found.
    ///
    /// Knowing a procedure is not doing it. The hypervisor's driver may have nothing behind it, or
    /// not for these arguments: the call itself then [says so](Error::is_unsupported).
    ///
    /// # Errors
    ///
    /// Those of any call.
    pub async fn supports<P: Procedure>(&self) -> Result<bool, Error> {
        let by_release = self.release().await? >= P::SINCE;
        if by_release && P::PROGRAM == remote::PROGRAM {
            return Ok(true);
        }
        let about_nobody = self.said_of(P::NAME, P::PROGRAM, NOBODY).await?;
        if takes_arguments::<P>() {
            let about_it = self.said_of(P::NAME, P::PROGRAM, P::NUMBER).await?;
            return Ok(about_it != about_nobody);
        }
        let in_remote = self.said_of(P::NAME, remote::PROGRAM, NOBODY).await?;
        Ok(by_release && about_nobody == in_remote)
    }

    /// The daemon's release. It is asked once.
    async fn release(&self) -> Result<Release, Error> {
        let release = self
            .shared
            .release
            .get_or_try_init(|| self.library_version());
        // Somebody else may be asking, with more patience.
        self.within_deadline(Box::pin(release)).await?.copied()
    }

    /// What the daemon says of a call that lacks its arguments.
    async fn said_of(
        &self,
        name: &'static str,
        program: Program,
        number: i32,
    ) -> Result<Option<Said>, Error> {
        let request = CallRequest::without_arguments(program, number)
            .map_err(|error| not_sent(name, Cause::Encode(error)))?;
        match self.submit(name, request.in_lane(Lane::Ordinary)).await {
            Ok(_) => Ok(None),
            Err(error) => match error.remote() {
                Some(remote) => {
                    let words = remote.message.as_deref().map(without_digits);
                    Ok(Some((remote.domain, remote.code, words)))
                }
                None => Err(error),
            },
        }
    }
}

/// An error without the numbers that it names. The words may be of any language: they are only
/// held against others of the same daemon, which has no code of its own for a procedure that it
/// does not know.
type Said = (ErrorDomain, ErrorCode, Option<String>);

fn without_digits(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Whether a call of `P` needs bytes after its header. If so, a daemon that finds none executes
/// nothing.
fn takes_arguments<P: Procedure>() -> bool {
    <P::Args<'static> as Decode<'static>>::MIN_SIZE > 0
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::admin;

    use super::*;

    #[test]
    fn only_what_misses_its_arguments_is_asked_for() {
        assert!(takes_arguments::<remote::DomainDestroy>());
        assert!(takes_arguments::<remote::ConnectGetSysinfo>());
        assert!(!takes_arguments::<remote::ConnectClose>());
        assert!(!takes_arguments::<admin::ConnectClose>());
    }

    #[test]
    fn numbers_make_no_difference() {
        let of = |number| without_digits(&format!("unknown procedure: {number}"));
        assert_eq!(of(NOBODY), of(7));
    }
}
