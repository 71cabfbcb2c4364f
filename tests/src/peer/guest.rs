//! What the peer answers when a test does not care: one running guest with one disk.

use tokio::io::{AsyncRead, AsyncWrite};
use virtwire::constants::{DomainBlockJobType, DomainState, ErrorCode};
use virtwire::xdr::Str;
use virtwire::{Procedure, remote};
use virtwire_protocol::session::Request;

use super::Peer;

const XML: &str = "<domain type='test'><name>guest</name><devices>\
    <disk type='file' device='disk'><source file='/guest.img'/><target dev='vda'/></disk>\
    </devices></domain>";

/// The guest as it stands on the wire.
#[must_use]
pub fn domain() -> remote::NonnullDomain<'static> {
    remote::NonnullDomain {
        name: Str::from("guest"),
        uuid: [7; 16],
        id: 1,
    }
}

/// The callback ID that the peer gives to a registration for events of this ID.
#[must_use]
pub const fn callback_id(event_id: i32) -> i32 {
    event_id + 100
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Peer<IO> {
    /// Answers whatever is asked, as a daemon with one running guest.
    ///
    /// # Panics
    ///
    /// When the client sends arguments that cannot be decoded.
    pub async fn respond(&mut self, request: &Request) {
        match request.route.procedure {
            remote::AuthList::NUMBER => {
                let types = vec![remote::AuthType::NONE];
                self.reply::<remote::AuthList>(request, &remote::AuthListRet { types })
                    .await;
            }
            remote::ConnectSupportsFeature::NUMBER => self.echo(request).await,
            remote::DomainLookupByName::NUMBER => {
                let ret = remote::DomainLookupByNameRet { dom: domain() };
                self.reply::<remote::DomainLookupByName>(request, &ret)
                    .await;
            }
            remote::DomainGetXmlDesc::NUMBER => {
                let ret = remote::DomainGetXmlDescRet {
                    xml: Str::from(XML),
                };
                self.reply::<remote::DomainGetXmlDesc>(request, &ret).await;
            }
            remote::DomainGetState::NUMBER => {
                let ret = remote::DomainGetStateRet {
                    state: DomainState::RUNNING.0,
                    reason: 1,
                };
                self.reply::<remote::DomainGetState>(request, &ret).await;
            }
            remote::ConnectDomainEventCallbackRegisterAny::NUMBER => self.register(request).await,
            remote::DomainGetBlockJobInfo::NUMBER => self.job_info(request).await,
            remote::ConnectOpen::NUMBER
            | remote::ConnectClose::NUMBER
            | remote::ConnectDomainEventCallbackDeregisterAny::NUMBER
            | remote::DomainBlockPull::NUMBER
            | remote::DomainBlockJobAbort::NUMBER
            | remote::DomainDestroyFlags::NUMBER => {
                self.reply::<remote::ConnectClose>(request, &()).await;
            }
            _ => self.refuse(request, ErrorCode::NO_SUPPORT).await,
        }
    }

    /// Answers a question for a feature by the number of the feature, so that every answer shows
    /// which question it belongs to.
    ///
    /// # Panics
    ///
    /// When the arguments cannot be decoded.
    pub async fn echo(&mut self, request: &Request) {
        let args = request
            .args::<remote::ConnectSupportsFeature>()
            .expect("a feature is asked for");
        let ret = remote::ConnectSupportsFeatureRet {
            supported: args.feature,
        };
        self.reply::<remote::ConnectSupportsFeature>(request, &ret)
            .await;
    }

    /// Answers what comes until a call of `P` comes, and that too. Returns that call.
    ///
    /// # Panics
    ///
    /// When the client closes the connection first.
    pub async fn until<P: Procedure>(&mut self) -> Request {
        loop {
            let request = self.request().await.expect("the client makes the call");
            self.respond(&request).await;
            if request.is::<P>() {
                return request;
            }
        }
    }

    /// Answers what comes until the client has closed the connection.
    pub async fn serve(mut self) -> Self {
        while let Some(request) = self.request().await {
            self.respond(&request).await;
        }
        self
    }

    async fn register(&mut self, request: &Request) {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        let args = request.args::<Register>().expect("an event is asked for");
        let callback_id = callback_id(args.event_id);
        let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
        self.reply::<Register>(request, &ret).await;
    }

    /// A pull that never gets anywhere.
    async fn job_info(&mut self, request: &Request) {
        let ret = remote::DomainGetBlockJobInfoRet {
            found: 1,
            type_: DomainBlockJobType::PULL.0,
            bandwidth: 0,
            cur: 1,
            end: 100,
        };
        self.reply::<remote::DomainGetBlockJobInfo>(request, &ret)
            .await;
    }
}
