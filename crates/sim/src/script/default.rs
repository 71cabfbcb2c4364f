//! What a daemon answers that has nothing special about it.

use tokio::io::{AsyncRead, AsyncWrite};
use virtwire_protocol::remote::{self, AuthType};
use virtwire_protocol::session::{Request, Route};
use virtwire_protocol::{Procedure, Program};

use super::hear::unexpected;
use super::{Call, Expected, Heard, Peer, ScriptError};

/// `VIR_DRV_FEATURE_PROGRAM_KEEPALIVE` of libvirt's internal header.
const FEATURE_KEEPALIVE: i32 = 10;

impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// Answers the calls that open a connection, up to the opening itself: no authentication, no
    /// feature but keepalive.
    ///
    /// # Errors
    ///
    /// When the client does anything else.
    pub async fn shake_hands(&mut self) -> Result<(), ScriptError> {
        let open = self.skip_to::<remote::ConnectOpen>().await?;
        self.reply(&open, &()).await
    }

    /// Answers what comes by default until a call of `P` comes, which is left for the script to
    /// answer.
    ///
    /// # Errors
    ///
    /// When something comes that has no default answer, or the client hangs up.
    pub async fn skip_to<P: Procedure>(&mut self) -> Result<Call<P>, ScriptError> {
        loop {
            let expected = Expected::Call(P::NAME);
            match self.next().await? {
                Some(Heard::Call(request)) if request.is::<P>() => return Call::new(request),
                Some(Heard::Call(request)) => self.answer_by_default(request).await?,
                Some(heard) => return Err(unexpected(expected, heard)),
                None => return Err(ScriptError::HungUp { expected }),
            }
        }
    }

    /// Answers a call that opens or closes a connection as a daemon does that wants no
    /// authentication and has no feature but keepalive.
    ///
    /// # Errors
    ///
    /// When it is another call.
    pub async fn answer_by_default(&mut self, request: Request) -> Result<(), ScriptError> {
        let route = request.route;
        if request.is::<remote::AuthList>() {
            let types = vec![AuthType::NONE];
            let ret = remote::AuthListRet { types };
            return self.reply_to::<remote::AuthList>(route, &ret).await;
        }
        if request.is::<remote::ConnectSupportsFeature>() {
            let call = Call::<remote::ConnectSupportsFeature>::new(request)?;
            let supported = i32::from(call.args.feature == FEATURE_KEEPALIVE);
            let ret = remote::ConnectSupportsFeatureRet { supported };
            return self.reply(&call, &ret).await;
        }
        if RETURNS_NOTHING.contains(&id_of(route)) {
            return self.reply_to::<remote::ConnectClose>(route, &()).await;
        }
        Err(ScriptError::NoDefault {
            heard: Heard::Call(request),
        })
    }
}

/// Other calls that open or close a connection.
const RETURNS_NOTHING: &[(Program, i32)] = &[
    id::<remote::ConnectOpen>(),
    id::<remote::ConnectClose>(),
    id::<remote::ConnectRegisterCloseCallback>(),
    id::<remote::ConnectUnregisterCloseCallback>(),
];

const fn id<P: Procedure>() -> (Program, i32) {
    (P::PROGRAM, P::NUMBER)
}

const fn id_of(route: Route) -> (Program, i32) {
    (route.program, route.procedure)
}
