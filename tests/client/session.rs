//! A whole session, with a fault at every byte of what the daemon sends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use virtwire::constants::{ConnectDomainEventBlockJobStatus, DomainBlockJobType, DomainEventId};
use virtwire::{CloseCause, Error, Outcome, remote};
use virtwire_tests::fault::{Fault, Faulty};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Peer, builder, callback_id, domain};

use crate::{ask, start_pull};

/// What the client makes of the session.
#[derive(Debug, PartialEq)]
struct Transcript {
    answers: [i32; 3],
    outcome: Option<Outcome>,
    /// Whether the connection ended because the client closed it.
    closed_in_order: bool,
}

fn whole() -> Transcript {
    Transcript {
        answers: [1, 2, 3],
        outcome: Some(Outcome::Completed),
        closed_in_order: true,
    }
}

/// Opens, asks, asks twice at once, follows a job to its end, closes.
async fn session(fault: Fault) -> (Result<Transcript, Error>, usize) {
    let (client, peer) = Peer::pair();
    let peer = tokio::spawn(serve(peer));
    let transcript = talk(Faulty::new(client, fault)).await;
    (transcript, peer.await.unwrap())
}

async fn talk(io: Faulty<tokio::io::DuplexStream>) -> Result<Transcript, Error> {
    let builder = builder()
        .keepalive(Duration::from_secs(5), 2)
        .call_deadline(Duration::from_secs(20));
    let (connection, driver) = builder.connect_with_io(io).await?;
    tokio::spawn(driver);
    let first = ask(&connection, 1).await?;
    let (second, third) = tokio::join!(ask(&connection, 2), ask(&connection, 3));
    let answers = [first, second?, third?];
    let job = start_pull(&connection).await?;
    let outcome = timeout(Duration::from_secs(60), job.wait()).await.ok();
    connection.clone().close().await;
    let cause: Arc<CloseCause> = connection.closed().await;
    let closed_in_order = matches!(*cause, CloseCause::Requested);
    Ok(Transcript {
        answers,
        outcome,
        closed_in_order,
    })
}

/// The daemon's part: the job is over as soon as it has begun. Returns how many bytes it took.
async fn serve(mut peer: Peer) -> usize {
    let mut over = false;
    while let Some(request) = peer.request().await {
        if over && request.is::<remote::DomainGetBlockJobInfo>() {
            let none = remote::DomainGetBlockJobInfoRet::default();
            peer.reply::<remote::DomainGetBlockJobInfo>(&request, &none)
                .await;
            continue;
        }
        peer.respond(&request).await;
        if request.is::<remote::DomainBlockPull>() {
            over = true;
            peer.event::<remote::DomainEventBlockJob2>(&completed())
                .await;
        }
    }
    peer.bytes_sent()
}

fn completed() -> remote::DomainEventBlockJob2Msg<'static> {
    remote::DomainEventBlockJob2Msg {
        callback_id: callback_id(DomainEventId::BLOCK_JOB_2.0),
        dom: domain(),
        dst: "vda".into(),
        type_: DomainBlockJobType::PULL.0,
        status: ConnectDomainEventBlockJobStatus::COMPLETED.0,
    }
}

/// How many bytes the daemon sends in a session without a fault.
async fn length() -> usize {
    let (transcript, length) = session(Fault::SplitAt(usize::MAX)).await;
    assert_eq!(transcript.unwrap(), whole());
    length
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_one_by_one_make_the_same_session() {
    paused_deadline(async {
        assert_eq!(session(Fault::OneByOne).await.0.unwrap(), whole());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn split_at_any_byte_makes_the_same_session() {
    paused_deadline(async {
        for at in 0..length().await {
            assert_eq!(
                session(Fault::SplitAt(at)).await.0.unwrap(),
                whole(),
                "at {at}"
            );
        }
    })
    .await;
}

/// Every fault of this kind shows: as a closed connection, as a job out of sight, or at the least
/// as a connection that did not end in order.
async fn shows_at_any_byte(fault: impl Fn(usize) -> Fault) {
    for at in 0..length().await {
        match session(fault(at)).await.0 {
            Ok(transcript) => assert_ne!(transcript, whole(), "at {at}"),
            Err(error) => assert!(
                error.is_closed() || error.is_timeout(),
                "at {at}: {error:?}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_file_at_any_byte_ends_the_session() {
    paused_deadline(shows_at_any_byte(Fault::EndAt)).await;
}

#[tokio::test(start_paused = true)]
async fn reset_at_any_byte_ends_the_session() {
    paused_deadline(shows_at_any_byte(Fault::ResetAt)).await;
}

#[tokio::test(start_paused = true)]
async fn stall_at_any_byte_ends_the_session() {
    paused_deadline(async {
        // What is missing after the answer to the close is waited for by nobody.
        for at in 0..length().await {
            let (transcript, _) = session(Fault::StallAt(at)).await;
            match transcript {
                Ok(transcript) => assert_eq!(transcript.answers, [1, 2, 3], "at {at}"),
                Err(error) => {
                    assert!(
                        error.is_closed() || error.is_timeout(),
                        "at {at}: {error:?}"
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn wrong_byte_anywhere_neither_hangs_nor_panics() {
    paused_deadline(async {
        for at in 0..length().await {
            // What comes of it depends on the byte; that something comes of it does not.
            let _ = session(Fault::FlipAt(at)).await;
        }
    })
    .await;
}
