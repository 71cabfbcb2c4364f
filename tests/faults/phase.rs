//! The phases of a connection, and who waits in each.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use virtwire::remote::{self, AuthType};
use virtwire::{BlockJob, CloseCause, Connection, Error, Outcome};
use virtwire_protocol::session::Request;
use virtwire_sim::fault::{Faulty, Plan};
use virtwire_tests::peer::{Guest as _, Peer, builder};
use virtwire_tests::question::{asker, start_pull, started_pull};

use crate::daemon::Daemon;

type Ask = remote::ConnectSupportsFeature;

/// The daemon is asked for a sign of life after so long, and twice.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// How many calls the client has in flight.
const IN_FLIGHT: i32 = 4;

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first call, which asks how to authenticate, was made.
    Connect,
    /// The daemon wants polkit and was asked to ask it.
    Auth,
    /// The daemon was asked to open the hypervisor connection.
    Open,
    /// Nobody wants anything.
    Idle,
    /// As many calls are in flight as may be, and others wait behind them.
    CallPending,
    /// Events were asked for and granted; the job that they are for is being started.
    EventStream,
    /// A job runs, and the daemon was asked about it.
    BlockJob,
    /// The daemon was told that the client closes the connection.
    Closing,
}

/// A phase on stage.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    /// `None` while it is being opened.
    pub(crate) connection: Option<Connection>,
    pub(crate) waiters: Vec<Waiter>,
}

/// Somebody who waits for the daemon.
pub(crate) enum Waiter {
    Connecting(JoinHandle<Result<Connection, Error>>),
    /// A call of this number.
    Call(i32, JoinHandle<Result<i32, Error>>),
    /// A call that nothing was sent of.
    Unsent(JoinHandle<Result<i32, Error>>),
    Starting(JoinHandle<Result<BlockJob, Error>>),
    Job(JoinHandle<Outcome>),
    Closing(JoinHandle<()>),
    Closed(JoinHandle<Arc<CloseCause>>),
}

impl Phase {
    /// Goes as far as this phase.
    pub(crate) async fn enter(self, plan: Plan) -> Scene {
        let (client, mut peer) = Peer::pair();
        let connecting = tokio::spawn(async move {
            let io = Faulty::new(client, plan);
            let builder = builder().keepalive(INTERVAL, 2);
            let (connection, driver) = builder.connect_with_io(io).await?;
            tokio::spawn(driver);
            Ok(connection)
        });
        if let Some(owed) = self.call_while_connecting(&mut peer).await {
            return Scene {
                daemon: Daemon::new(peer, vec![owed.clone()], owed),
                connection: None,
                waiters: vec![Waiter::Connecting(connecting)],
            };
        }
        let open = peer.until::<remote::ConnectOpen>().await;
        let connection = connecting.await.unwrap().unwrap();
        let (owed, mut waiters) = self.keep_waiting(&connection, &mut peer).await;
        let closed = connection.clone();
        waiters.push(Waiter::Closed(tokio::spawn(async move {
            closed.closed().await
        })));
        Scene {
            daemon: Daemon::new(peer, owed, open),
            connection: Some(connection),
            waiters,
        }
    }

    /// How many registrations for events are given up when what is under way has ended: those of
    /// a job, and not the one that is held for as long as the connection lasts.
    pub(crate) fn registrations(self) -> usize {
        match self {
            Self::EventStream | Self::BlockJob => 2,
            _ => 0,
        }
    }

    /// The call that is under way when this phase is one of connecting.
    async fn call_while_connecting(self, peer: &mut Peer) -> Option<Request> {
        match self {
            Self::Connect => {
                let call = peer.expect::<remote::AuthList>().await.unwrap();
                Some(call.into_request())
            }
            Self::Auth => {
                let types = vec![AuthType::POLKIT];
                let ret = remote::AuthListRet { types };
                peer.answer::<remote::AuthList>(&ret).await.unwrap();
                let call = peer.expect::<remote::AuthPolkit>().await.unwrap();
                Some(call.into_request())
            }
            Self::Open => {
                let call = peer.skip_to::<remote::ConnectOpen>().await.unwrap();
                Some(call.into_request())
            }
            _ => None,
        }
    }

    /// The calls that the daemon owes an answer to, and who waits.
    async fn keep_waiting(
        self,
        connection: &Connection,
        peer: &mut Peer,
    ) -> (Vec<Request>, Vec<Waiter>) {
        match self {
            Self::CallPending => {
                let mut owed = Vec::new();
                let mut waiters = Vec::new();
                for number in 0..IN_FLIGHT {
                    waiters.push(Waiter::Call(number, asker(connection, number)));
                    owed.push(peer.expect::<Ask>().await.unwrap().into_request());
                }
                let behind = (0..100).map(|number| Waiter::Unsent(asker(connection, number)));
                waiters.extend(behind);
                (owed, waiters)
            }
            Self::EventStream => {
                let starting = connection.clone();
                let starting = tokio::spawn(async move { start_pull(&starting).await });
                let owed = until_asked::<remote::DomainBlockPull>(peer).await;
                (vec![owed], vec![Waiter::Starting(starting)])
            }
            Self::BlockJob => {
                let job = started_pull(connection, peer).await;
                let waiting = tokio::spawn(async move { job.wait().await });
                let owed = until_asked::<remote::DomainGetBlockJobInfo>(peer).await;
                (vec![owed], vec![Waiter::Job(waiting)])
            }
            Self::Closing => {
                let closing = tokio::spawn(connection.clone().close());
                let owed = until_asked::<remote::ConnectClose>(peer).await;
                let late = Waiter::Unsent(asker(connection, 1));
                (vec![owed], vec![Waiter::Closing(closing), late])
            }
            _ => (Vec::new(), Vec::new()),
        }
    }
}

/// Answers what comes until this is asked, which is left unanswered.
async fn until_asked<P: virtwire::Procedure>(peer: &mut Peer) -> Request {
    loop {
        let request = peer.request().await.unwrap().unwrap();
        if request.is::<P>() {
            return request;
        }
        peer.respond(&request).await;
    }
}
