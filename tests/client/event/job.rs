//! Events of block jobs: wanted, unwanted and wrong ones.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockJobType, DomainEventId,
};
use virtwire::xdr::{Encode, Str, Writer};
use virtwire::{
    BlockJob, CloseCause, Event, Outcome, Procedure, Program, VanishedReason, admin, lxc, qemu,
    remote,
};
use virtwire_protocol::header::{Header, MessageType, Status as HeaderStatus};
use virtwire_protocol::session::ProtocolError;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{
    Guest as _, Peer, callback_id, connected, domain, event_header, packet,
};

use crate::memory::measured;
use crate::{ask, asker, start_pull, started_pull};

type Ask = remote::ConnectSupportsFeature;
type BlockJobEvent = remote::DomainEventBlockJob2;

/// What the daemon says of a job on the disk that the guest has.
fn job_event(status: Status) -> remote::DomainEventBlockJob2Msg<'static> {
    remote::DomainEventBlockJob2Msg {
        callback_id: callback_id(DomainEventId::BLOCK_JOB_2.0),
        dom: domain(),
        dst: Str::from("vda"),
        type_: DomainBlockJobType::PULL.0,
        status: status.0,
    }
}

/// The job goes on, and another call gets its answer.
async fn all_is_well(job: &BlockJob, peer: &mut Peer) {
    let connection = job.disk().domain().connection();
    let (answer, _) = tokio::join!(ask(connection, 1), peer.until::<Ask>());
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(job.outcome(), None);
}

