//! Calls and their answers.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use virtwire::constants::{DomainDestroyFlags, DomainEventId, ErrorCode};
use virtwire::xdr::Str;
use virtwire::{Connection, Error, ErrorKind, Execution, Procedure, remote, schema};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::header::Status;
use virtwire_protocol::session::Request;
use virtwire_tests::peer::{
    Guest as _, Peer, builder, connected, connected_with, event_header, reply_header,
};
use virtwire_tests::{deadline, paused_deadline};

use crate::reconnect::subscribed;
use crate::{PLACES, ask, asker};

/// The next `count` calls.
async fn requests(peer: &mut Peer, count: usize) -> Vec<Request> {
    let mut requests = Vec::new();
    while requests.len() < count {
        requests.push(peer.request().await.unwrap().unwrap());
    }
    requests
}

/// Whether the client stays silent for a minute, which on the paused clock costs nothing.
async fn is_silent(peer: &mut Peer) -> bool {
    timeout(Duration::from_secs(60), peer.request())
        .await
        .is_err()
}

fn schema_of<P: Procedure>() -> &'static schema::ProcedureSchema {
    PROCEDURES
        .iter()
        .find(|schema| schema.name == P::NAME)
        .unwrap()
}

#[tokio::test]
async fn replies_in_any_order_reach_their_callers() {
    deadline(async {
        let (connection, mut peer) = connected_with(builder().max_in_flight(64 + 1)).await;
        for round in 0..8 {
            let askers: Vec<_> = (0..64)
                .map(|n| asker(&connection, round * 64 + n))
                .collect();
            let requests = requests(&mut peer, 64).await;
            // 64 and 37 have no common divisor, so every reply comes once.
            for step in 0..64 {
                peer.echo(&requests[step * 37 % 64]).await;
            }
            for (n, asker) in (0..).zip(askers) {
                assert_eq!(asker.await.unwrap().unwrap(), round * 64 + n);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn next_call_is_sent_when_one_in_flight_was_answered() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let askers: Vec<_> = (0..4).map(|n| asker(&connection, n)).collect();
        let first = requests(&mut peer, PLACES).await;
        assert!(is_silent(&mut peer).await);
        peer.echo(&first[1]).await;
        let next = peer.request().await.unwrap().unwrap();
        for request in [&first[0], &first[2], &next] {
            peer.echo(request).await;
        }
        for (n, asker) in (0..).zip(askers) {
            assert_eq!(asker.await.unwrap().unwrap(), n);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_sent_in_the_order_in_which_they_came() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        // More than there is room for in the queue.
        let askers: Vec<_> = (0..200).map(|n| asker(&connection, n)).collect();
        for n in 0..200 {
            let request = peer
                .expect::<remote::ConnectSupportsFeature>()
                .await
                .unwrap();
            assert_eq!(request.args.feature, n);
            peer.echo(&request).await;
        }
        for (n, asker) in (0..).zip(askers) {
            assert_eq!(asker.await.unwrap().unwrap(), n);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_call_less_is_in_flight_than_the_daemon_takes() {
    paused_deadline(async {
        // Of the places one is kept, unless there is but one.
        for (takes, ordinary) in [(1, 1), (2, 1), (3, 1), (4, 2), (10, 8)] {
            let (connection, mut peer) = connected_with(builder().max_client_requests(takes)).await;
            let _askers: Vec<_> = (0..20).map(|n| asker(&connection, n)).collect();
            requests(&mut peer, ordinary).await;
            assert!(is_silent(&mut peer).await);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroy_has_a_place_of_its_own_and_overtakes_the_calls_that_wait() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let (domain, _) = tokio::join!(
            connection.lookup_domain_by_name("guest"),
            peer.until::<remote::DomainLookupByName>()
        );
        let domain = domain.unwrap();
        let askers: Vec<_> = (0..200).map(|n| asker(&connection, n)).collect();
        let first = requests(&mut peer, PLACES).await;
        let destroy = || {
            let domain = domain.clone();
            tokio::spawn(async move { domain.destroy(DomainDestroyFlags::empty()).await })
        };
        let mut destroys = vec![destroy()];
        let reserved = peer.expect::<remote::DomainDestroyFlags>().await.unwrap();
        // There is one such place. The next waits, but not behind the others.
        destroys.push(destroy());
        assert!(is_silent(&mut peer).await);
        peer.echo(&first[0]).await;
        let next = peer.expect::<remote::DomainDestroyFlags>().await.unwrap();
        peer.respond(&reserved).await;
        peer.respond(&next).await;
        for destroy in destroys {
            destroy.await.unwrap().unwrap();
        }
        for request in &first[1..] {
            peer.echo(request).await;
        }
        let peer = tokio::spawn(peer.serve());
        for (n, asker) in (0..).zip(askers) {
            assert_eq!(asker.await.unwrap().unwrap(), n);
        }
        drop((connection, domain));
        peer.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroy_does_not_wait_behind_registrations_of_events() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let _events = subscribed(&connection, &mut peer).await;
        let (domain, _) = tokio::join!(
            connection.lookup_domain_by_name("guest"),
            peer.until::<remote::DomainLookupByName>()
        );
        let domain = domain.unwrap();
        let _askers: Vec<_> = (0..3).map(|n| asker(&connection, n)).collect();
        requests(&mut peer, PLACES).await;
        // They wait for a place, as the registry's calls and not in the queue of calls.
        let many = connection.events().events((20..30).map(DomainEventId));
        let _subscribing = tokio::spawn(many.subscribe());
        assert!(is_silent(&mut peer).await);
        let destroy =
            tokio::spawn(async move { domain.destroy(DomainDestroyFlags::empty()).await });
        let request = peer.expect::<remote::DomainDestroyFlags>().await.unwrap();
        peer.respond(&request).await;
        destroy.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadline_knows_whether_the_call_was_sent() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let hasty = connection.with_deadline(Duration::from_secs(1));
        let askers: Vec<_> = (0..5).map(|n| asker(&hasty, n)).collect();
        let sent = requests(&mut peer, PLACES).await;
        let mut errors = Vec::new();
        for asker in askers {
            errors.push(asker.await.unwrap().unwrap_err());
        }
        assert!(errors.iter().all(Error::is_timeout));
        for (error, request) in errors.iter().zip(&sent) {
            assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
            assert_eq!(error.serial(), Some(request.route.serial.get()));
        }
        for error in &errors[PLACES..] {
            assert_eq!(error.execution(), Some(Execution::NotSent));
            assert_eq!(error.serial(), None);
        }
        // And it stays so.
        for request in &sent {
            peer.echo(request).await;
        }
        assert!(is_silent(&mut peer).await);
    })
    .await;
}

#[tokio::test]
async fn error_names_what_the_call_was_about() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let lookup = connection.lookup_domain_by_name("guest");
        let (guest, _) = tokio::join!(lookup, peer.until::<remote::DomainLookupByName>());
        let guest = guest.unwrap();
        let refusing = async {
            for _ in 0..2 {
                let request = peer.request().await.unwrap().unwrap();
                peer.refuse(&request, ErrorCode::OPERATION_INVALID).await;
            }
        };
        let calls = async {
            let of_guest = guest.suspend().await.unwrap_err();
            (of_guest, guest.disk("vda").info().await.unwrap_err())
        };
        let ((of_guest, of_disk), ()) = tokio::join!(calls, refusing);
        assert_eq!(of_guest.object(), Some("guest"));
        assert!(of_guest.to_string().starts_with("DOMAIN_SUSPEND (guest): "));
        assert_eq!(of_disk.object(), Some("vda of guest"));
        assert_eq!(of_disk.procedure(), Some("DOMAIN_GET_BLOCK_INFO"));
    })
    .await;
}

#[tokio::test]
async fn remote_error_arrives_in_full() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let asker = asker(&connection, 1);
        let request = peer.request().await.unwrap().unwrap();
        peer.refuse(&request, ErrorCode::NO_DOMAIN).await;
        let error = asker.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN));
        assert_eq!(error.procedure(), Some("CONNECT_SUPPORTS_FEATURE"));
        assert_eq!(error.execution(), Some(Execution::Rejected));
        assert!(error.is_not_found());
    })
    .await;
}

