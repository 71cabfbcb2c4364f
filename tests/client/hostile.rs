//! Daemons that are broken or mean harm: a typed error, and no memory for what was only announced.

use tokio::time::{Duration, sleep, timeout};
use virtwire::{CloseCause, remote};
use virtwire_protocol::frame::FrameError;
use virtwire_protocol::header::{Header, HeaderError, MessageType, Serial, Status};
use virtwire_protocol::session::ProtocolError;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{
    Guest as _, builder, connected, connected_with, event_header, packet, reply_header,
};

use crate::memory::measured;
use crate::{ask, asker};

type Ask = remote::ConnectSupportsFeature;

/// More than any of these tests needs, and less than any of their peers announces.
const LITTLE: u64 = 512 << 10;

/// The length of the longest packet there may be.
const LONGEST: u32 = (32 << 20) + 4;

/// Sends bytes instead of a reply; the call fails with the cause that is returned.
async fn frame_error_of(bytes: &[u8]) -> FrameError {
    let (connection, mut peer) = connected().await;
    let call = asker(&connection, 1);
    peer.expect::<Ask>().await.unwrap();
    peer.send_raw(bytes).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    let Some(CloseCause::Frame(error)) = error.close_cause() else {
        panic!("{error:?}")
    };
    peer.until_hang_up().await.unwrap();
    *error
}

#[test]
fn length_that_no_packet_has_closes_at_once_and_takes_no_memory() {
    for length in [0_u32, 3, 27] {
        let memory = measured(async move {
            let error = frame_error_of(&length.to_be_bytes()).await;
            assert_eq!(
                error,
                FrameError::TooShort {
                    length: length as usize
                }
            );
        });
        assert!(memory.bytes_max < LITTLE, "{memory:?}");
    }
    for length in [
        (32 << 20) + 5,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        0xffff_ffff_u32,
    ] {
        let memory = measured(async move {
            let error = frame_error_of(&length.to_be_bytes()).await;
            assert!(matches!(error, FrameError::TooLong { .. }), "{error:?}");
        });
        assert!(memory.bytes_max < LITTLE, "{memory:?}");
    }
}

#[test]
fn longest_packet_takes_no_memory_before_its_bytes_come() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        let call = asker(&connection, 1);
        let request = peer.expect::<Ask>().await.unwrap();
        let header = reply_header(&request, Status::Ok).encode();
        peer.send_raw(&LONGEST.to_be_bytes()).await.unwrap();
        peer.send_raw(&header).await.unwrap();
        peer.send_raw(&[0; 1000]).await.unwrap();
        assert!(
            timeout(Duration::from_secs(1), peer.request())
                .await
                .is_err()
        );
        drop(peer);
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error.close_cause(), Some(CloseCause::EndOfFile)));
    });
    assert!(memory.bytes_max < LITTLE, "{memory:?}");
}

/// The longest packet is announced and so many bytes of it come.
async fn send_part_of_the_longest(bytes: usize) {
    let (connection, mut peer) = connected().await;
    let call = asker(&connection, 1);
    let request = peer.expect::<Ask>().await.unwrap();
    let header = reply_header(&request, Status::Ok).encode();
    peer.send_raw(&LONGEST.to_be_bytes()).await.unwrap();
    peer.send_raw(&header).await.unwrap();
    for _ in 0..bytes / 1024 {
        peer.send_raw(&[0; 1024]).await.unwrap();
    }
    drop(peer);
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error.close_cause(), Some(CloseCause::EndOfFile)));
}

#[test]
fn memory_is_bounded_by_the_bytes_that_have_come() {
    for bytes in [0, 1 << 10, 64 << 10, 1 << 20, 8 << 20] {
        let memory = measured(send_part_of_the_longest(bytes));
        // A buffer that grows is there twice for a moment, the new one with as much room again.
        let limit = LITTLE + 3 * bytes as u64;
        assert!(memory.bytes_max < limit, "{bytes}: {memory:?}");
    }
}

#[test]
fn many_half_packets_take_what_has_come_of_them() {
    const CONNECTIONS: u64 = 100;
    let memory = measured(async {
        let mut peers = Vec::new();
        for _ in 0..CONNECTIONS {
            let (connection, mut peer) = connected().await;
            let call = asker(&connection, 1);
            let request = peer.expect::<Ask>().await.unwrap();
            let header = reply_header(&request, Status::Ok).encode();
            peer.send_raw(&LONGEST.to_be_bytes()).await.unwrap();
            peer.send_raw(&header).await.unwrap();
            peer.send_raw(&[0; 1000]).await.unwrap();
            peers.push((peer, call));
        }
        sleep(Duration::from_secs(1)).await;
        for (peer, call) in peers {
            drop(peer);
            assert!(call.await.unwrap().unwrap_err().is_closed());
        }
    });
    // What a connection costs anyway, both ends of it; 32 MiB were announced on each.
    assert!(memory.bytes_max < CONNECTIONS * (128 << 10), "{memory:?}");
}

