//! A daemon that stands still, stopped by a signal at each phase of a connection: whoever waits for
//! it is told why within the time that was set, and nothing of the connection is left.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtwire::event::{EventError, EventStream, LifecycleEvent};
use virtwire::{
    Builder, CloseCause, Connection, Error, ErrorKind, Execution, Procedure, Reconnect, remote,
};
use virtwire_lab::{Daemon, Driver};
use virtwire_tests::alone::{alone, open_descriptors};
use virtwire_tests::gate::Gate;
use virtwire_tests::{deadline, release, task};

use crate::hypervisor::connection::{open, shows_the_test_driver};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_millis(700);
/// The daemon is asked for a sign of life after so long, and so often.
const INTERVAL: Duration = Duration::from_millis(200);
const COUNT: u32 = 2;
/// The silence after which it is given up.
const SILENCE: Duration = Duration::from_millis(600);
/// How long closing waits for the daemon if nothing else gives it up.
const CLOSE: Duration = Duration::from_secs(5);
/// How late two busy processors may be.
const LATE: Duration = Duration::from_secs(2);

type Register = remote::ConnectDomainEventCallbackRegisterAny;

fn builder(uri: impl Into<String>) -> Builder {
    let builder = Connection::builder().uri(uri);
    builder.connect_deadline(CONNECT).keepalive(INTERVAL, COUNT)
}

fn by(socket: &Path) -> String {
    format!("test+unix:///default?socket={}", socket.display())
}

/// Plays the scene in a process of its own, and then looks for what is left of it there. The
/// daemon is no worse for it.
fn scene(name: &str, play: impl AsyncFnOnce(&mut Daemon)) {
    let play = async || {
        let mut daemon = release::daemon().tcp().start().unwrap();
        // The runtime opens what it keeps.
        open(&daemon.uri(Driver::Test)).await.close().await;
        task::none_left().await;
        let before = open_descriptors();
        play(&mut daemon).await;
        task::none_left().await;
        assert_eq!(open_descriptors(), before);
        daemon.resume().unwrap();
        shows_the_test_driver(&open(&daemon.uri(Driver::Test)).await).await;
    };
    alone(name, || deadline(play()));
}

/// What is waited for comes when it must, counted from now.
async fn after<T>(time: Duration, waiting: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let value = waiting.await;
    let took = started.elapsed();
    assert!(took < time + LATE, "{took:?}");
    value
}

async fn is_not_let_in(connecting: impl Future<Output = Result<Connection, Error>>) {
    let error = after(CONNECT, connecting).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(error.is_retryable());
}

fn is_silence(cause: &CloseCause) {
    let is_it = matches!(cause, CloseCause::KeepaliveTimeout(time) if *time >= SILENCE);
    assert!(is_it, "{cause:?}");
}

fn died_of_silence(error: &Error) {
    is_silence(error.close_cause().unwrap());
}

/// Stops the daemon with the call that the gate is for on its way to it, and not there yet.
async fn stop_at(gate: &Gate, daemon: &mut Daemon) {
    gate.reached().await;
    daemon.pause().unwrap();
    gate.open();
}

async fn stops_while_connecting<P: Procedure>(daemon: &mut Daemon) {
    let gate = Gate::at::<P>(daemon.socket());
    let connecting = tokio::spawn(builder(by(&gate.socket())).connect());
    stop_at(&gate, daemon).await;
    is_not_let_in(async { connecting.await.unwrap() }).await;
}

#[test]
fn before_it_accepts() {
    scene("stopped::before_it_accepts", async |daemon| {
        daemon.pause().unwrap();
        is_not_let_in(builder(daemon.uri(Driver::Test)).connect()).await;
        is_not_let_in(builder(daemon.tcp_uri(Driver::Test).unwrap()).connect()).await;
    });
}

#[test]
fn before_it_says_who_may_come_in() {
    let play = stops_while_connecting::<remote::AuthList>;
    scene("stopped::before_it_says_who_may_come_in", play);
}

#[test]
fn between_letting_in_and_opening() {
    let play = stops_while_connecting::<remote::ConnectSupportsFeature>;
    scene("stopped::between_letting_in_and_opening", play);
}

#[test]
fn while_it_opens() {
    let play = stops_while_connecting::<remote::ConnectOpen>;
    scene("stopped::while_it_opens", play);
}

#[test]
fn with_nothing_to_do() {
    scene("stopped::with_nothing_to_do", async |daemon| {
        for uri in [
            daemon.uri(Driver::Test),
            daemon.tcp_uri(Driver::Test).unwrap(),
        ] {
            let connection = builder(uri).connect().await.unwrap();
            daemon.pause().unwrap();
            is_silence(&*after(SILENCE, connection.closed()).await);
            let error = connection.hostname().await.unwrap_err();
            died_of_silence(&error);
            assert_eq!(error.execution(), Some(Execution::NotSent));
            daemon.resume().unwrap();
        }
    });
}

