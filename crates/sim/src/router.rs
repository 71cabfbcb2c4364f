//! From a procedure to what answers it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_protocol::session::Request;
use virtwire_protocol::{Procedure, Program, RemoteError};
use virtwire_xdr::{Encode, IntoOwned, Writer};

use crate::call::Call;
use crate::refusal::{Result, from_domain};

/// An answer on its way: what the procedure returns, encoded, or an error.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

type Handler = Arc<dyn Fn(Call, Request) -> Answer + Send + Sync>;

/// Handlers by procedure. A later one for the same procedure takes the place of an earlier one.
#[derive(Clone, Default)]
pub(crate) struct Router {
    handlers: HashMap<(Program, i32), Handler>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("procedures", &self.handlers.len())
            .finish()
    }
}

impl Router {
    /// Has `handler` answer the procedure `P` at once.
    pub(crate) fn on<P: Procedure>(
        &mut self,
        handler: impl Fn(&Call, P::Args<'static>) -> Result<P::Ret<'static>> + Send + Sync + 'static,
    ) {
        self.insert::<P>(Arc::new(move |call, request| {
            let answer = arguments::<P>(&request)
                .and_then(|args| handler(&call, args))
                .and_then(|ret| encode::<P>(&ret));
            Box::pin(std::future::ready(answer))
        }));
    }

    /// Has `handler` answer the procedure `P` in its own time.
    pub(crate) fn on_async<P: Procedure, F>(
        &mut self,
        handler: impl Fn(Call, P::Args<'static>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<P::Ret<'static>>> + Send + 'static,
    {
        self.insert::<P>(Arc::new(move |call, request| {
            match arguments::<P>(&request) {
                Ok(args) => {
                    let answer = handler(call, args);
                    Box::pin(async move { encode::<P>(&answer.await?) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        }));
    }

    /// Has `handler` answer the procedure `P` when it is the call's turn at the domain that `dom`
    /// finds in the arguments: libvirt's way with whatever changes a domain; see [`Call::turn`].
    pub(crate) fn on_turn<P: Procedure>(
        &mut self,
        dom: for<'a> fn(&'a P::Args<'static>) -> &'a NonnullDomain<'static>,
        handler: impl Fn(&Call, P::Args<'static>) -> Result<P::Ret<'static>> + Send + Sync + 'static,
    ) {
        self.in_turn::<P>(dom, false, handler);
    }

    /// As [`on_turn`](Self::on_turn), for what asks the process that runs the domain: it waits for
    /// that too.
    pub(crate) fn on_monitor<P: Procedure>(
        &mut self,
        dom: for<'a> fn(&'a P::Args<'static>) -> &'a NonnullDomain<'static>,
        handler: impl Fn(&Call, P::Args<'static>) -> Result<P::Ret<'static>> + Send + Sync + 'static,
    ) {
        self.in_turn::<P>(dom, true, handler);
    }

    fn in_turn<P: Procedure>(
        &mut self,
        dom: for<'a> fn(&'a P::Args<'static>) -> &'a NonnullDomain<'static>,
        asks_monitor: bool,
        handler: impl Fn(&Call, P::Args<'static>) -> Result<P::Ret<'static>> + Send + Sync + 'static,
    ) {
        let handler = Arc::new(handler);
        self.on_async::<P, _>(move |call, args| {
            let handler = Arc::clone(&handler);
            let dom = dom(&args).clone();
            async move {
                let _turn = call.turn(&dom).await?;
                if asks_monitor {
                    call.monitor(&dom).await?;
                }
                handler(&call, args)
            }
        });
    }

    fn insert<P: Procedure>(&mut self, handler: Handler) {
        self.handlers.insert((P::PROGRAM, P::NUMBER), handler);
    }

    /// Starts to answer a call; `None` when there is no handler for it.
    pub(crate) fn answer(&self, call: Call, request: Request) -> Option<Answer> {
        let key = (request.route.program, request.route.procedure);
        Some(self.handlers.get(&key)?(call, request))
    }
}

fn arguments<P: Procedure>(request: &Request) -> Result<P::Args<'static>> {
    let args = request.args::<P>().map(IntoOwned::into_owned);
    args.map_err(|_| {
        RemoteError::new(
            ErrorCode::RPC,
            ErrorDomain::RPC,
            "Unable to decode message payload",
        )
    })
}

fn encode<P: Procedure>(ret: &P::Ret<'_>) -> Result<Bytes> {
    let mut buffer = BytesMut::new();
    let encoded = ret.encode(&mut Writer::new(&mut buffer));
    encoded.map_err(|error| from_domain(ErrorDomain::RPC, ErrorCode::RPC, &error.to_string()))?;
    Ok(buffer.freeze())
}