#[test]
fn longest_packets_in_a_row_are_not_kept() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        let event = event_header(remote::PROGRAM, 9999).encode();
        for _ in 0..6 {
            peer.send_raw(&LONGEST.to_be_bytes()).await.unwrap();
            peer.send_raw(&event).await.unwrap();
            let mut left = LONGEST as usize - 28;
            while left > 0 {
                let piece = left.min(64 << 10);
                peer.send_raw(&vec![0; piece]).await.unwrap();
                left -= piece;
            }
        }
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    });
    assert!(
        memory.bytes_max < LITTLE + 3 * u64::from(LONGEST),
        "{memory:?}"
    );
}

#[test]
fn length_inside_a_reply_takes_no_memory() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        let args = remote::ConnectListAllDomainsArgs {
            need_results: 1,
            flags: 0,
        };
        let call = tokio::spawn(connection.call::<remote::ConnectListAllDomains>(args));
        let request = peer
            .expect::<remote::ConnectListAllDomains>()
            .await
            .unwrap();
        // 16,384 domains, the most there may be, in no bytes.
        peer.send(&reply_header(&request, Status::Ok), &[0, 0, 0x40, 0])
            .await
            .unwrap();
        assert!(call.await.unwrap().unwrap().decode().is_err());
    });
    assert!(memory.bytes_max < LITTLE, "{memory:?}");
}

#[tokio::test(start_paused = true)]
async fn packet_of_an_unknown_type_closes() {
    paused_deadline(async {
        let mut unknown = packet(&event_header(remote::PROGRAM, 1), b"");
        unknown[19] = 7;
        let error = frame_error_of(&unknown).await;
        assert_eq!(
            error,
            FrameError::Header(HeaderError::UnknownMessageType(7))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn file_descriptors_that_are_not_counted_or_too_many_close() {
    paused_deadline(async {
        let kind = MessageType::ReplyWithFds;
        let header = Header {
            kind,
            ..event_header(remote::PROGRAM, 1)
        };
        assert_eq!(
            frame_error_of(&packet(&header, b"")).await,
            FrameError::MissingFdCount
        );
        let many = packet(&header, &[0xff; 4]);
        let error = frame_error_of(&many).await;
        assert_eq!(error, FrameError::TooManyFds { count: u32::MAX });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reply_that_answers_no_call_is_dropped() {
    paused_deadline(async {
        let (connection, mut peer) = connected().await;
        let call = asker(&connection, 1);
        let request = peer.expect::<Ask>().await.unwrap();
        let answer = reply_header(&request, Status::Ok);
        let other_serial = Header {
            serial: Serial::new(4711),
            ..answer
        };
        let other_program = Header {
            program: virtwire::qemu::PROGRAM,
            ..answer
        };
        for header in [other_serial, other_program] {
            peer.send(&header, &[0, 0, 0, 9]).await.unwrap();
        }
        peer.echo(&request).await;
        assert_eq!(call.await.unwrap().unwrap(), 1);
        // The same reply once more.
        peer.send(&answer, &[0, 0, 0, 9]).await.unwrap();
        let (answer, _) = tokio::join!(ask(&connection, 2), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 2);
    })
    .await;
}

#[test]
fn flood_of_replies_that_answer_no_call_closes() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        let call = asker(&connection, 1);
        let request = peer.expect::<Ask>().await.unwrap();
        let header = Header {
            serial: Serial::new(4711),
            ..reply_header(&request, Status::Ok)
        };
        let replies = packet(&header, &[0; 4]).repeat(1000);
        for _ in 0..100 {
            peer.send_raw(&replies).await.unwrap();
        }
        let error = call.await.unwrap().unwrap_err();
        let Some(CloseCause::Protocol(error)) = error.close_cause() else {
            panic!("{error:?}")
        };
        assert!(matches!(error, ProtocolError::UnmatchedReplies { .. }));
    });
    assert!(memory.bytes_max < LITTLE + 32 * 1000, "{memory:?}");
}

#[test]
fn flood_of_packets_of_streams_that_are_not_there_changes_nothing() {
    let memory = measured(async {
        let (connection, mut peer) = connected().await;
        for (kind, status) in [
            (MessageType::Stream, Status::Continue),
            (MessageType::Stream, Status::Ok),
            (MessageType::Stream, Status::Error),
            (MessageType::StreamHole, Status::Continue),
        ] {
            let header = Header {
                kind,
                status,
                ..event_header(remote::PROGRAM, 209)
            };
            let packets = packet(&header, b"").repeat(1000);
            for _ in 0..100 {
                peer.send_raw(&packets).await.unwrap();
            }
        }
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    });
    assert!(memory.bytes_max < LITTLE, "{memory:?}");
}

#[tokio::test(start_paused = true)]
async fn text_instead_of_packets_closes() {
    paused_deadline(async {
        let text = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        assert!(matches!(
            frame_error_of(text).await,
            FrameError::TooLong { .. }
        ));
    })
    .await;
}

#[tokio::test]
async fn flood_does_not_keep_other_tasks_from_running() {
    virtwire_tests::deadline(async {
        let (connection, mut peer) = connected_with(builder()).await;
        let flooding = tokio::spawn(async move {
            let events = packet(&event_header(remote::PROGRAM, 9999), b"").repeat(1000);
            loop {
                peer.send_raw(&events).await.unwrap();
            }
        });
        for _ in 0..10 {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(connection.close_cause().is_none());
        flooding.abort();
    })
    .await;
}