/// Whether a call was executed, nobody knows; whether it may be made again, we do.
#[test]
fn with_calls_on_their_way() {
    scene("stopped::with_calls_on_their_way", async |daemon| {
        let gate = Gate::at::<remote::DomainSuspend>(daemon.socket());
        let connection = builder(by(&gate.socket())).connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("test").await.unwrap();
        let changing = tokio::spawn({
            let domain = domain.clone();
            async move { domain.suspend().await }
        });
        stop_at(&gate, daemon).await;
        let impatient = connection.with_deadline(SILENCE / 3);
        let late = after(SILENCE / 3, impatient.hostname()).await.unwrap_err();
        assert!(late.is_timeout(), "{late:?}");
        let (changed, read) = after(SILENCE, async { tokio::join!(changing, domain.info()) }).await;
        let (changed, read) = (changed.unwrap().unwrap_err(), read.unwrap_err());
        for error in [&changed, &read] {
            died_of_silence(error);
            assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        }
        assert!(!changed.is_retryable() && read.is_retryable());
    });
}

#[test]
fn while_it_registers_events() {
    scene("stopped::while_it_registers_events", async |daemon| {
        let gate = Gate::at::<Register>(daemon.socket());
        let connection = builder(by(&gate.socket())).connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("test").await.unwrap();
        let subscribing = tokio::spawn(async move { domain.lifecycle_events().await });
        stop_at(&gate, daemon).await;
        let refused = after(SILENCE, subscribing).await.unwrap();
        died_of_silence(&refused.unwrap_err());
    });
}

#[test]
fn with_events_awaited() {
    scene("stopped::with_events_awaited", async |daemon| {
        let uri = daemon.uri(Driver::Test);
        let connection = builder(uri).connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("test").await.unwrap();
        let mut events = domain.lifecycle_events().await.unwrap();
        domain.suspend().await.unwrap();
        assert!(events.recv().await.is_ok());
        daemon.pause().unwrap();
        is_silence(&*ending(&mut events).await);
        // The stream is over, and the connection with it.
        assert!(events.recv().await.unwrap_err().is_end());
        assert!(connection.close_cause().is_some());
    });
}

async fn ending(events: &mut EventStream<LifecycleEvent>) -> Arc<CloseCause> {
    match after(SILENCE, events.recv()).await.unwrap_err() {
        EventError::Closed(cause) => cause,
        other => panic!("{other}"),
    }
}

#[test]
fn while_it_closes() {
    scene("stopped::while_it_closes", async |daemon| {
        let gate = Gate::at::<remote::ConnectClose>(daemon.socket());
        let connection = builder(by(&gate.socket())).connect().await.unwrap();
        let closing = tokio::spawn(connection.clone().close());
        stop_at(&gate, daemon).await;
        after(SILENCE, closing).await.unwrap();
        is_silence(&connection.close_cause().unwrap());
    });
}

/// Closing waits for the calls that are under way, but not for ever.
#[test]
fn before_it_answers_what_closing_waits_for() {
    let name = "stopped::before_it_answers_what_closing_waits_for";
    scene(name, async |daemon| {
        let uri = daemon.uri(Driver::Test);
        let unwatched = builder(uri).keepalive(Duration::ZERO, 0);
        let connection = unwatched.connect().await.unwrap();
        daemon.pause().unwrap();
        let call = tokio::spawn({
            let connection = connection.clone();
            async move { connection.hostname().await.unwrap_err() }
        });
        tokio::task::yield_now().await;
        after(CLOSE, connection.clone().close()).await;
        let error = call.await.unwrap();
        assert!(matches!(error.close_cause(), Some(CloseCause::Requested)));
    });
}

/// A connection that is to last asks again and again, each time as long as connecting may take.
#[test]
fn until_it_goes_on_a_lasting_connection_waits() {
    let name = "stopped::until_it_goes_on_a_lasting_connection_waits";
    scene(name, async |daemon| {
        let policy = Reconnect::default().first_delay(Duration::from_millis(10));
        let policy = policy.longest_delay(Duration::from_millis(50));
        let lasting = builder(daemon.uri(Driver::Test)).reconnect(policy);
        let connection = lasting.connect().await.unwrap();
        let domain = connection.lookup_domain_by_name("test").await.unwrap();
        let mut events = domain.lifecycle_events().await.unwrap();
        daemon.pause().unwrap();
        tokio::time::sleep(SILENCE + CONNECT).await;
        let patient = tokio::spawn(async move { domain.suspend().await });
        tokio::time::sleep(CONNECT).await;
        assert!(!patient.is_finished() && connection.close_cause().is_none());
        daemon.resume().unwrap();
        after(CONNECT, patient).await.unwrap().unwrap();
        assert!(matches!(events.recv().await, Err(EventError::Gap)));
        assert!(events.recv().await.is_ok());
        connection.close().await;
    });
}
