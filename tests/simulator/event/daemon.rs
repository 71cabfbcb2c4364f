//! Events of the daemon itself, and of daemons that are older or newer than ours.

use virtwire::constants::{ConnectCloseReason, DomainEventId, ErrorCode, ErrorDomain};
use virtwire::remote;
use virtwire_protocol::event::{DomainEventKind, EventKind, Subject};
use virtwire_protocol::header::MessageType;
use virtwire_protocol::session::Route;
use virtwire_protocol::{header, remote as protocol};
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

use super::{hear, refused, register};
use crate::domain::xml;
use crate::raw::{Raw, decode, facts};

#[tokio::test(start_paused = true)]
async fn end_of_the_daemons_own_connection_is_told_to_those_who_asked() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let mut silent = Raw::open(&simulator, "qemu:///system").await;
        raw.call::<remote::ConnectRegisterCloseCallback>(&()).await;
        let error = refused::<remote::ConnectRegisterCloseCallback>(&mut raw, &()).await;
        let what = "Requested operation is not valid: A close callback is already registered";
        let expected = (ErrorCode::OPERATION_INVALID, ErrorDomain::REMOTE, what);
        assert_eq!(facts(&error), expected);
        let closed = EventKind::ConnectionClosed(ConnectCloseReason::KEEPALIVE);
        simulator.emit(&Subject::Connection, &closed).unwrap();
        let payload = hear::<remote::ConnectEventConnectionClosed>(&mut raw).await;
        let event: remote::ConnectEventConnectionClosedMsg = decode(&payload);
        assert_eq!(event.reason, ConnectCloseReason::KEEPALIVE.0);
        silent.hears_nothing().await;
        raw.call::<remote::ConnectUnregisterCloseCallback>(&())
            .await;
        let error = refused::<remote::ConnectUnregisterCloseCallback>(&mut raw, &()).await;
        assert_eq!(error.code, ErrorCode::OPERATION_INVALID);
        simulator.emit(&Subject::Connection, &closed).unwrap();
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn older_daemon_has_the_legacy_style_only() {
    paused_deadline(async {
        for (builder, has) in [
            (Simulator::builder(), 1),
            (Simulator::builder().without_event_callbacks(), 0),
        ] {
            let simulator = builder.domain(&xml("a")).unwrap().start();
            let mut raw = Raw::open(&simulator, "qemu:///system").await;
            let args = remote::ConnectSupportsFeatureArgs { feature: 14 };
            let (_, payload) = raw.call::<remote::ConnectSupportsFeature>(&args).await;
            let ret: remote::ConnectSupportsFeatureRet = decode(&payload);
            assert_eq!(ret.supported, has);
        }
        let builder = Simulator::builder().without_event_callbacks();
        let simulator = builder.domain(&xml("a")).unwrap().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
            event_id: 0,
            dom: None,
        };
        let error = refused::<remote::ConnectDomainEventCallbackRegisterAny>(&mut raw, &args).await;
        let what = "unknown procedure: 316";
        assert_eq!(facts(&error), (ErrorCode::RPC, ErrorDomain::RPC, what));
        let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs { callback_id: 0 };
        let error =
            refused::<remote::ConnectDomainEventCallbackDeregisterAny>(&mut raw, &args).await;
        assert_eq!(error.message.as_deref(), Some("unknown procedure: 317"));
        let args = remote::ConnectDomainEventRegisterAnyArgs {
            event_id: DomainEventId::REBOOT.0,
        };
        raw.call::<remote::ConnectDomainEventRegisterAny>(&args)
            .await;
        simulator.domain("a").unwrap().reboot_by_guest().unwrap();
        hear::<remote::DomainEventReboot>(&mut raw).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn kinds_after_the_newest_are_refused() {
    paused_deadline(async {
        let newest = DomainEventId::MEMORY_DEVICE_SIZE_CHANGE;
        let simulator = Simulator::builder().newest_domain_event(newest).start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        register(&mut raw, newest, None).await;
        let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
            event_id: newest.0 + 1,
            dom: None,
        };
        let error = refused::<remote::ConnectDomainEventCallbackRegisterAny>(&mut raw, &args).await;
        let what = "internal error: unsupported event ID 27";
        assert_eq!(
            facts(&error),
            (ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, what)
        );
        let newest = DomainEventId::REBOOT;
        let simulator = Simulator::builder().newest_domain_event(newest).start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        for (event_id, known) in [(1, true), (2, false)] {
            let args = remote::ConnectDomainEventRegisterAnyArgs { event_id };
            let route = raw
                .start::<remote::ConnectDomainEventRegisterAny>(&args)
                .await;
            let (_, status, _) = raw.hear(route).await;
            assert_eq!(status == header::Status::Ok, known);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_of_other_daemons_reach_everybody_as_they_are() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(&xml("a")).unwrap().start();
        let mut clients = [
            Raw::open(&simulator, "qemu:///system").await,
            Raw::open(&simulator, "test:///default").await,
        ];
        simulator.emit_raw(protocol::PROGRAM, 9999, &b"\0\0\0\x07"[..]);
        for raw in &mut clients {
            let frame = raw.next().await.unwrap();
            let route = Route::new(protocol::PROGRAM, 9999, header::Serial::new(1));
            let expected = route.header(MessageType::Message, header::Status::Ok);
            assert_eq!(frame.header, expected);
            assert_eq!(&frame.payload[..], b"\0\0\0\x07");
            // Nobody asked for this one.
            simulator
                .domain("a")
                .unwrap()
                .emit(&DomainEventKind::Reboot)
                .unwrap();
            raw.hears_nothing().await;
        }
    })
    .await;
}
