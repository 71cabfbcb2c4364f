//! Connections to the simulated daemon.

mod peer;
mod streams;
mod unwritten;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::schema::{ProcedureKind, ProcedureSchema};
use virtwire_protocol::session::{KeepaliveConfig, Request, ServerConfig};
use virtwire_protocol::{Procedure, Program, RemoteError, lxc, qemu, remote};

use crate::access;
use crate::call::Call;
use crate::hypervisor::client::{Client, Driver, MAX_WAITING_EVENTS, Notice};
use crate::hypervisor::{ClientId, Hypervisor};
use crate::refusal::from_domain;
use crate::router::{Answer, Router};
use crate::simulator::{Settings, packed};

pub(crate) use self::peer::serve;

/// What all connections to a simulated daemon share.
#[derive(Debug)]
pub(crate) struct Shared {
    hypervisor: Mutex<Hypervisor>,
    router: Router,
    pub(crate) settings: Settings,
    /// Errors that are to be given next, by procedure.
    planned: Mutex<HashMap<(Program, i32), VecDeque<RemoteError>>>,
    /// Changes when the daemon restarts; closed when the simulator is gone.
    epoch: watch::Receiver<u64>,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        router: Router,
        hypervisor: Hypervisor,
        epoch: watch::Receiver<u64>,
    ) -> Self {
        Self {
            hypervisor: Mutex::new(hypervisor),
            router,
            settings,
            planned: Mutex::default(),
            epoch,
        }
    }

    /// The state. A handler that panicked has left it as it was at that moment.
    pub(crate) fn hypervisor(&self) -> MutexGuard<'_, Hypervisor> {
        self.hypervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the daemon restarts or the simulator is gone: connections and whatever else
    /// belongs to one run of the daemon end then.
    pub(crate) fn end_of_run(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut epoch = self.epoch.clone();
        epoch.mark_unchanged();
        async move {
            let _ = epoch.changed().await;
        }
    }

    /// Completes when the simulator is gone: what belongs to the host ends then.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut epoch = self.epoch.clone();
        async move { while epoch.changed().await.is_ok() {} }
    }

    /// Has the next call of a procedure fail.
    pub(crate) fn plan(&self, procedure: (Program, i32), error: RemoteError) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.entry(procedure).or_default().push_back(error);
    }

    fn planned(&self, procedure: (Program, i32)) -> Option<RemoteError> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.get_mut(&procedure)?.pop_front()
    }

    fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.max_requests = self.settings.max_client_requests;
        config
    }

    /// A connection has come; what it is called, and the way to tell it things.
    fn join(&self, read_only: bool) -> (ClientId, mpsc::Receiver<Notice>) {
        let (notices, told) = mpsc::channel(MAX_WAITING_EVENTS);
        let mut hypervisor = self.hypervisor();
        let id = hypervisor.next_client_id();
        let client = Client {
            read_only,
            opened: None,
            registrations: Vec::new(),
            close_callback: false,
            notices: Some(notices),
        };
        hypervisor.clients.insert(id, client);
        (id, told)
    }

    fn leave(&self, client: ClientId) {
        self.hypervisor().leave(client);
    }

    /// Starts to answer a call.
    fn answer(&self, call: Call, request: Request) -> Answer {
        match self.admit(&call, &request) {
            Ok(schema) => {
                let driver = call.driver();
                let answer = self.router.answer(call, request);
                let answer = answer.unwrap_or_else(|| refuse(access::unsupported(schema)));
                Box::pin(async move { answer.await.map_err(|error| spoken_by(driver, error)) })
            }
            Err(error) => refuse(error),
        }
    }

    /// Checks a call as libvirtd does before it looks at the arguments.
    fn admit(
        &self,
        call: &Call,
        request: &Request,
    ) -> Result<&'static ProcedureSchema, RemoteError> {
        let (program, number) = (request.route.program, request.route.procedure);
        if ![remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM].contains(&program) {
            let Program { number, version } = program;
            return Err(rpc(&format!(
                "Cannot find program {number} version {version}"
            )));
        }
        let schema = access::find(program, number)
            .filter(|schema| schema.kind == ProcedureKind::Call && self.has(schema))
            .ok_or_else(|| rpc(&format!("unknown procedure: {number}")))?;
        if let Some(error) = self.planned((program, number)) {
            return Err(error);
        }
        let (opened, read_only) = match self.hypervisor().clients.get(&call.client) {
            Some(client) => (client.opened.is_some(), client.read_only),
            None => (false, true),
        };
        if !opened && !access::before_open(schema) {
            let what = "hypervisor connection not open";
            return Err(from_domain(
                ErrorDomain::RPC,
                ErrorCode::INTERNAL_ERROR,
                what,
            ));
        }
        if read_only && !access::for_readers(schema) {
            return Err(access::denied(schema));
        }
        Ok(schema)
    }

    /// Whether the daemon is of a release that has the procedure.
    fn has(&self, schema: &ProcedureSchema) -> bool {
        const CALLBACKS: [(Program, i32); 2] = [
            number_of::<remote::ConnectDomainEventCallbackRegisterAny>(),
            number_of::<remote::ConnectDomainEventCallbackDeregisterAny>(),
        ];
        let settings = &self.settings;
        packed(schema.since) <= settings.library_version
            && (settings.event_callbacks || !CALLBACKS.contains(&(schema.id, schema.number)))
    }

    /// The pings that the daemon starts when a client asks for the feature.
    pub(crate) fn keepalive(&self) -> Option<KeepaliveConfig> {
        self.settings.keepalive
    }
}

const fn number_of<P: Procedure>() -> (Program, i32) {
    (P::PROGRAM, P::NUMBER)
}

/// Handlers speak as the QEMU driver does.
fn spoken_by(driver: Driver, mut error: RemoteError) -> RemoteError {
    if driver == Driver::Test && error.domain == ErrorDomain::QEMU {
        error.domain = ErrorDomain::TEST;
    }
    error
}

fn rpc(message: &str) -> RemoteError {
    RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, message)
}

fn refuse(error: RemoteError) -> Answer {
    Box::pin(std::future::ready(Err(error)))
}
