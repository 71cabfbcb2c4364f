//! Futures that are dropped before they are done.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, ConnectListAllDomainsFlags, DomainBlockJobAbortFlags,
    DomainBlockJobType, DomainCreateFlags, DomainDefineFlags, DomainDestroyFlags, DomainEventId,
    DomainShutdownFlags, DomainUndefineFlags, DomainXmlFlags,
};
use virtwire::schema::ProcedureSchema;
use virtwire::{Bandwidth, BlockJob, CloseCause, Connection, Disk, Domain, Procedure as _, remote};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::session::Request;
use virtwire_sim::socket::{Address, Listener};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, builder, callback_id, connected, domain};
use virtwire_tests::poll::polled;
use virtwire_tests::server::Server;

use crate::memory::measured;
use crate::{PLACES, ask, start_pull, started_pull};

type Ask = remote::ConnectSupportsFeature;

/// The number that is asked with.
fn number(request: &Request) -> i32 {
    request.args::<Ask>().unwrap().feature
}

/// Takes the places of ordinary calls by some that nobody waits for any more.
async fn occupy(connection: &Connection, peer: &mut Peer) -> Vec<Request> {
    let mut taken = Vec::new();
    for n in (0..).take(PLACES) {
        tokio::select! {
            answer = ask(connection, n) => panic!("{answer:?}"),
            request = peer.expect::<Ask>() => taken.push(request.unwrap().into_request()),
        }
    }
    taken
}

