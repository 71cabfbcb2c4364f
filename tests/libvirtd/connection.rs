//! Connections to real daemons: every way there, the daemon's own limits, and its end.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::sleep;
use virtwire::constants::{ConnectListAllDomainsFlags, DomainDestroyFlags, DomainState, ErrorCode};
use virtwire::{CloseCause, Connection, Error, ErrorKind, Execution, Release, remote};
use virtwire_lab::{Daemon, Driver};
use virtwire_tests::{Stage, deadline, fleet};

async fn open(uri: &str) -> Connection {
    Connection::open(uri).await.unwrap()
}

/// The connection leads to the test driver and its one domain.
async fn shows_the_test_driver(connection: &Connection) {
    assert_eq!(connection.hypervisor().await.unwrap(), "TEST");
    let domains = connection
        .list_domains(ConnectListAllDomainsFlags::empty())
        .await
        .unwrap();
    assert_eq!(
        domains
            .iter()
            .map(|domain| domain.name())
            .collect::<Vec<_>>(),
        ["test"]
    );
}

#[tokio::test]
async fn unix_socket_leads_to_the_driver_that_the_uri_names() {
    deadline(async {
        let daemon = Daemon::start().unwrap();
        let test = open(&daemon.uri(Driver::Test)).await;
        shows_the_test_driver(&test).await;
        assert_eq!(test.uri().await.unwrap(), "test:///default");
        let qemu = open(&daemon.uri(Driver::Qemu)).await;
        assert_eq!(qemu.hypervisor().await.unwrap(), "QEMU");
        assert_eq!(qemu.uri().await.unwrap(), "qemu:///system");
        assert!(qemu.library_version().await.unwrap() >= Release::new(9, 0, 0));
        let hostname = daemon.virsh(Driver::Qemu, &["hostname"]).unwrap();
        assert_eq!(qemu.hostname().await.unwrap(), hostname.trim());
    })
    .await;
}

#[tokio::test]
async fn tcp_leads_to_the_same_daemon() {
    deadline(async {
        let daemon = Daemon::builder().tcp().start().unwrap();
        let connection = open(&daemon.tcp_uri(Driver::Test).unwrap()).await;
        shows_the_test_driver(&connection).await;
        connection.close().await;
    })
    .await;
}

#[tokio::test]
async fn session_daemon_is_reached_by_its_socket() {
    deadline(async {
        let daemon = Daemon::builder().session().start().unwrap();
        let connection = open(&daemon.uri(Driver::Qemu)).await;
        assert_eq!(connection.uri().await.unwrap(), "qemu:///session");
    })
    .await;
}

#[tokio::test]
async fn read_only_connections_are_refused_every_change() {
    deadline(async {
        let daemon = Daemon::start().unwrap();
        let socket = daemon.read_only_socket().unwrap();
        let by_socket = format!("test+unix:///default?socket={}", socket.display());
        // The socket makes a connection read-only, and so does the wish.
        for (uri, wish) in [(by_socket, false), (daemon.uri(Driver::Test), true)] {
            let connection = Connection::builder()
                .uri(uri)
                .read_only(wish)
                .connect()
                .await
                .unwrap();
            let domain = connection.lookup_domain_by_name("test").await.unwrap();
            assert_eq!(domain.status().await.unwrap().state, DomainState::RUNNING);
            let refused = domain
                .destroy(DomainDestroyFlags::empty())
                .await
                .unwrap_err();
            assert_eq!(
                refused.code(),
                Some(ErrorCode::OPERATION_DENIED),
                "{refused}"
            );
            assert_eq!(refused.execution(), Some(Execution::Rejected));
        }
    })
    .await;
}

#[tokio::test]
async fn driver_that_the_daemon_does_not_have_is_its_refusal() {
    deadline(async {
        let daemon = Daemon::start().unwrap();
        let uri = format!("nosuch+unix:///system?socket={}", daemon.socket().display());
        let error = Connection::open(&uri).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote, "{error:?}");
        assert_eq!(error.code(), Some(ErrorCode::NO_CONNECT), "{error}");
        assert_eq!(error.procedure(), Some("CONNECT_OPEN"));
    })
    .await;
}

#[tokio::test]
async fn every_one_of_many_calls_gets_its_own_answer() {
    deadline(async {
        let daemon = Daemon::start().unwrap();
        let connection = open(&fleet::uri(&daemon, 64)).await;
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let connection = connection.clone();
            tasks.spawn(async move {
                for call in 0..50 {
                    let name = fleet::name((task + call) % 64);
                    let domain = connection.lookup_domain_by_name(&name).await.unwrap();
                    assert_eq!(domain.name(), name);
                }
            });
        }
        tasks.join_all().await;
    })
    .await;
}