/// Answers one call wrongly; that call fails and the next succeeds.
async fn wrong_reply_fails_its_call_alone(status: Status, procedure_offset: i32, payload: &[u8]) {
    let (connection, mut peer) = connected().await;
    let wronged = asker(&connection, 1);
    let request = peer.request().await.unwrap().unwrap();
    let mut header = reply_header(&request, status);
    header.procedure += procedure_offset;
    peer.send(&header, payload).await.unwrap();
    let error = wronged.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_ne!(error.execution(), Some(Execution::NotSent));
    let (answer, _) = tokio::join!(
        ask(&connection, 2),
        peer.until::<remote::ConnectSupportsFeature>()
    );
    assert_eq!(answer.unwrap(), 2);
}

#[tokio::test]
async fn reply_from_another_procedure_fails_that_call_alone() {
    deadline(wrong_reply_fails_its_call_alone(Status::Ok, 1, &[0; 4])).await;
}

#[tokio::test]
async fn reply_with_a_status_of_streams_or_of_nothing_fails_that_call_alone() {
    deadline(async {
        for status in [Status::Continue, Status::Unknown(3), Status::Unknown(-1)] {
            wrong_reply_fails_its_call_alone(status, 0, &[0; 4]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn reply_that_cannot_be_decoded_fails_that_call_alone() {
    deadline(async {
        for payload in [&[][..], &[0; 3]] {
            wrong_reply_fails_its_call_alone(Status::Ok, 0, payload).await;
        }
    })
    .await;
}

#[tokio::test]
async fn error_that_cannot_be_decoded_fails_that_call_alone() {
    deadline(async {
        // A message of 4 GiB after code and domain.
        let endless = [&[0; 8][..], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]].concat();
        for payload in [&[][..], &[0; 7], &endless] {
            wrong_reply_fails_its_call_alone(Status::Error, 0, payload).await;
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_after_a_reply_are_ignored() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let asker = asker(&connection, 1);
        let request = peer.request().await.unwrap().unwrap();
        let header = reply_header(&request, Status::Ok);
        peer.send(&header, b"\0\0\0\x07from a newer daemon")
            .await
            .unwrap();
        assert_eq!(asker.await.unwrap().unwrap(), 7);
    })
    .await;
}

/// The call fails before anything is sent.
async fn is_refused_locally<P: Procedure>(connection: &Connection, args: P::Args<'_>) {
    let error = connection.call::<P>(args).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert_eq!(error.execution(), Some(Execution::NotSent));
    assert_eq!(error.procedure(), Some(P::NAME));
}

#[tokio::test]
async fn arguments_that_cannot_be_encoded_are_not_sent() {
    deadline(async {
        let (connection, peer) = connected().await;
        let peer = tokio::spawn(peer.serve());
        let long = "x".repeat(4 << 20) + "x";
        let lookup = |name| remote::DomainLookupByNameArgs { name };
        type Lookup = remote::DomainLookupByName;
        is_refused_locally::<Lookup>(&connection, lookup(Str::from(&long))).await;
        is_refused_locally::<Lookup>(&connection, lookup(Str::from("a\0b"))).await;
        // Every string is within its bound, the packet is not.
        let keys: Vec<_> = (0..9).map(|_| Str::from(&long[..4 << 20])).collect();
        let args = remote::DomainAuthorizedSshKeysSetArgs {
            dom: virtwire_tests::peer::domain(),
            user: Str::from("root"),
            keys,
            flags: 0,
        };
        is_refused_locally::<remote::DomainAuthorizedSshKeysSet>(&connection, args).await;
        assert_eq!(ask(&connection, 1).await.unwrap(), 1);
        drop(connection);
        // Three to open the connection, and the one that was fine.
        assert_eq!(peer.await.unwrap().seen().calls, 4);
    })
    .await;
}

#[tokio::test]
async fn procedure_that_opens_a_stream_is_not_sent() {
    deadline(async {
        let (connection, peer) = connected().await;
        let peer = tokio::spawn(peer.serve());
        let schema = schema_of::<remote::StorageVolDownload>();
        let error = connection.call_raw(schema, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.execution(), Some(Execution::NotSent));
        drop(connection);
        assert_eq!(peer.await.unwrap().seen().calls, 3);
    })
    .await;
}

#[tokio::test]
async fn raw_call_takes_and_gives_xdr() {
    deadline(async {
        let (connection, peer) = connected().await;
        let peer = tokio::spawn(peer.serve());
        let schema = schema_of::<remote::ConnectSupportsFeature>();
        let reply = connection.call_raw(schema, &[0, 0, 1, 0]).await.unwrap();
        assert_eq!(reply.body, [0, 0, 1, 0].as_slice());
        drop(connection);
        peer.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_deadline_is_kept_and_the_late_reply_dropped() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let hasty = connection.with_deadline(Duration::from_secs(5));
        let started = Instant::now();
        let error = ask(&hasty, 1).await.unwrap_err();
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.execution(), Some(Execution::MaybeExecuted));
        assert_eq!(error.elapsed(), Some(Duration::from_secs(5)));
        let late = peer.request().await.unwrap().unwrap();
        peer.echo(&late).await;
        let (answer, _) = tokio::join!(
            ask(&hasty, 2),
            peer.until::<remote::ConnectSupportsFeature>()
        );
        assert_eq!(answer.unwrap(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_deadline_of_the_builder_spares_connecting_and_can_be_lifted() {
    paused_deadline(async {
        let hasty = builder().call_deadline(Duration::from_secs(1));
        let (client, mut peer) = Peer::pair();
        let slowly = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            peer.shake_hands().await.unwrap();
        };
        let (opened, ()) = tokio::join!(hasty.connect_with_io(client), slowly);
        let (connection, driver) = opened.unwrap();
        tokio::spawn(driver);
        assert!(ask(&connection, 1).await.unwrap_err().is_timeout());
        let patient = asker(&connection.with_deadline(None), 2);
        assert!(is_silent_after_two(&mut peer).await);
        assert!(!patient.is_finished());
    })
    .await;
}

/// Whether two calls come and then nothing for a minute.
async fn is_silent_after_two(peer: &mut Peer) -> bool {
    requests(peer, 2).await;
    is_silent(peer).await
}

#[tokio::test]
async fn writing_never_keeps_the_client_from_reading() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let name = "x".repeat(4 << 20);
        let args = remote::DomainLookupByNameArgs {
            name: Str::from(&name),
        };
        let mut calls = Vec::new();
        for _ in 0..4 {
            let call = connection.call::<remote::DomainLookupByName>(args.clone());
            calls.push(tokio::spawn(call));
        }
        // The peer reads nothing until the client has read 16 MiB.
        let event = event_header(remote::PROGRAM, 9999);
        for _ in 0..16 {
            peer.send(&event, &[0; 1 << 20]).await.unwrap();
        }
        let peer = tokio::spawn(peer.serve());
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().decode().unwrap().dom.id, 1);
        }
        drop(connection);
        peer.await.unwrap();
    })
    .await;
}