async fn guest(connection: &Connection, peer: &mut Peer) -> Domain {
    let lookup = connection.lookup_domain_by_name("guest");
    tokio::join!(lookup, peer.until::<remote::DomainLookupByName>())
        .0
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn connecting_dropped_at_any_poll_closes_the_byte_stream() {
    paused_deadline(async {
        for polls in 0.. {
            let (client, peer) = Peer::pair();
            let peer = tokio::spawn(peer.serve());
            let connect = Box::pin(builder().connect_with_io(client));
            let opened = polled(polls, connect).await.is_some();
            assert!(peer.await.unwrap().seen().calls <= 3);
            if opened {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn connecting_over_a_socket_dropped_at_any_poll_closes_the_socket() {
    virtwire_tests::deadline(async {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("socket"));
        let listener = Listener::bind(&address).unwrap();
        for polls in 1.. {
            let uri = listener.address().uri("test", "/default");
            let connect = Box::pin(polled(polls, builder().uri(uri).connect()));
            let serve = async { Peer::accept(&listener).await.unwrap().serve().await };
            // The peer serves until the client has gone.
            let opened = async { connect.await.map(|opened| drop(opened.unwrap())) };
            let (opened, peer) = tokio::join!(opened, serve);
            assert!(peer.seen().calls <= 3);
            if opened.is_some() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_dropped_at_any_poll_of_its_start_leaves_no_registration() {
    paused_deadline(async {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
        let (connection, mut peer) = connected().await;
        let served = tokio::spawn(async move {
            let mut counts = [0, 0];
            while let Some(request) = peer.request().await.unwrap() {
                counts[0] += usize::from(request.is::<Register>());
                counts[1] += usize::from(request.is::<Deregister>());
                peer.respond(&request).await;
            }
            counts
        });
        for polls in 0.. {
            let job = polled(polls, start_pull(&connection)).await;
            // Handles and their tasks are gone when everything has come to rest.
            sleep(Duration::from_secs(1)).await;
            assert_eq!(ask(&connection, 1).await.unwrap(), 1);
            if job.is_some() {
                break;
            }
        }
        sleep(Duration::from_secs(1)).await;
        drop(connection);
        let [registered, deregistered] = served.await.unwrap();
        assert!(registered >= 3);
        // One is held for as long as the connection lasts: a daemon may lose events when the last
        // registration goes.
        assert_eq!(deregistered, registered - 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_dropped_while_it_waits_is_not_sent() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let taken = occupy(&connection, &mut peer).await;
        for n in 0..100 {
            assert!(polled(1, ask(&connection, n)).await.is_none());
        }
        let wanted = ask(&connection, 1000);
        let answers = async {
            peer.echo(&taken[0]).await;
            let next = peer.expect::<Ask>().await.unwrap();
            assert_eq!(number(&next), 1000);
            peer.echo(&next).await;
        };
        assert_eq!(tokio::join!(wanted, answers).0.unwrap(), 1000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroy_dropped_while_it_waits_is_not_sent() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let guest = guest(&connection, &mut peer).await;
        let mut taken = occupy(&connection, &mut peer).await;
        tokio::select! {
            answer = guest.destroy(DomainDestroyFlags::empty()) => panic!("{answer:?}"),
            request = peer.expect::<remote::DomainDestroyFlags>() => {
                taken.push(request.unwrap().into_request());
            }
        }
        for _ in 0..10 {
            let destroy = guest.destroy(DomainDestroyFlags::empty());
            assert!(timeout(Duration::from_secs(1), destroy).await.is_err());
        }
        for request in &taken {
            peer.respond(request).await;
        }
        let (answer, next) = tokio::join!(ask(&connection, 7), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(number(&next), 7);
        // The lookup, what took the places, the one.
        assert_eq!(peer.seen().calls, 3 + 1 + taken.len() + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_dropped_when_it_was_sent_keeps_its_slot_until_it_is_answered() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let taken = occupy(&connection, &mut peer).await;
        let mut next = Box::pin(ask(&connection, 5));
        let waiting = timeout(Duration::from_secs(60), async {
            tokio::join!(&mut next, peer.request())
        });
        assert!(waiting.await.is_err());
        peer.echo(&taken[2]).await;
        let (answer, _) = tokio::join!(next, peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 5);
    })
    .await;
}

/// Drops `count` calls that were sent to a peer that answers them, at its own pace.
async fn drop_answered_calls(count: usize) {
    let (connection, peer) = connected().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let mut server = Server::new(peer);
        let _ = server.during(stopped).await;
        server
    });
    for _ in 0..count {
        let mut call = pin!(ask(&connection, 1));
        assert!(polled(1, call.as_mut()).await.is_none());
        // The driver sends it before it is dropped.
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&connection, 2).await.unwrap(), 2);
    stop.send(()).unwrap();
    let mut server = serving.await.unwrap();
    server.every_place_is_free(&connection).await;
    assert_eq!(server.into_peer().seen().calls, 3 + count + 1 + PLACES);
}

/// Drops `count` calls while the peer answers none.
async fn drop_waiting_calls(count: usize) {
    let (connection, mut peer) = connected().await;
    let taken = occupy(&connection, &mut peer).await;
    for _ in 0..count {
        assert!(polled(1, ask(&connection, 1)).await.is_none());
    }
    for request in &taken {
        peer.echo(request).await;
    }
    let (answer, _) = tokio::join!(ask(&connection, 2), peer.until::<Ask>());
    assert_eq!(answer.unwrap(), 2);
    Server::new(peer).every_place_is_free(&connection).await;
}

#[test]
fn ten_thousand_dropped_calls_leave_nothing_behind() {
    let few = measured(drop_answered_calls(100)).bytes_max;
    let many = measured(drop_answered_calls(10_000)).bytes_max;
    assert!(
        many < few + (64 << 10),
        "{few} bytes for a hundred, {many} for ten thousand"
    );

    let few = measured(drop_waiting_calls(100)).bytes_max;
    let many = measured(drop_waiting_calls(10_000)).bytes_max;
    assert!(
        many < few + (64 << 10),
        "{few} bytes for a hundred, {many} for ten thousand"
    );
}

/// Something to operate on.
struct Stage {
    connection: Connection,
    domain: Domain,
    disk: Disk,
    job: Option<BlockJob>,
}

impl Stage {
    async fn set(with_job: bool) -> (Self, Server) {
        let (connection, mut peer) = connected().await;
        let domain = guest(&connection, &mut peer).await;
        let job = match with_job {
            true => Some(started_pull(&connection, &mut peer).await),
            false => None,
        };
        let disk = domain.disk("vda");
        let stage = Self {
            connection,
            domain,
            disk,
            job,
        };
        (stage, Server::new(peer))
    }

    fn job(&self) -> &BlockJob {
        self.job.as_ref().unwrap()
    }
}

/// Drops an operation at each of its polls in turn, on a connection of its own each time, until it
/// gets to its end. After every one of them all of the connection works.
async fn dropped_at_any_poll<T>(with_job: bool, operation: impl AsyncFn(&Stage) -> T) {
    for polls in 0.. {
        let (stage, mut server) = Stage::set(with_job).await;
        let operation = Box::pin(polled(polls, operation(&stage)));
        let done = server.during_with(operation, tell_of_the_abort).await;
        drop(stage.job);
        server.during(sleep(Duration::from_secs(1))).await;
        server.every_place_is_free(&stage.connection).await;
        if done.is_some() {
            assert!(polls > 0, "it was never dropped");
            return;
        }
    }
}

/// A daemon that has aborted a job says so.
async fn tell_of_the_abort(peer: &mut Peer, request: &Request) {
    if request.is::<remote::DomainBlockJobAbort>() {
        let message = remote::DomainEventBlockJob2Msg {
            callback_id: callback_id(DomainEventId::BLOCK_JOB_2.0),
            dom: domain(),
            dst: "vda".into(),
            type_: DomainBlockJobType::PULL.0,
            status: ConnectDomainEventBlockJobStatus::CANCELED.0,
        };
        let said = peer.event::<remote::DomainEventBlockJob2>(&message).await;
        said.unwrap();
    }
}

/// A test for each operation.
macro_rules! dropped_at_any_poll {
    ($with_job:literal: $($name:ident: |$stage:ident| $operation:expr;)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            paused_deadline(dropped_at_any_poll($with_job, async |$stage: &Stage| {
                $operation.await.unwrap()
            }))
            .await;
        })*
    };
}

mod connection_dropped_at_any_poll {
    use super::*;

    dropped_at_any_poll! {
        false:
        call: |on| ask(&on.connection, 1);
        call_with_a_deadline: |on| {
            let hasty = on.connection.with_deadline(Duration::from_secs(3600));
            async move { ask(&hasty, 1).await }
        };
        call_raw: |on| {
            let is_ask = |schema: &&ProcedureSchema| schema.name == Ask::NAME;
            let schema = PROCEDURES.iter().find(is_ask).unwrap();
            on.connection.call_raw(schema, &[0, 0, 0, 1])
        };
        uri: |on| on.connection.uri();
        hostname: |on| on.connection.hostname();
        hypervisor: |on| on.connection.hypervisor();
        hypervisor_version: |on| on.connection.hypervisor_version();
        library_version: |on| on.connection.library_version();
        list: |on| on.connection.list_domains(ConnectListAllDomainsFlags::empty());
        list_with_status: |on| {
            on.connection.list_domains_with_status(ConnectListAllDomainsFlags::empty())
        };
        lookup_by_name: |on| on.connection.lookup_domain_by_name("guest");
        lookup_by_uuid: |on| on.connection.lookup_domain_by_uuid(on.domain.uuid());
        lookup_by_id: |on| on.connection.lookup_domain_by_id(1);
        lookup_network: |on| on.connection.lookup_network_by_name("net");
        lookup_storage_pool: |on| on.connection.lookup_storage_pool_by_name("pool");
        lookup_node_device: |on| on.connection.lookup_node_device_by_name("pci_0000_00_1f_2");
        lookup_secret: |on| on.connection.lookup_secret_by_uuid(on.domain.uuid());
        define: |on| on.connection.define_domain("<domain/>", DomainDefineFlags::empty());
        create: |on| on.connection.create_domain("<domain/>", DomainCreateFlags::empty());
    }
}

mod domain_dropped_at_any_poll {
    use super::*;

    dropped_at_any_poll! {
        false:
        create: |on| on.domain.create(DomainCreateFlags::empty());
        suspend: |on| on.domain.suspend();
        resume: |on| on.domain.resume();
        shutdown: |on| on.domain.shutdown(DomainShutdownFlags::empty());
        destroy: |on| on.domain.destroy(DomainDestroyFlags::empty());
        undefine: |on| on.domain.undefine(DomainUndefineFlags::empty());
        xml: |on| on.domain.xml(DomainXmlFlags::empty());
        disks: |on| on.domain.disks(DomainXmlFlags::empty());
        status: |on| on.domain.status();
        info: |on| on.domain.info();
        is_active: |on| on.domain.is_active();
        is_persistent: |on| on.domain.is_persistent();
    }
}

mod disk_dropped_at_any_poll {
    use super::*;

    dropped_at_any_poll! {
        false:
        info: |on| on.disk.info();
        job_info: |on| on.disk.job_info();
        set_job_speed: |on| on.disk.set_job_speed(Bandwidth::UNLIMITED);
        abort_job: |on| on.disk.abort_job(DomainBlockJobAbortFlags::empty());
        pull: |on| on.disk.pull().start();
        pull_to_a_base: |on| on.disk.pull().base("/base.img").start();
    }
}

mod job_dropped_at_any_poll {
    use super::*;

    dropped_at_any_poll! {
        true:
        info: |on| on.job().info();
        set_speed: |on| on.job().set_speed(Bandwidth::UNLIMITED);
        cancel: |on| on.job().cancel();
        wait: |on| async {
            let abort = on.disk.abort_job(DomainBlockJobAbortFlags::empty());
            let (outcome, aborted) = tokio::join!(on.job().wait(), abort);
            aborted.map(|()| outcome)
        };
        progress: |on| async {
            let mut progress = on.job().progress();
            progress.next().await.ok_or("the job is not over")
        };
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_of_the_connection_dropped_at_any_poll_does_not_bring_it_about() {
    paused_deadline(async {
        let (stage, mut server) = Stage::set(false).await;
        for polls in 0..4 {
            let waiting = polled(polls, stage.connection.closed());
            let waited = timeout(Duration::from_secs(1), server.during(waiting)).await;
            assert!(!matches!(waited, Ok(Some(_))));
            server.every_place_is_free(&stage.connection).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_dropped_at_any_poll_closes_all_the_same() {
    paused_deadline(async {
        for polls in 1.. {
            let (stage, mut server) = Stage::set(false).await;
            let closing = polled(polls, stage.connection.clone().close());
            let closed = server.during(closing).await;
            let cause = server.during(stage.connection.closed()).await;
            assert!(matches!(*cause, CloseCause::Requested));
            server.into_peer().until_hang_up().await.unwrap();
            if closed.is_some() {
                return;
            }
        }
    })
    .await;
}
