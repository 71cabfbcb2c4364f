//! What tests add to the scripted peer: a daemon with one running guest and one of everything else
//! that events are about, for when they do not care what is answered.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use virtwire::constants::{
    DomainBlockJobType, DomainState, ErrorCode, ErrorDomain, SecretUsageType,
};
use virtwire::xdr::Str;
use virtwire::{Builder, Connection, Procedure, RemoteError, remote};
use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::session::Request;

pub use virtwire_sim::script::{Peer, Pipe, event_header, ping_header};

const XML: &str = "<domain type='test'><name>guest</name><devices>\
    <disk type='file' device='disk'><source file='/guest.img'/><target dev='vda'/></disk>\
    </devices></domain>";

/// The settings that scripts assume: a URI that nothing else decides, and no keepalive.
pub fn builder() -> Builder {
    Connection::builder()
        .uri("test:///default")
        .keepalive(Duration::ZERO, 0)
}

/// A connection that is open, and the daemon it goes to.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn connected() -> (Connection, Peer) {
    connected_with(builder()).await
}

/// As [`connected`], with other settings.
///
/// # Panics
///
/// When it cannot be opened.
pub async fn connected_with(builder: Builder) -> (Connection, Peer) {
    let (client, mut peer) = Peer::pair();
    let opening = Box::pin(builder.connect_with_io(client));
    let (opened, shaken) = tokio::join!(opening, peer.shake_hands());
    shaken.expect("the client opens the connection");
    let (connection, driver) = opened.expect("the connection opens");
    tokio::spawn(driver);
    (connection, peer)
}

/// The guest as it stands on the wire.
#[must_use]
pub fn domain() -> remote::NonnullDomain<'static> {
    remote::NonnullDomain {
        name: Str::from("guest"),
        uuid: [7; 16],
        id: 1,
    }
}

/// A network as it stands on the wire.
#[must_use]
pub fn network() -> remote::NonnullNetwork<'static> {
    remote::NonnullNetwork {
        name: Str::from("net"),
        uuid: [8; 16],
    }
}

/// A storage pool as it stands on the wire.
#[must_use]
pub fn storage_pool() -> remote::NonnullStoragePool<'static> {
    remote::NonnullStoragePool {
        name: Str::from("pool"),
        uuid: [9; 16],
    }
}

/// A device of the host as it stands on the wire.
#[must_use]
pub fn node_device() -> remote::NonnullNodeDevice<'static> {
    remote::NonnullNodeDevice {
        name: Str::from("pci_0000_00_1f_2"),
    }
}

/// A secret as it stands on the wire.
#[must_use]
pub fn secret() -> remote::NonnullSecret<'static> {
    remote::NonnullSecret {
        uuid: [10; 16],
        usage_type: SecretUsageType::VOLUME.0,
        usage_id: Str::from("/guest.img"),
    }
}

/// The callback ID that the peer gives to a registration of somebody for events of this ID.
#[must_use]
pub const fn callback_id(event_id: i32) -> i32 {
    event_id + 100
}

/// The header of a reply to the request, with any status.
#[must_use]
pub fn reply_header(request: &Request, status: Status) -> Header {
    request.route.header(MessageType::Reply, status)
}

/// A packet as it stands on the wire.
///
/// # Panics
///
/// When the payload is too long for one.
#[must_use]
pub fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let packet = virtwire_sim::script::packet(header, payload);
    packet.expect("the payload is short").to_vec()
}

/// A peer that answers as a daemon with one running guest.
///
/// All of it panics when the client does what no client may do.
#[expect(
    async_fn_in_trait,
    reason = "for the peers of this package's own tests"
)]
pub trait Guest {
    /// Answers whatever is asked.
    async fn respond(&mut self, request: &Request);

    /// Answers a question for a feature by the number of the feature, so that every answer shows
    /// which question it belongs to.
    async fn echo(&mut self, request: &Request);

    /// Answers a call by an error.
    async fn refuse(&mut self, request: &Request, code: ErrorCode);

    /// Answers what comes until a call of `P` comes, and that too. Returns that call.
    async fn until<P: Procedure>(&mut self) -> Request;

