//! Streams as libvirtd has them, packet by packet.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use virtwire::{Release, remote};
use virtwire_lab::Driver;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::session::Route;
use virtwire_tests::deadline;
use virtwire_tests::raw::{Raw, facts};
use virtwire_tests::volume::{
    contents, create, create_pool, download, download_args, noise, upload, upload_args,
};

use crate::Stage;

const PACKET: usize = 262_120;

const OVER: (MessageType, Status, Bytes) = (MessageType::Stream, Status::Ok, Bytes::new());

/// A daemon with an active pool, and a client of it.
async fn stage() -> (Stage, Raw) {
    let stage = Box::pin(Stage::new(Driver::Qemu)).await;
    let mut raw = Raw::connect(&stage.socket(), "qemu:///system").await;
    create_pool(&mut raw, &stage.images_dir().join("pool")).await;
    (stage, raw)
}

/// Whether the daemon is of the release that the simulator imitates also in what no client of ours
/// has it do; others differ there. A test that is not for others says so.
async fn is_imitated(stage: &Stage) -> bool {
    let release = stage.connection.library_version().await.unwrap();
    let imitated = release < Release::new(9, 1, 0);
    if !imitated {
        // Past the capture of what tests print.
        let note = "NOT RUN: what libvirt 9.0.0 does when it is fed what it does not expect";
        writeln!(std::io::stderr(), "{note}; this is {release}").unwrap();
    }
    imitated
}

#[tokio::test]
async fn packets_are_cut_as_libvirtd_cuts_them_and_nothing_is_the_end() {
    deadline(async {
        let (stage, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let sent = noise(2 * 262_144 + 1000);
        let route = upload(&mut raw, &vol, 0, 0).await;
        for part in sent.chunks(PACKET) {
            raw.data(route, part).await;
        }
        raw.finished(route).await;

        let route = download(&mut raw, &vol, 0).await;
        let (lengths, got) = contents(&mut raw, route).await;
        if stage.connection.library_version().await.unwrap() < Release::new(12, 0, 0) {
            // What is read of the file in one piece does not fit into one packet.
            assert_eq!(lengths, [262_120, 24, 262_120, 24, 1000]);
        } else {
            assert_eq!(lengths, [262_120, 262_120, 1048]);
        }
        assert_eq!(got, sent);
        raw.hears_nothing().await;
        raw.finished(route).await;
        // Whatever comes for it now is dropped.
        raw.finish(route).await;
        raw.data(route, b"late").await;
        raw.hears_nothing().await;
        raw.call::<remote::ConnectGetHostname>(&()).await;
    })
    .await;
}

#[tokio::test]
async fn holes_are_told_apart_from_data() {
    deadline(async {
        let (_stage, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 0, 1).await;
        raw.hole(route, 8192).await;
        raw.data(route, &noise(5000)).await;
        raw.hole(route, 1 << 30).await;
        raw.finished(route).await;

        let route = download(&mut raw, &vol, 1).await;
        let (lengths, got) = contents(&mut raw, route).await;
        // Data ends where a block of the file system ends.
        assert_eq!(lengths, [-8192, 8192, 8192 - 5000 - (1 << 30)]);
        assert_eq!(got[..5000], noise(5000));
        assert_eq!(got[5000..], [0; 3192]);
        raw.finished(route).await;
    })
    .await;
}

#[tokio::test]
async fn upload_past_its_length_fails_and_is_silent_afterwards() {
    deadline(async {
        let (stage, mut raw) = stage().await;
        // libvirt 11.3.0 dies of it.
        if !is_imitated(&stage).await {
            return;
        }
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 1000, 0).await;
        raw.data(route, &noise(1500)).await;
        let error = raw.hear_error(route, MessageType::Stream).await;
        let text = "cannot write to stream: No space left on device";
        let expected = (ErrorCode::SYSTEM_ERROR, ErrorDomain::STREAMS, text);
        assert_eq!(facts(&error), expected);
        assert_eq!(error.int1, 28);
        raw.data(route, &noise(10)).await;
        raw.finish(route).await;
        raw.abort(route).await;
        raw.hears_nothing().await;

        // What came with too much may be lost with it.
        let route = download(&mut raw, &vol, 0).await;
        let got = contents(&mut raw, route).await.1;
        assert!(noise(1000).starts_with(&got));
        raw.finished(route).await;
    })
    .await;
}

