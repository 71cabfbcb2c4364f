//! A connection that is opened again when it was lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use virtwire::constants::{
    DomainEventId, DomainEventStartedDetailType, DomainEventType, ErrorCode, ErrorDomain,
};
use virtwire::event::{EventError, EventStream, Lifecycle, LifecycleEvent};
use virtwire::{
    Builder, CloseCause, Connection, ConnectionState, Error, ErrorKind, Execution, Reconnect,
    RemoteError, remote,
};
use virtwire_protocol::header::Status;
use virtwire_sim::script::Call;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, Pipe, builder, domain, reply_header};

use crate::{ask, asker};

type Ask = remote::ConnectSupportsFeature;
type Register = remote::ConnectDomainEventCallbackRegisterAny;
type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;

/// The daemons that a client comes to, one after the other.
pub(crate) struct Daemons(mpsc::UnboundedReceiver<Peer>);

impl Daemons {
    /// The next one, which has opened the connection.
    pub(crate) async fn next(&mut self) -> Peer {
        let mut peer = self.0.recv().await.unwrap();
        peer.shake_hands().await.unwrap();
        peer
    }
}

pub(crate) fn policy() -> Reconnect {
    Reconnect::default().first_delay(Duration::from_secs(1))
}

pub(crate) async fn connected_with(builder: Builder) -> (Connection, Peer, Daemons) {
    let (peers, daemons) = mpsc::unbounded_channel();
    let mut daemons = Daemons(daemons);
    let connector = move || {
        let (client, peer) = Peer::pair();
        let arrived = peers.send(peer);
        async move {
            arrived
                .map_err(|_| io::ErrorKind::ConnectionRefused.into())
                .map(|()| client)
        }
    };
    let (connection, peer) =
        tokio::join!(Box::pin(builder.connect_over(connector)), daemons.next());
    (connection.unwrap(), peer, daemons)
}

pub(crate) async fn connected() -> (Connection, Peer, Daemons) {
    connected_with(builder().reconnect(policy())).await
}

/// Takes a registration: for the guest or for nobody, by an ID of its own.
async fn register(peer: &mut Peer) -> i32 {
    let call = peer.expect::<Register>().await.unwrap();
    let callback_id = if is_anchor(&call) { 200 } else { 100 } + call.args.event_id;
    let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
    peer.reply(&call, &ret).await.unwrap();
    callback_id
}

/// Has the guest's events asked for, at a daemon that has callback IDs.
fn is_anchor(call: &Call<Register>) -> bool {
    call.args
        .dom
        .as_ref()
        .is_some_and(|dom| dom.uuid == [0; 16])
}

pub(crate) async fn subscribed(
    connection: &Connection,
    peer: &mut Peer,
) -> EventStream<LifecycleEvent> {
    let guest = async {
        let guest = connection.lookup_domain_by_name("guest").await.unwrap();
        guest.lifecycle_events().await.unwrap()
    };
    let daemon = async {
        peer.until::<remote::DomainLookupByName>().await;
        peer.until::<Ask>().await;
        assert_eq!([register(peer).await, register(peer).await], [100, 200]);
    };
    tokio::join!(guest, daemon).0
}

async fn start(peer: &mut Peer) {
    let msg = remote::DomainEventLifecycleMsg {
        dom: domain(),
        event: DomainEventType::STARTED.0,
        detail: DomainEventStartedDetailType::BOOTED.0,
    };
    let callback_id = 100;
    let message = remote::DomainEventCallbackLifecycleMsg { callback_id, msg };
    peer.event::<remote::DomainEventCallbackLifecycle>(&message)
        .await
        .unwrap();
}

fn is_start(item: Result<LifecycleEvent, EventError>) -> bool {
    matches!(item.unwrap().lifecycle, Lifecycle::Started(detail) if detail == DomainEventStartedDetailType::BOOTED)
}

