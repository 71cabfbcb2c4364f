//! Streams of the simulated daemon: its limits, and what libvirt leaves to chance.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use virtwire::remote;
use virtwire_protocol::Procedure;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::session::Route;
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;
use virtwire_tests::raw::{Raw, decode, facts};
use virtwire_tests::volume::{contents, create, create_pool, download, noise, upload, upload_args};
use virtwire_xdr::IntoOwned;

/// A daemon with an active pool, and a client of it.
async fn stage() -> (Simulator, Raw) {
    let simulator = Simulator::builder().start();
    let mut raw = Raw::open(&simulator, "qemu:///system").await;
    create_pool(&mut raw, Path::new("/p")).await;
    (simulator, raw)
}

#[tokio::test(start_paused = true)]
async fn packets_before_the_stream_is_open_belong_to_nobody() {
    paused_deadline(async {
        let (_simulator, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let args = upload_args(&vol, 0, 0);
        let route = Route::new(
            remote::StorageVolUpload::PROGRAM,
            remote::StorageVolUpload::NUMBER,
            virtwire_protocol::header::Serial::new(77),
        );
        raw.data(route, b"early").await;
        raw.hole(route, 5).await;
        raw.start_as::<remote::StorageVolUpload>(route, &args).await;
        assert_eq!(raw.hear(route).await.0, MessageType::Reply);
        raw.data(route, b"in time").await;
        raw.finished(route).await;
        let route = download(&mut raw, &vol, 0).await;
        assert_eq!(contents(&mut raw, route).await.1, b"in time");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unconsumed_packets_are_requests_and_five_of_them_stop_the_daemon() {
    paused_deadline(async {
        let simulator = Simulator::builder()
            .on::<remote::DomainOpenChannel>(|call, _| {
                call.open_stream(|mut stream| async move {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    while let Some(body) = stream.receive().await {
                        if !matches!(body, virtwire_protocol::session::StreamBody::Data(_)) {
                            return stream.confirm();
                        }
                    }
                });
                Ok(())
            })
            .start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let args = remote::DomainOpenChannelArgs {
            dom: remote::NonnullDomain {
                name: "any".into(),
                uuid: [0; 16],
                id: 1,
            },
            name: None,
            flags: 0,
        };
        let (route, _) = raw.call::<remote::DomainOpenChannel>(&args).await;
        for packet in 0..4_u8 {
            raw.data(route, &[packet]).await;
        }
        raw.call::<remote::ConnectGetHostname>(&()).await;
        raw.data(route, &[4]).await;
        let hostname = raw.start::<remote::ConnectGetHostname>(&()).await;
        raw.hears_nothing().await;
        let waited = tokio::time::timeout(Duration::from_secs(120), raw.hear(hostname)).await;
        assert_eq!(waited.unwrap().1, Status::Ok);
        raw.finished(route).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_are_requests_still() {
    paused_deadline(async {
        let text = "x".repeat(300 << 10);
        let simulator = Simulator::builder()
            .on::<remote::ConnectGetHostname>(move |_, ()| {
                Ok(remote::ConnectGetHostnameRet {
                    hostname: text.clone().into(),
                })
            })
            .start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let mut routes = Vec::new();
        for _ in 0..20 {
            routes.push(raw.start::<remote::ConnectGetHostname>(&()).await);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        for route in routes {
            assert_eq!(raw.hear(route).await.2.len(), (300 << 10) + 4);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stream_left_open_at_the_end_of_the_connection_ends_with_it() {
    paused_deadline(async {
        let (simulator, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 0, 0).await;
        raw.data(route, b"half of it").await;
        raw.call::<remote::ConnectGetHostname>(&()).await;
        download(&mut raw, &vol, 0).await;
        drop(raw);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(simulator.connections(), 0);
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let route = download(&mut raw, &vol, 0).await;
        assert_eq!(contents(&mut raw, route).await.1, b"half of it");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_in_number() {
    paused_deadline(async {
        let (_simulator, mut raw) = stage().await;
        let vol = create(&mut raw, "v", 0).await;
        for _ in 0..256 {
            upload(&mut raw, &vol, 0, 0).await;
        }
        let args = upload_args(&vol, 0, 0);
        let route = raw.start::<remote::StorageVolUpload>(&args).await;
        let error = raw.hear_error(route, MessageType::Reply).await;
        assert_eq!(facts(&error).2, "too many streams");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn data_that_is_kept_is_bounded_and_there_is_no_space_left_then() {
    paused_deadline(async {
        let simulator = Simulator::builder().storage_limit(1 << 20).start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        create_pool(&mut raw, Path::new("/p")).await;
        let vol = create(&mut raw, "v", 8 << 30).await;
        let route = upload(&mut raw, &vol, 0, 1).await;
        raw.hole(route, 4 << 30).await;
        raw.data(route, &noise(1 << 20)).await;
        raw.data(route, &noise(1)).await;
        let error = raw.hear_error(route, MessageType::Stream).await;
        let text = "Unable to write /p/v: No space left on device";
        let expected = (ErrorCode::SYSTEM_ERROR, ErrorDomain::STREAMS, text);
        assert_eq!(facts(&error), expected);
        let args = remote::StorageVolDeleteArgs { vol, flags: 0 };
        raw.call::<remote::StorageVolDelete>(&args).await;
        let vol = create(&mut raw, "v", 0).await;
        let route = upload(&mut raw, &vol, 0, 1).await;
        raw.data(route, &noise(1 << 20)).await;
        raw.finished(route).await;
    })
    .await;
}

async fn running_domain(raw: &mut Raw) -> remote::NonnullDomain<'static> {
    let args = remote::DomainCreateXmlArgs {
        xml_desc: "<domain type='qemu'><name>guest</name><memory>1024</memory>\
                   <os><type>hvm</type></os><devices><console type='pty'/></devices></domain>"
            .into(),
        flags: 0,
    };
    let (_, payload) = raw.call::<remote::DomainCreateXml>(&args).await;
    let created: remote::DomainCreateXmlRet<'_> = decode(&payload);
    remote::NonnullDomain {
        name: "guest".into(),
        ..created.dom.into_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn screen_shows_a_picture_that_does_not_change() {
    paused_deadline(async {
        let (_simulator, mut raw) = stage().await;
        let args = remote::DomainScreenshotArgs {
            dom: running_domain(&mut raw).await,
            screen: 0,
            flags: 0,
        };
        let mut pictures = Vec::new();
        for _ in 0..2 {
            let (route, payload) = raw.call::<remote::DomainScreenshot>(&args).await;
            let ret: remote::DomainScreenshotRet<'_> = decode(&payload);
            assert_eq!(ret.mime.unwrap(), "image/x-portable-pixmap");
            pictures.push(contents(&mut raw, route).await.1);
            raw.finished(route).await;
        }
        assert!(pictures[0].starts_with(b"P6\n64 48\n255\n"));
        assert_eq!(pictures[0].len(), 13 + 64 * 48 * 3);
        assert_eq!(pictures[0], pictures[1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn console_sends_back_what_it_gets() {
    paused_deadline(async {
        let (_simulator, mut raw) = stage().await;
        let args = remote::DomainOpenConsoleArgs {
            dom: running_domain(&mut raw).await,
            dev_name: None,
            flags: 0,
        };
        let (route, _) = raw.call::<remote::DomainOpenConsole>(&args).await;
        for word in ["login: ", "root\n"] {
            raw.data(route, word.as_bytes()).await;
            let expected = (MessageType::Stream, Status::Continue, Bytes::from(word));
            assert_eq!(raw.hear(route).await, expected);
        }
        raw.finished(route).await;
    })
    .await;
}
