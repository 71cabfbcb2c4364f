//! The phases of a connection, and who waits in each.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use virtwire::constants::DomainEventId;
use virtwire::event::{DomainEvent, EventError, EventStream};
use virtwire::remote::{self, AuthType};
use virtwire::{BlockJob, CloseCause, Connection, Error, Outcome};
use virtwire_protocol::session::Request;
use virtwire_sim::fault::{Faulty, Plan};
use virtwire_tests::peer::{Guest as _, Peer, builder};
use virtwire_tests::question::{asker, start_pull, started_pull};

use crate::daemon::Daemon;

type Ask = remote::ConnectSupportsFeature;
type Register = remote::ConnectDomainEventCallbackRegisterAny;

/// The daemon is asked for a sign of life after so long, and twice.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// How many ordinary calls the client has in flight: of its four places one is for those that end
/// other work.
const IN_FLIGHT: i32 = 3;

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
    /// Events were asked for.
    Subscribing,
    /// Events were asked for and granted, and are waited for.
    Subscribed,
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
    Subscribing(JoinHandle<Result<EventStream<DomainEvent>, Error>>),
    /// What comes next of events.
    Events(JoinHandle<Result<DomainEvent, EventError>>),
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

    /// How many registrations for events are given up when what is under way has ended, or has
    /// failed by a wrong answer: those of a job and of a stream that was granted, and not the one
    /// that is held for as long as the connection lasts.
    pub(crate) fn registrations(self, wronged: bool) -> usize {
        match self {
            Self::EventStream | Self::BlockJob => 2,
            Self::Subscribing => usize::from(!wronged),
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
            Self::Subscribing => {
                let subscribing = subscriber(connection);
                peer.until::<Ask>().await;
                let owed = until_asked::<Register>(peer).await;
                (vec![owed], vec![Waiter::Subscribing(subscribing)])
            }
            Self::Subscribed => {
                let subscribing = subscriber(connection);
                for _ in 0..2 {
                    peer.until::<Register>().await;
                }
                let mut events = subscribing.await.unwrap().unwrap();
                let following = tokio::spawn(async move { events.recv().await });
                (Vec::new(), vec![Waiter::Events(following)])
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

/// A task that asks for the lifecycles of all domains.
fn subscriber(connection: &Connection) -> JoinHandle<Result<EventStream<DomainEvent>, Error>> {
    let connection = connection.clone();
    tokio::spawn(async move { connection.domain_events([DomainEventId::LIFECYCLE]).await })
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