#[tokio::test]
async fn daemon_that_hangs_before_connecting_is_given_up_at_the_deadline() {
    deadline(async {
        let mut daemon = Daemon::start().unwrap();
        daemon.pause().unwrap();
        let wait = Duration::from_millis(500);
        let builder = Connection::builder()
            .uri(daemon.uri(Driver::Test))
            .connect_deadline(wait);
        let started = Instant::now();
        let error = builder.clone().connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(started.elapsed() < 10 * wait);
        daemon.resume().unwrap();
        let patient = builder.connect_deadline(Duration::from_secs(20));
        shows_the_test_driver(&patient.connect().await.unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn daemon_that_hangs_later_is_given_up_by_keepalive() {
    deadline(async {
        let mut daemon = Daemon::start().unwrap();
        let builder = Connection::builder().uri(daemon.uri(Driver::Test));
        let connection = builder
            .keepalive(Duration::from_millis(200), 2)
            .connect()
            .await
            .unwrap();
        daemon.pause().unwrap();
        let error = connection.hostname().await.unwrap_err();
        let cause = error.close_cause().unwrap();
        assert!(
            matches!(cause, CloseCause::KeepaliveTimeout(_)),
            "{cause:?}"
        );
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        daemon.resume().unwrap();
    })
    .await;
}

#[tokio::test]
async fn daemon_that_dies_fails_its_calls_at_once_and_lets_in_anew_afterwards() {
    deadline(async {
        let mut daemon = Daemon::start().unwrap();
        let connection = open(&daemon.uri(Driver::Test)).await;
        // Stopped, it takes the calls and answers none.
        daemon.pause().unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..10 {
            let connection = connection.clone();
            calls.spawn(async move { connection.hostname().await.unwrap_err() });
        }
        sleep(Duration::from_millis(100)).await;
        daemon.kill().unwrap();
        let killed = Instant::now();
        let executions = calls.join_all().await.into_iter().map(|error| {
            assert!(error.is_closed());
            error.execution().unwrap()
        });
        let sent = executions
            .filter(|it| *it == Execution::MaybeExecuted)
            .count();
        assert_eq!(sent, 4);
        assert!(killed.elapsed() < Duration::from_secs(5));
        assert_eq!(
            connection.hostname().await.unwrap_err().execution(),
            Some(Execution::NotSent)
        );

        daemon.restart().unwrap();
        shows_the_test_driver(&open(&daemon.uri(Driver::Test)).await).await;
    })
    .await;
}

#[tokio::test]
async fn closing_is_answered_by_the_daemon() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let last = tokio::spawn({
            let connection = stage.connection.clone();
            async move { connection.hostname().await }
        });
        tokio::task::yield_now().await;
        let started = Instant::now();
        stage.connection.clone().close().await;
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "nobody had to give up"
        );
        last.await.unwrap().unwrap();
        let cause = stage.connection.close_cause().unwrap();
        assert!(matches!(*cause, CloseCause::Requested), "{cause:?}");
    })
    .await;
}

/// The daemon gives a connection up after three seconds of silence. Four calls hang in a guest
/// that hangs; the connection must outlive that, since a fifth would make the daemon deaf.
///
/// A destroy waits too, ahead of the others but not before one of the four is answered: there is
/// no fifth place for it. A destroy over a connection of its own ends the jam.
#[tokio::test]
async fn calls_that_hang_in_the_guest_keep_the_connection_alive() {
    deadline(async {
        let daemon = Daemon::builder()
            .keepalive(Duration::from_secs(1), 2)
            .start()
            .unwrap();
        let stage = Stage::on(daemon, Driver::Qemu).await;
        let guest = stage.guest("hung", 1).await;
        let qemu = Pid::from_raw(stage.daemon.qemu_pids()[0]).unwrap();
        kill_process(qemu, Signal::STOP).unwrap();

        let mut hung = JoinSet::new();
        for _ in 0..8 {
            let disk = guest.disk();
            hung.spawn(async move { disk.info().await.map(drop) });
        }
        let destroy = tokio::spawn({
            let domain = guest.domain.clone();
            async move { domain.destroy(DomainDestroyFlags::empty()).await }
        });
        // Twice as long as the daemon would wait.
        sleep(Duration::from_secs(6)).await;
        assert!(stage.connection.close_cause().is_none());
        assert!(hung.try_join_next().is_none());
        assert!(!destroy.is_finished());

        let rescue = open(&stage.daemon.uri(Driver::Qemu)).await;
        let domain = guest.domain.with_connection(&rescue);
        let rescued = domain.destroy(DomainDestroyFlags::empty()).await;
        // Either may find that the guest has gone while it waited for just that.
        for destroyed in [rescued, destroy.await.unwrap()] {
            let gone = |error: &Error| {
                error.is_not_found() || error.has_code(ErrorCode::OPERATION_INVALID)
            };
            assert!(destroyed.as_ref().err().is_none_or(gone), "{destroyed:?}");
        }
        let answered = hung.join_all().await;
        assert!(answered.into_iter().all(|answer| answer.is_err()));
        assert!(stage.connection.close_cause().is_none());
    })
    .await;
}

#[tokio::test]
async fn five_calls_in_flight_make_the_daemon_give_up_the_connection() {
    deadline(async {
        let daemon = Daemon::builder()
            .keepalive(Duration::from_secs(1), 2)
            .start()
            .unwrap();
        let stage = Stage::on(daemon, Driver::Qemu).await;
        let guest = stage.guest("deaf", 1).await;
        let greedy = Connection::builder()
            .uri(stage.daemon.uri(Driver::Qemu))
            .max_in_flight(5);
        let greedy = greedy.connect().await.unwrap();
        let domain = guest.domain.with_connection(&greedy);
        let qemu = Pid::from_raw(stage.daemon.qemu_pids()[0]).unwrap();
        kill_process(qemu, Signal::STOP).unwrap();
        let mut hung = JoinSet::new();
        for _ in 0..5 {
            let disk = domain.disk("vda");
            hung.spawn(async move { disk.info().await.unwrap_err().is_closed() });
        }
        // This is why the default is four.
        assert!(hung.join_all().await.into_iter().all(|closed| closed));
        assert!(stage.connection.close_cause().is_none());
        kill_process(qemu, Signal::CONT).unwrap();
    })
    .await;
}

#[tokio::test]
async fn procedure_that_the_daemon_does_not_know_is_unsupported() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let refused = stage
            .connection
            .call::<virtwire::admin::ConnectGetLibVersion>(())
            .await;
        let error = refused.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RPC), "{error}");
        assert!(error.is_unsupported());
        // The connection has survived it.
        stage
            .connection
            .call::<remote::ConnectGetLibVersion>(())
            .await
            .unwrap();
    })
    .await;
}
