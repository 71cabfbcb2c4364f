//! Connections: the ways to a daemon, its own limits, and how they are closed.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;
use virtwire::constants::{ConnectListAllDomainsFlags, DomainDestroyFlags, DomainState, ErrorCode};
use virtwire::{CloseCause, Connection, Error, ErrorKind, Execution, Release, remote};
use virtwire_lab::Driver;
use virtwire_tests::stage::Settings;
use virtwire_tests::{deadline, fleet};

use crate::Stage;

pub(crate) async fn open(uri: &str) -> Connection {
    Connection::open(uri).await.unwrap()
}

/// The connection leads to the test driver and its one domain.
pub(crate) async fn shows_the_test_driver(connection: &Connection) {
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
        let stage = Stage::new(Driver::Test).await;
        let test = &stage.connection;
        shows_the_test_driver(test).await;
        assert_eq!(test.uri().await.unwrap(), "test:///default");
        let qemu = open(&stage.uri(Driver::Qemu)).await;
        assert_eq!(qemu.hypervisor().await.unwrap(), "QEMU");
        assert_eq!(qemu.uri().await.unwrap(), "qemu:///system");
        assert!(qemu.library_version().await.unwrap() >= Release::new(9, 0, 0));
        let hostname = stage.virsh(Driver::Qemu, &["hostname"]).await;
        assert_eq!(qemu.hostname().await.unwrap(), hostname.trim());
    })
    .await;
}

#[tokio::test]
async fn tcp_leads_to_the_same_daemon() {
    deadline(async {
        let stage = Stage::with(Settings::new().tcp(), Driver::Test).await;
        let connection = open(&stage.tcp_uri(Driver::Test).await).await;
        shows_the_test_driver(&connection).await;
        connection.close().await;
    })
    .await;
}

#[tokio::test]
async fn read_only_connections_are_refused_every_change() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let by_socket = stage.read_only_uri(Driver::Test);
        // The socket makes a connection read-only, and so does the wish.
        for (uri, wish) in [(by_socket, false), (stage.uri(Driver::Test), true)] {
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
        let stage = Stage::new(Driver::Test).await;
        let uri = format!("nosuch+unix:///system?socket={}", stage.socket().display());
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
        let stage = Stage::fleet(64).await;
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let connection = stage.connection.clone();
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
        let settings = Settings::new().keepalive(Duration::from_secs(1), 2);
        let stage = Stage::with(settings, Driver::Qemu).await;
        let guest = stage.guest("hung", 1).await;
        stage.freeze(&guest);

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

        let rescue = open(&stage.uri(Driver::Qemu)).await;
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
        let settings = Settings::new().keepalive(Duration::from_secs(1), 2);
        let stage = Stage::with(settings, Driver::Qemu).await;
        let guest = stage.guest("deaf", 1).await;
        let greedy = Connection::builder()
            .uri(stage.uri(Driver::Qemu))
            .max_in_flight(5);
        let greedy = greedy.connect().await.unwrap();
        let domain = guest.domain.with_connection(&greedy);
        stage.freeze(&guest);
        let mut hung = JoinSet::new();
        for _ in 0..5 {
            let disk = domain.disk("vda");
            hung.spawn(async move { disk.info().await.unwrap_err().is_closed() });
        }
        // This is why the default is four.
        assert!(hung.join_all().await.into_iter().all(|closed| closed));
        assert!(stage.connection.close_cause().is_none());
        stage.thaw(&guest);
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