    /// Answers what comes until the client has closed the connection.
    async fn serve(self) -> Self;
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guest for Peer<IO> {
    async fn respond(&mut self, request: &Request) {
        if request.is::<remote::ConnectSupportsFeature>() {
            return self.echo(request).await;
        }
        if is_done_without_a_word(request) {
            return answer::<remote::ConnectClose, _>(self, request, &()).await;
        }
        if !Box::pin(answer_question(self, request)).await {
            self.refuse(request, ErrorCode::NO_SUPPORT).await;
        }
    }

    async fn echo(&mut self, request: &Request) {
        let Ok(args) = request.args::<remote::ConnectSupportsFeature>() else {
            return self.refuse(request, ErrorCode::RPC).await;
        };
        let ret = remote::ConnectSupportsFeatureRet {
            supported: args.feature,
        };
        answer::<remote::ConnectSupportsFeature, _>(self, request, &ret).await;
    }

    async fn refuse(&mut self, request: &Request, code: ErrorCode) {
        let error = RemoteError::new(code, ErrorDomain::TEST, "the script says so");
        let said = self.error(request.route, &error).await;
        said.expect("the error is short");
    }

    async fn until<P: Procedure>(&mut self) -> Request {
        loop {
            let request = self.request().await.expect("the client makes calls");
            let request = request.expect("the client makes the call");
            self.respond(&request).await;
            if request.is::<P>() {
                return request;
            }
        }
    }

    async fn serve(mut self) -> Self {
        while let Some(request) = self.request().await.expect("the client makes calls") {
            self.respond(&request).await;
        }
        self
    }
}

/// Answers a question about the host or the guest; whether there is an answer.
async fn answer_question<IO>(peer: &mut Peer<IO>, request: &Request) -> bool
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    /// Answers by this value if it is a call of this procedure.
    macro_rules! answers {
        ($($procedure:ident => $ret:expr,)*) => {
            $(if request.is::<remote::$procedure>() {
                answer::<remote::$procedure, IO>(peer, request, &$ret).await;
                return true;
            })*
        };
    }
    answers! {
        AuthList => remote::AuthListRet { types: vec![remote::AuthType::NONE] },
        AuthPolkit => remote::AuthPolkitRet { complete: 1 },
        ConnectGetUri => remote::ConnectGetUriRet { uri: "test:///default".into() },
        ConnectGetHostname => remote::ConnectGetHostnameRet { hostname: "host".into() },
        ConnectGetType => remote::ConnectGetTypeRet { type_: "TEST".into() },
        ConnectGetVersion => remote::ConnectGetVersionRet { hv_ver: 2 },
        ConnectGetLibVersion => remote::ConnectGetLibVersionRet { lib_ver: 9_000_000 },
        ConnectListAllDomains => remote::ConnectListAllDomainsRet {
            domains: vec![domain(); 3],
            ret: 3,
        },
        DomainLookupByName => remote::DomainLookupByNameRet { dom: domain() },
        DomainLookupByUuid => remote::DomainLookupByUuidRet { dom: domain() },
        DomainLookupById => remote::DomainLookupByIdRet { dom: domain() },
        NetworkLookupByName => remote::NetworkLookupByNameRet { net: network() },
        StoragePoolLookupByName => remote::StoragePoolLookupByNameRet { pool: storage_pool() },
        NodeDeviceLookupByName => remote::NodeDeviceLookupByNameRet { dev: node_device() },
        SecretLookupByUuid => remote::SecretLookupByUuidRet { secret: secret() },
        DomainDefineXmlFlags => remote::DomainDefineXmlFlagsRet { dom: domain() },
        DomainCreateXml => remote::DomainCreateXmlRet { dom: domain() },
        DomainCreateWithFlags => remote::DomainCreateWithFlagsRet { dom: domain() },
        DomainIsActive => remote::DomainIsActiveRet { active: 1 },
        DomainIsPersistent => remote::DomainIsPersistentRet { persistent: 1 },
        DomainGetXmlDesc => remote::DomainGetXmlDescRet { xml: Str::from(XML) },
        DomainGetState => remote::DomainGetStateRet {
            state: DomainState::RUNNING.0,
            reason: 1,
        },
        DomainGetInfo => remote::DomainGetInfoRet::default(),
        DomainGetBlockInfo => remote::DomainGetBlockInfoRet::default(),
        ConnectDomainEventCallbackRegisterAny => {
            remote::ConnectDomainEventCallbackRegisterAnyRet {
                callback_id: granted(request),
            }
        },
        // A pull that never gets anywhere.
        DomainGetBlockJobInfo => remote::DomainGetBlockJobInfoRet {
            found: 1,
            type_: DomainBlockJobType::PULL.0,
            bandwidth: 0,
            cur: 1,
            end: 100,
        },
    }
    false
}

/// The callback ID that a registration gets: another one if it is for nobody, which a client may
/// hold beside that for the guest.
fn granted(request: &Request) -> i32 {
    match request.args::<remote::ConnectDomainEventCallbackRegisterAny>() {
        Ok(args) => match args.dom {
            Some(dom) if dom.uuid == [0; 16] => callback_id(args.event_id) + 100,
            _ => callback_id(args.event_id),
        },
        Err(_) => -1,
    }
}

/// Whether the answer to the call is that it was done.
fn is_done_without_a_word(request: &Request) -> bool {
    request.is::<remote::ConnectOpen>()
        || request.is::<remote::ConnectClose>()
        || request.is::<remote::ConnectDomainEventCallbackDeregisterAny>()
        || request.is::<remote::DomainSuspend>()
        || request.is::<remote::DomainResume>()
        || request.is::<remote::DomainShutdownFlags>()
        || request.is::<remote::DomainDestroyFlags>()
        || request.is::<remote::DomainUndefineFlags>()
        || request.is::<remote::DomainBlockPull>()
        || request.is::<remote::DomainBlockRebase>()
        || request.is::<remote::DomainBlockJobSetSpeed>()
        || request.is::<remote::DomainBlockJobAbort>()
}

async fn answer<P: Procedure, IO>(peer: &mut Peer<IO>, request: &Request, ret: &P::Ret<'_>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let said = peer.reply_to::<P>(request.route, ret).await;
    said.expect("the answer can be encoded");
}
