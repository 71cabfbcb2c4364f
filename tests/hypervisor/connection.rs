//! Connections: the ways to a daemon, its own limits, and how they are closed.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use virtwire::constants::{
    ConnectListAllDomainsFlags, DomainBlockJobAbortFlags, DomainDefineFlags, DomainDestroyFlags,
    DomainState, DomainUndefineFlags, DomainXmlFlags, ErrorCode,
};
use virtwire::{CloseCause, Connection, Domain, Error, ErrorKind, Execution, Release, remote};
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
            let builder = Connection::builder().uri(uri).read_only(wish);
            let connection = builder.connect().await.unwrap();
            let domain = connection.lookup_domain_by_name("test").await.unwrap();
            let mut events = domain.lifecycle_events().await.unwrap();
            let xml = domain.xml(DomainXmlFlags::empty()).await.unwrap();
            let disk = domain.disk("vda");
            let refusals = [
                domain.suspend().await,
                domain.destroy(DomainDestroyFlags::empty()).await,
                domain.undefine(DomainUndefineFlags::empty()).await,
                domain.xml(DomainXmlFlags::SECURE).await.map(drop),
                define(&connection, &xml).await.map(drop),
                disk.pull().start().await.map(drop),
                disk.abort_job(DomainBlockJobAbortFlags::empty()).await,
            ];
            for (number, refusal) in refusals.into_iter().enumerate() {
                is_forbidden(&refusal.expect_err(&format!("refusal {number}")));
            }
            // To watch is not to change anything, and nothing was changed.
            assert_eq!(domain.status().await.unwrap().state, DomainState::RUNNING);
            assert!(events.try_recv().is_none());
            let elsewhere = domain.with_connection(&stage.connection);
            elsewhere.suspend().await.unwrap();
            assert!(events.recv().await.is_ok());
            elsewhere.resume().await.unwrap();
        }
    })
    .await;
}

async fn define(connection: &Connection, xml: &str) -> Result<Domain, Error> {
    let no_flags = DomainDefineFlags::empty();
    connection.define_domain(xml, no_flags).await
}

/// The daemon lets nobody do this over a read-only connection.
pub(crate) fn is_forbidden(error: &Error) {
    assert_eq!(error.code(), Some(ErrorCode::OPERATION_DENIED), "{error}");
    assert_eq!(error.execution(), Some(Execution::Rejected));
    assert!(!error.is_auth() && !error.is_retryable());
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