#[tokio::test(start_paused = true)]
async fn events_go_on_behind_a_gap() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut events = subscribed(&connection, &mut peer).await;
        start(&mut peer).await;
        peer.close().await;
        let mut peer = daemons.next().await;
        let registered = [register(&mut peer).await, register(&mut peer).await];
        assert!(registered.contains(&100) && registered.contains(&200));
        start(&mut peer).await;

        assert!(is_start(events.recv().await));
        assert!(matches!(events.recv().await, Err(EventError::Gap)));
        assert!(is_start(events.recv().await));
        assert!(events.try_recv().is_none());
        assert_eq!(
            connection.close_cause().map(|cause| cause.to_string()),
            None
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_before_events_are_registered_again() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut events = subscribed(&connection, &mut peer).await;
        peer.close().await;
        let asking = asker(&connection, 1);
        let mut peer = daemons.next().await;
        let first = peer.expect::<Register>().await.unwrap();
        let second = peer.expect::<Register>().await.unwrap();
        // The call waits for the answers, not only for the questions.
        let nothing = tokio::time::timeout(Duration::from_secs(3), peer.request()).await;
        assert!(nothing.is_err());
        for (callback_id, call) in [first, second].into_iter().enumerate() {
            let callback_id = i32::try_from(callback_id).unwrap();
            let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
            peer.reply(&call, &ret).await.unwrap();
        }
        peer.until::<Ask>().await;
        assert_eq!(asking.await.unwrap().unwrap(), 1);
        assert!(matches!(events.try_recv(), Some(Err(EventError::Gap))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_fails_and_what_comes_later_waits() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let in_flight = asker(&connection, 1);
        peer.request().await.unwrap().unwrap();
        peer.close().await;
        let error: Error = in_flight.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert!(connection.close_cause().is_none());

        let impatient = connection.with_deadline(Duration::from_millis(10));
        assert!(ask(&impatient, 2).await.unwrap_err().is_timeout());
        let patient = asker(&connection, 3);
        let mut peer = daemons.next().await;
        peer.until::<Ask>().await;
        assert_eq!(patient.await.unwrap().unwrap(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_lost_any_number_of_times() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut events = subscribed(&connection, &mut peer).await;
        for _ in 0..50 {
            peer.close().await;
            peer = daemons.next().await;
            register(&mut peer).await;
            register(&mut peer).await;
            start(&mut peer).await;
            assert!(matches!(events.recv().await, Err(EventError::Gap)));
            assert!(is_start(events.recv().await));
        }
        assert!(daemons.0.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn being_lost_while_registering_again_does_no_harm() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut events = subscribed(&connection, &mut peer).await;
        peer.close().await;
        // One answer, a question without an answer, and gone again.
        let mut peer = daemons.next().await;
        register(&mut peer).await;
        peer.request().await.unwrap().unwrap();
        peer.close().await;
        let mut peer = daemons.next().await;
        register(&mut peer).await;
        register(&mut peer).await;
        start(&mut peer).await;
        // Nothing was told in between, so there is nothing between the gaps.
        assert!(matches!(events.recv().await, Err(EventError::Gap)));
        assert!(is_start(events.recv().await));
        drop(connection);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_come_and_go_while_it_is_away() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let gone = subscribed(&connection, &mut peer).await;
        peer.close().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        gone.unsubscribe().await.unwrap();
        let coming = {
            let connection = connection.clone();
            tokio::spawn(async move { connection.domain_events([DomainEventId::REBOOT]).await })
        };
        let mut peer = daemons.next().await;
        let mut registered = [register(&mut peer).await, register(&mut peer).await];
        registered.sort_unstable();
        assert_eq!(registered, [101, 200], "the one that left is not there");
        let mut events = coming.await.unwrap().unwrap();
        let msg = remote::DomainEventRebootMsg { dom: domain() };
        let message = remote::DomainEventCallbackRebootMsg {
            callback_id: 101,
            msg,
        };
        peer.event::<remote::DomainEventCallbackReboot>(&message)
            .await
            .unwrap();
        // It began after the gap.
        assert_eq!(events.recv().await.unwrap().domain.name(), "guest");

        drop(events);
        let call = peer.expect::<Deregister>().await.unwrap();
        assert_eq!(call.args.callback_id, 101);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_the_daemon_refuses_afterwards_ends_and_others_go_on() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut kept = subscribed(&connection, &mut peer).await;
        let subscribing = connection.domain_events([DomainEventId::REBOOT]);
        let (refused, _) = tokio::join!(subscribing, register(&mut peer));
        let mut refused = refused.unwrap();
        peer.close().await;
        let mut peer = daemons.next().await;
        for _ in 0..3 {
            let call = peer.expect::<Register>().await.unwrap();
            if DomainEventId(call.args.event_id) == DomainEventId::REBOOT {
                peer.refuse(&call, ErrorCode::NO_SUPPORT).await;
                continue;
            }
            let callback_id = if is_anchor(&call) { 200 } else { 100 };
            let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
            peer.reply(&call, &ret).await.unwrap();
        }
        assert!(matches!(refused.recv().await, Err(EventError::Gap)));
        let end = refused.recv().await.unwrap_err();
        assert!(end.is_end());
        let EventError::Refused(error) = end else {
            panic!("{end}");
        };
        assert_eq!(error.code, ErrorCode::NO_SUPPORT);
        start(&mut peer).await;
        assert!(matches!(kept.recv().await, Err(EventError::Gap)));
        assert!(is_start(kept.recv().await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_that_can_do_without_some_events_names_them_behind_the_gap() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let _guest = subscribed(&connection, &mut peer).await;
        let ids = [DomainEventId::LIFECYCLE, DomainEventId::REBOOT];
        let subscribing = connection.events().events(ids).skip_unsupported();
        let granting = async {
            register(&mut peer).await;
            register(&mut peer).await;
        };
        let (events, ()) = tokio::join!(subscribing.subscribe(), granting);
        let mut events = events.unwrap();
        assert_eq!(events.refused().len(), 0);
        peer.close().await;
        let mut peer = daemons.next().await;
        let refusing = async {
            for callback_id in 0..4 {
                let call = peer.expect::<Register>().await.unwrap();
                if DomainEventId(call.args.event_id) == DomainEventId::REBOOT {
                    peer.refuse(&call, ErrorCode::NO_SUPPORT).await;
                    continue;
                }
                let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
                peer.reply(&call, &ret).await.unwrap();
            }
        };
        // It is known when the gap is read.
        let (gap, ()) = tokio::join!(events.recv(), refusing);
        assert!(matches!(gap, Err(EventError::Gap)));
        let refused: Vec<_> = events.refused().collect();
        let [(event, error)] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(*event, DomainEventId::REBOOT.into());
        assert_eq!(error.code, ErrorCode::NO_SUPPORT);
        assert!(events.try_recv().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_whose_registration_is_answered_with_nonsense_says_so() {
    paused_deadline(async {
        let (connection, mut peer, mut daemons) = connected().await;
        let mut events = subscribed(&connection, &mut peer).await;
        peer.close().await;
        let mut peer = daemons.next().await;
        for _ in 0..2 {
            let request = peer.request().await.unwrap().unwrap();
            assert!(request.is::<Register>());
            let header = reply_header(&request, Status::Ok);
            peer.send(&header, &[0; 3]).await.unwrap();
        }
        assert!(matches!(events.recv().await, Err(EventError::Gap)));
        let end = events.recv().await.unwrap_err();
        assert!(end.is_end());
        let EventError::Failed(error) = &end else {
            panic!("{end}");
        };
        assert_eq!(error.kind(), ErrorKind::Protocol);
        // The connection is as good as before.
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_a_daemon_that_is_away() {
    paused_deadline(async {
        let (connection, peer, _daemons) = connected().await;
        peer.close().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let started = Instant::now();
        let other = connection.clone();
        connection.close().await;
        assert!(started.elapsed() < Duration::from_millis(10));
        assert!(matches!(*other.closed().await, CloseCause::Requested));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_reconnects_for_nobody() {
    paused_deadline(async {
        let (connection, peer, mut daemons) = connected().await;
        peer.close().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(connection);
        assert!(daemons.0.recv().await.is_none(), "the connector is dropped");
    })
    .await;
}

#[test]
fn what_is_away_ends_together_with_its_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let first = runtime();
    let connection = first.block_on(async {
        let (connection, peer, _daemons) = connected().await;
        let mut state = connection.state();
        peer.close().await;
        state.changed().await.unwrap();
        assert!(matches!(*state.borrow(), ConnectionState::Lost(_)));
        connection
    });
    drop(first);
    assert!(connection.state().borrow().is_closed());
    let error = runtime().block_on(ask(&connection, 1)).unwrap_err();
    assert!(matches!(error.close_cause(), Some(CloseCause::Requested)));
    assert_eq!(error.execution(), Some(Execution::NotSent));
}

#[tokio::test(start_paused = true)]
async fn delays_and_limits_may_be_as_long_as_can_be_said() {
    paused_deadline(async {
        let policy = Reconnect::default()
            .first_delay(Duration::MAX)
            .longest_delay(Duration::MAX)
            .give_up_after(Duration::MAX);
        let (connection, peer, _daemons) = connected_with(builder().reconnect(policy)).await;
        let mut state = connection.state();
        peer.close().await;
        state.changed().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = state.borrow().clone();
        assert!(matches!(now, ConnectionState::Lost(_)), "{now:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_dies_of_its_clients_is_asked_more_and_more_rarely() {
    paused_deadline(async {
        const LONGEST: Duration = Duration::from_secs(8);
        let policy = policy().longest_delay(LONGEST);
        let (connection, mut peer, mut daemons) = connected_with(builder().reconnect(policy)).await;
        for seconds in [1, 2, 4, 8, 8] {
            let lost = Instant::now();
            peer.close().await;
            peer = daemons.next().await;
            let delay = Duration::from_secs(seconds);
            // Shorter by up to a quarter.
            assert!(
                (delay * 3 / 4..=delay).contains(&lost.elapsed()),
                "{delay:?}"
            );
        }
        // One that stays for long enough has not died of them.
        tokio::time::sleep(LONGEST).await;
        let lost = Instant::now();
        peer.close().await;
        daemons.next().await;
        assert!(lost.elapsed() <= Duration::from_secs(1));
        drop(connection);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_when_it_was_told_to() {
    paused_deadline(async {
        let attempts = Arc::new(AtomicUsize::new(0));
        let (client, mut peer) = Peer::pair();
        let mut first = Some(client);
        let counted = Arc::clone(&attempts);
        let connector = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let io: io::Result<Pipe> = first.take().ok_or_else(|| io::ErrorKind::NotFound.into());
            async move { io }
        };
        let policy = policy()
            .longest_delay(Duration::from_secs(4))
            .give_up_after(Duration::from_secs(60));
        let connecting = builder().reconnect(policy).connect_over(connector);
        let (connection, shaken) = tokio::join!(connecting, peer.shake_hands());
        let connection = connection.unwrap();
        shaken.unwrap();
        let started = Instant::now();
        peer.close().await;
        let cause = connection.closed().await;
        assert!(matches!(*cause, CloseCause::EndOfFile), "{cause}");
        assert_eq!(started.elapsed(), Duration::from_secs(60));
        // 1 + 2 s, then 4 s each, all shorter by up to a quarter.
        let attempts = attempts.load(Ordering::Relaxed);
        assert!((15..=22).contains(&attempts), "{attempts}");
        let error = ask(&connection, 1).await.unwrap_err();
        assert_eq!(error.execution(), Some(Execution::NotSent));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_does_not_let_us_in_any_more_is_the_end() {
    paused_deadline(async {
        let (connection, peer, mut daemons) = connected().await;
        peer.close().await;
        let mut peer = daemons.0.recv().await.unwrap();
        let call = peer.expect::<remote::AuthList>().await.unwrap();
        let types = vec![remote::AuthType::SASL];
        let ret = remote::AuthListRet { types };
        peer.reply(&call, &ret).await.unwrap();
        let cause = connection.closed().await;
        assert!(matches!(*cause, CloseCause::EndOfFile), "{cause}");
        assert!(daemons.0.recv().await.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_that_is_not_ready_yet_is_asked_again() {
    paused_deadline(async {
        let (connection, peer, mut daemons) = connected().await;
        peer.close().await;
        for _ in 0..3 {
            let mut peer = daemons.0.recv().await.unwrap();
            let call = peer.expect::<remote::AuthList>().await.unwrap();
            let error = RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, "not yet");
            peer.error(call.route, &error).await.unwrap();
        }
        let asking = asker(&connection, 5);
        daemons.next().await.until::<Ask>().await;
        assert_eq!(asking.await.unwrap().unwrap(), 5);
    })
    .await;
}