#[tokio::test]
async fn hole_that_was_not_announced_ends_the_connection() {
    deadline(async {
        let (stage, mut raw) = stage().await;
        // libvirt 11.3.0 then says nothing more.
        if !is_imitated(&stage).await {
            return;
        }
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 0, 0).await;
        raw.hole(route, 4096).await;
        assert!(raw.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn hole_that_fails_is_answered_as_a_reply() {
    deadline(async {
        let (_stage, mut raw) = stage().await;
        for length in [0, -1, i64::MIN] {
            let vol = create(&mut raw, &format!("v{length}"), 0).await;
            let route = upload(&mut raw, &vol, 0, 1).await;
            raw.hole(route, length).await;
            let error = raw.hear_error(route, MessageType::Reply).await;
            // By then libvirt has forgotten why.
            let text = "Library function returned error but did not set virError";
            let expected = (ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, text);
            assert_eq!(facts(&error), expected);
            raw.finish(route).await;
            raw.hears_nothing().await;
        }
        // None of them has kept its slot.
        raw.call::<remote::ConnectGetHostname>(&()).await;
    })
    .await;
}

#[tokio::test]
async fn aborted_streams_are_confirmed_after_what_was_sent() {
    deadline(async {
        let (_stage, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 0, 0).await;
        raw.data(route, &noise(600_000)).await;
        raw.abort(route).await;
        assert_eq!(raw.hear(route).await, OVER);

        let route = download(&mut raw, &vol, 0).await;
        raw.abort(route).await;
        let mut data = 0;
        loop {
            match raw.hear(route).await {
                (MessageType::Stream, Status::Continue, payload) => data += payload.len(),
                other => break assert_eq!(other, OVER),
            }
        }
        // One packet waits to be written, and others are in the socket's buffer; not the whole.
        assert!(data < 600_000, "{data}");
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn each_download_has_one_packet_waiting_and_hinders_no_other() {
    deadline(async {
        let (_stage, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let sent = noise(3 << 20);
        let route = upload(&mut raw, &vol, 0, 0).await;
        raw.data(route, &sent).await;
        raw.finished(route).await;
        // Nothing is read for a while: no more than a packet of each waits in the daemon.
        let mut routes = Vec::new();
        for _ in 0..3 {
            let args = download_args(&vol, 0);
            routes.push(raw.start::<remote::StorageVolDownload>(&args).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut got = vec![Vec::new(); 3];
        let mut ended = 0;
        while ended < 3 {
            let frame = raw.next().await.unwrap();
            let route = Route::of(&frame.header);
            let which = routes.iter().position(|it| *it == route).unwrap();
            if frame.header.kind == MessageType::Stream {
                ended += usize::from(frame.payload.is_empty());
                got[which].extend(frame.payload);
            }
        }
        assert!(got.iter().all(|data| *data == sent));
    })
    .await;
}

#[tokio::test]
async fn serial_of_a_live_stream_that_is_used_again_harms_neither() {
    deadline(async {
        let (_stage, mut raw) = stage().await;
        let (one, two) = (
            create(&mut raw, "one", 0).await,
            create(&mut raw, "two", 0).await,
        );
        let route = upload(&mut raw, &one, 0, 0).await;
        let args = upload_args(&two, 0, 0);
        raw.start_as::<remote::StorageVolUpload>(route, &args).await;
        assert_eq!(raw.hear(route).await.0, MessageType::Reply);
        // The older one gets what comes, for as long as it is there.
        raw.data(route, b"first").await;
        raw.finished(route).await;
        raw.data(route, b"second").await;
        raw.finished(route).await;
        for (vol, expected) in [(&one, "first"), (&two, "second")] {
            let route = download(&mut raw, vol, 0).await;
            assert_eq!(contents(&mut raw, route).await.1, expected.as_bytes());
            raw.finished(route).await;
        }
    })
    .await;
}