#[tokio::test(start_paused = true)]
async fn job_ends_as_its_event_says() {
    paused_deadline(async {
        for (status, outcome) in [
            (Status::COMPLETED, Outcome::Completed),
            (Status::CANCELED, Outcome::Cancelled),
        ] {
            let (connection, mut peer) = connected().await;
            let job = started_pull(&connection, &mut peer).await;
            all_is_well(&job, &mut peer).await;
            peer.event::<BlockJobEvent>(&job_event(status))
                .await
                .unwrap();
            assert_eq!(job.wait().await, outcome);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_before_the_answer_to_the_start_is_not_lost() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = tokio::spawn(async move { start_pull(&connection).await });
        let start = loop {
            let request = peer.request().await.unwrap().unwrap();
            if request.is::<remote::DomainBlockPull>() {
                break request;
            }
            peer.respond(&request).await;
        };
        peer.event::<BlockJobEvent>(&job_event(Status::COMPLETED))
            .await
            .unwrap();
        peer.respond(&start).await;
        // The daemon has no job any more.
        let info = peer
            .expect::<remote::DomainGetBlockJobInfo>()
            .await
            .unwrap();
        let none = remote::DomainGetBlockJobInfoRet::default();
        peer.reply_to::<remote::DomainGetBlockJobInfo>(info.route, &none)
            .await
            .unwrap();
        assert_eq!(job.await.unwrap().unwrap().wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_are_none_of_ours_are_ignored() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        let mut other = job_event(Status::COMPLETED);
        other.callback_id = 4711;
        peer.event::<BlockJobEvent>(&other).await.unwrap();
        let mut other = job_event(Status::COMPLETED);
        other.dst = Str::from("vdb");
        peer.event::<BlockJobEvent>(&other).await.unwrap();
        let mut other = job_event(Status::COMPLETED);
        other.type_ = DomainBlockJobType::COPY.0;
        peer.event::<BlockJobEvent>(&other).await.unwrap();
        // Cut short, empty, and of a kind that is to come.
        peer.send(
            &event_header(remote::PROGRAM, BlockJobEvent::NUMBER),
            &[0, 0, 0, 116],
        )
        .await
        .unwrap();
        peer.send(&event_header(remote::PROGRAM, BlockJobEvent::NUMBER), b"")
            .await
            .unwrap();
        for program in [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM, admin::PROGRAM] {
            for number in [0, -1, 1, 999_999] {
                peer.send(&event_header(program, number), b"from a newer daemon")
                    .await
                    .unwrap();
            }
        }
        all_is_well(&job, &mut peer).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_for_a_registration_that_was_given_up_is_ignored() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        drop(started_pull(&connection, &mut peer).await);
        for _ in 0..2 {
            peer.until::<remote::ConnectDomainEventCallbackDeregisterAny>()
                .await;
        }
        peer.event::<BlockJobEvent>(&job_event(Status::COMPLETED))
            .await
            .unwrap();
        let job = started_pull(&connection, &mut peer).await;
        all_is_well(&job, &mut peer).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn event_with_the_status_of_an_error_is_ignored() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        let mut body = BytesMut::new();
        job_event(Status::COMPLETED)
            .encode(&mut Writer::new(&mut body))
            .unwrap();
        let event = event_header(remote::PROGRAM, BlockJobEvent::NUMBER);
        for status in [HeaderStatus::Error, HeaderStatus::Unknown(7)] {
            peer.send(&Header { status, ..event }, &body).await.unwrap();
        }
        all_is_well(&job, &mut peer).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_a_job_are_asked_for_of_its_domain_only() {
    paused_deadline(async {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        let (connection, mut peer) = connected().await;
        let starting = tokio::spawn(async move { start_pull(&connection).await.map(drop) });
        peer.until::<Ask>().await;
        for _ in 0..2 {
            let register = peer.expect::<Register>().await.unwrap();
            assert_eq!(register.args.dom.as_ref().unwrap().uuid, domain().uuid);
            peer.respond(&register).await;
        }
        // The one that is held for as long as the connection lasts.
        let anchor = peer.expect::<Register>().await.unwrap();
        assert_eq!(anchor.args.dom.unwrap().uuid, [0; 16]);
        starting.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_jobs_share_the_registrations_of_their_domain() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let first = started_pull(&connection, &mut peer).await;
        let calls = peer.seen().calls;
        let second = started_pull(&connection, &mut peer).await;
        // Lookup, XML, a question and the start; no registration.
        assert_eq!(peer.seen().calls - calls, 4);
        drop(first);
        all_is_well(&second, &mut peer).await;
        peer.event::<BlockJobEvent>(&job_event(Status::COMPLETED))
            .await
            .unwrap();
        assert_eq!(second.wait().await, Outcome::Completed);
    })
    .await;
}

/// Sends a packet that no daemon may send; everybody is told which it was.
async fn is_fatal(header: Header, payload: &[u8], expected: ProtocolError) {
    let (connection, mut peer) = connected().await;
    let job = started_pull(&connection, &mut peer).await;
    let call = asker(&connection, 1);
    peer.expect::<Ask>().await.unwrap();
    peer.send(&header, payload).await.unwrap();
    let cause = connection.closed().await;
    let CloseCause::Protocol(error) = &*cause else {
        panic!("{cause:?}")
    };
    assert_eq!(*error, expected);
    assert!(call.await.unwrap().unwrap_err().is_closed());
    assert!(matches!(job.wait().await, Outcome::Vanished(_)));
    peer.until_hang_up().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_of_an_unknown_program_closes() {
    paused_deadline(async {
        for program in [Program::new(0x1234, 1), Program::new(0x2000_8086, 2)] {
            is_fatal(
                event_header(program, 1),
                b"",
                ProtocolError::UnknownProgram(program),
            )
            .await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn call_from_the_daemon_closes() {
    paused_deadline(async {
        for kind in [MessageType::Call, MessageType::CallWithFds] {
            let header = Header {
                kind,
                ..event_header(remote::PROGRAM, 1)
            };
            is_fatal(header, &[0; 4], ProtocolError::UnexpectedMessageType(kind)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn announced_file_descriptors_close() {
    paused_deadline(async {
        let kind = MessageType::ReplyWithFds;
        let header = Header {
            kind,
            ..event_header(remote::PROGRAM, Ask::NUMBER)
        };
        is_fatal(
            header,
            &[0, 0, 0, 1],
            ProtocolError::UnexpectedFds { count: 1 },
        )
        .await;
    })
    .await;
}

#[test]
fn flood_of_events_that_nobody_asked_for_changes_nothing() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        let header = event_header(remote::PROGRAM, BlockJobEvent::NUMBER);
        let events = packet(&header, &[0; 100]).repeat(1000);
        for _ in 0..200 {
            peer.send_raw(&events).await.unwrap();
        }
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    });
    assert!(memory.bytes_max < 1 << 20, "{memory:?}");
}

/// A wanted event with as many bytes after it as a newer daemon might add.
fn padded_event(padding: usize) -> Vec<u8> {
    let mut body = BytesMut::new();
    job_event(Status::READY)
        .encode(&mut Writer::new(&mut body))
        .unwrap();
    body.resize(body.len() + padding, 0);
    packet(&event_header(remote::PROGRAM, BlockJobEvent::NUMBER), &body)
}

#[tokio::test(start_paused = true)]
async fn follower_that_is_overrun_delays_no_reply_and_asks_again() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        peer.send_raw(&padded_event(0).repeat(10_000))
            .await
            .unwrap();
        all_is_well(&job, &mut peer).await;
        let before = Instant::now();
        let question = peer.until::<remote::DomainGetBlockJobInfo>().await;
        assert!(before.elapsed() < Duration::from_secs(1), "{question:?}");
        peer.event::<BlockJobEvent>(&job_event(Status::COMPLETED))
            .await
            .unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_whose_event_never_comes_has_vanished_without_one() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let job = started_pull(&connection, &mut peer).await;
        let info = peer
            .expect::<remote::DomainGetBlockJobInfo>()
            .await
            .unwrap();
        let none = remote::DomainGetBlockJobInfoRet::default();
        peer.reply_to::<remote::DomainGetBlockJobInfo>(info.route, &none)
            .await
            .unwrap();
        let peer = tokio::spawn(peer.serve());
        let Outcome::Vanished(evidence) = job.wait().await else {
            panic!("there was no event");
        };
        assert_eq!(evidence.reason, VanishedReason::NoEvent);
        drop((job, connection, evidence));
        peer.await.unwrap();
    })
    .await;
}

#[test]
fn events_before_the_answer_to_a_registration_are_bounded() {
    let memory = measured(async {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        let (connection, mut peer) = connected().await;
        let start = tokio::spawn(async move { start_pull(&connection).await.map(drop) });
        peer.until::<Ask>().await;
        peer.expect::<Register>().await.unwrap();
        for padding in [0, 1 << 20, 0, 1 << 20] {
            let event = padded_event(padding);
            for _ in 0..500 {
                peer.send_raw(&event).await.unwrap();
            }
        }
        drop(peer);
        assert!(start.await.unwrap().unwrap_err().is_closed());
    });
    assert!(memory.bytes_max < 8 << 20, "{memory:?}");
}
