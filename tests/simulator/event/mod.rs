//! Events of domains: who hears of what, in which style and order.

mod daemon;
mod monitor;
mod object;
mod refusal;
mod virsh;
mod words;

use std::time::Duration;

use virtwire::constants::{
    DomainEventId, DomainEventResumedDetailType as Resumed, DomainEventShutdownDetailType,
    DomainEventStartedDetailType as Started, DomainEventStoppedDetailType as Stopped,
    DomainEventSuspendedDetailType as Suspended, DomainEventType as Type, DomainMetadataType,
    ErrorCode, ErrorDomain,
};
use virtwire::{constants, remote};
use virtwire_protocol::event::DomainEventKind;
use virtwire_protocol::header::{MessageType, Serial, Status};
use virtwire_protocol::remote::NonnullDomain;
use virtwire_protocol::{Event, Procedure, RemoteError};
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

use crate::domain::{open, xml};
use crate::raw::{Raw, decode, facts};

/// Asks for events in the style with numbers; the number.
async fn register(raw: &mut Raw, event: DomainEventId, dom: Option<[u8; 16]>) -> i32 {
    let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
        event_id: event.0,
        dom: dom.map(named),
    };
    let (_, payload) = raw
        .call::<remote::ConnectDomainEventCallbackRegisterAny>(&args)
        .await;
    let ret: remote::ConnectDomainEventCallbackRegisterAnyRet = decode(&payload);
    ret.callback_id
}

fn named(uuid: [u8; 16]) -> NonnullDomain<'static> {
    NonnullDomain {
        name: "whatever".into(),
        uuid,
        id: -1,
    }
}

/// The next packet must be an event of this kind; what it carries.
async fn hear<E: Event>(raw: &mut Raw) -> bytes::Bytes {
    let frame = raw.next().await.expect("the connection is open");
    let route = virtwire_protocol::session::Route::new(E::PROGRAM, E::NUMBER, Serial::new(1));
    let expected = route.header(MessageType::Message, Status::Ok);
    assert_eq!(frame.header, expected, "{}", E::NAME);
    frame.payload
}

/// The next packet must be a lifecycle event; its registration, event and detail.
async fn hear_lifecycle(raw: &mut Raw) -> (i32, Type, i32) {
    let payload = hear::<remote::DomainEventCallbackLifecycle>(raw).await;
    let event: remote::DomainEventCallbackLifecycleMsg<'_> = decode(&payload);
    (event.callback_id, Type(event.msg.event), event.msg.detail)
}

async fn expect(raw: &mut Raw, expected: &[(Type, i32)]) {
    for (event, detail) in expected {
        let (_, found, with) = hear_lifecycle(raw).await;
        assert_eq!((found, with), (*event, *detail));
    }
    raw.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn whole_life_of_a_domain_is_told_in_order() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        assert_eq!(register(&mut raw, DomainEventId::LIFECYCLE, None).await, 0);
        let domain = connection
            .define_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        expect(&mut raw, &[(Type::DEFINED, 0)]).await;
        domain.create(Default::default()).await.unwrap();
        let started = [
            (Type::RESUMED, Resumed::UNPAUSED.0),
            (Type::STARTED, Started::BOOTED.0),
        ];
        expect(&mut raw, &started).await;
        domain.suspend().await.unwrap();
        domain.suspend().await.unwrap();
        domain.resume().await.unwrap();
        let paused = [
            (Type::SUSPENDED, Suspended::PAUSED.0),
            (Type::RESUMED, Resumed::UNPAUSED.0),
        ];
        expect(&mut raw, &paused).await;
        domain.shutdown(Default::default()).await.unwrap();
        let stopped = [
            (Type::SHUTDOWN, DomainEventShutdownDetailType::GUEST.0),
            (Type::STOPPED, Stopped::SHUTDOWN.0),
        ];
        expect(&mut raw, &stopped).await;
        domain
            .create(constants::DomainCreateFlags::PAUSED)
            .await
            .unwrap();
        domain.destroy(Default::default()).await.unwrap();
        let ended = [
            (Type::STARTED, Started::BOOTED.0),
            (Type::SUSPENDED, Suspended::PAUSED.0),
            (Type::SHUTDOWN, DomainEventShutdownDetailType::HOST.0),
            (Type::STOPPED, Stopped::DESTROYED.0),
        ];
        expect(&mut raw, &ended).await;
        domain.undefine(Default::default()).await.unwrap();
        expect(&mut raw, &[(Type::UNDEFINED, 0)]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn registration_for_all_and_one_for_a_domain_each_get_their_copy() {
    paused_deadline(async {
        let simulator = Simulator::builder()
            .domain(&xml("a"))
            .unwrap()
            .domain(&xml("b"))
            .unwrap()
            .start();
        let (a, b) = (
            simulator.domain("a").unwrap(),
            simulator.domain("b").unwrap(),
        );
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let all = register(&mut raw, DomainEventId::LIFECYCLE, None).await;
        let one = register(&mut raw, DomainEventId::LIFECYCLE, Some(a.uuid())).await;
        assert_ne!(all, one);
        b.crash().unwrap();
        assert_eq!(
            hear_lifecycle(&mut raw).await,
            (all, Type::STOPPED, Stopped::FAILED.0)
        );
        raw.hears_nothing().await;
        a.crash().unwrap();
        let heard = [
            hear_lifecycle(&mut raw).await,
            hear_lifecycle(&mut raw).await,
        ];
        assert_eq!(heard.map(|(id, ..)| id), [all, one]);
        // Given up, one is silent and the other is not.
        let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs { callback_id: all };
        raw.call::<remote::ConnectDomainEventCallbackDeregisterAny>(&args)
            .await;
        a.start().unwrap();
        assert_eq!(hear_lifecycle(&mut raw).await.0, one);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn second_registration_for_the_same_is_refused_in_either_style() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        register(&mut raw, DomainEventId::REBOOT, None).await;
        register(&mut raw, DomainEventId::REBOOT, Some([7; 16])).await;
        for dom in [None, Some([7; 16])] {
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
                event_id: DomainEventId::REBOOT.0,
                dom: dom.map(named),
            };
            let route = raw
                .start::<remote::ConnectDomainEventCallbackRegisterAny>(&args)
                .await;
            let error = raw.hear_error(route, MessageType::Reply).await;
            assert_eq!(error.code, ErrorCode::INVALID_ARG);
            let text = error.message.unwrap();
            assert_eq!(text, "invalid argument: event callback already tracked");
        }
        let args = remote::ConnectDomainEventRegisterAnyArgs {
            event_id: DomainEventId::REBOOT.0,
        };
        let route = raw
            .start::<remote::ConnectDomainEventRegisterAny>(&args)
            .await;
        let error = raw.hear_error(route, MessageType::Reply).await;
        assert_eq!(error.code, ErrorCode::INVALID_ARG);
        assert_eq!(simulator.registrations(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_and_registrations_are_errors() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        for event_id in [-1, 30, 1000] {
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
                event_id,
                dom: None,
            };
            let route = raw
                .start::<remote::ConnectDomainEventCallbackRegisterAny>(&args)
                .await;
            let error = raw.hear_error(route, MessageType::Reply).await;
            let what = format!("internal error: unsupported event ID {event_id}");
            let expected = (ErrorCode::INTERNAL_ERROR, ErrorDomain::RPC, what.as_str());
            assert_eq!(facts(&error), expected);
        }
        let args = remote::ConnectDomainEventRegisterAnyArgs { event_id: 16 };
        let route = raw
            .start::<remote::ConnectDomainEventRegisterAny>(&args)
            .await;
        let error = raw.hear_error(route, MessageType::Reply).await;
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
        let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs { callback_id: 5 };
        let route = raw
            .start::<remote::ConnectDomainEventCallbackDeregisterAny>(&args)
            .await;
        let error = raw.hear_error(route, MessageType::Reply).await;
        assert_eq!(
            error.message.unwrap(),
            "internal error: domain event callback 5 not registered"
        );
    })
    .await;
}

/// The daemon refuses a call; its error.
async fn refused<P: Procedure>(raw: &mut Raw, args: &P::Args<'_>) -> RemoteError {
    let route = raw.start::<P>(args).await;
    raw.hear_error(route, MessageType::Reply).await
}

#[tokio::test(start_paused = true)]
async fn legacy_style_names_no_registration_and_lacks_newer_kinds() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(&xml("a")).unwrap().start();
        let domain = simulator.domain("a").unwrap();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        raw.call::<remote::ConnectDomainEventRegister>(&()).await;
        let args = remote::ConnectDomainEventRegisterAnyArgs {
            event_id: DomainEventId::REBOOT.0,
        };
        raw.call::<remote::ConnectDomainEventRegisterAny>(&args)
            .await;
        domain.reboot_by_guest().unwrap();
        let payload = hear::<remote::DomainEventReboot>(&mut raw).await;
        let event: remote::DomainEventRebootMsg<'_> = decode(&payload);
        assert_eq!((event.dom.name, event.dom.id), ("a".into(), 1));
        domain.crash().unwrap();
        let payload = hear::<remote::DomainEventLifecycle>(&mut raw).await;
        let event: remote::DomainEventLifecycleMsg<'_> = decode(&payload);
        assert_eq!(event.event, Type::STOPPED.0);
        raw.call::<remote::ConnectDomainEventDeregister>(&()).await;
        domain.start().unwrap();
        raw.hears_nothing().await;
        let route = raw.start::<remote::ConnectDomainEventDeregister>(&()).await;
        let error = raw.hear_error(route, MessageType::Reply).await;
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_kind_reaches_those_who_asked_for_it_and_nobody_else() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(&xml("a")).unwrap().start();
        let domain = simulator.domain("a").unwrap();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        register(&mut raw, DomainEventId::NIC_MAC_CHANGE, None).await;
        register(&mut raw, DomainEventId::BLOCK_JOB_2, None).await;
        let vda = |status| DomainEventKind::BlockJob2 {
            dst: String::from("vda"),
            kind: constants::DomainBlockJobType::PULL,
            status,
        };
        domain.emit(&DomainEventKind::Reboot).unwrap();
        domain
            .emit(&vda(constants::ConnectDomainEventBlockJobStatus::COMPLETED))
            .unwrap();
        let mac = DomainEventKind::NicMacChange {
            alias: String::from("net0"),
            old_mac: String::from("52:54:00:00:00:01"),
            new_mac: String::from("52:54:00:00:00:02"),
        };
        domain.emit(&mac).unwrap();
        let payload = hear::<remote::DomainEventBlockJob2>(&mut raw).await;
        let event: remote::DomainEventBlockJob2Msg<'_> = decode(&payload);
        assert_eq!((event.dst, event.callback_id), ("vda".into(), 1));
        let payload = hear::<remote::DomainEventNicMacChange>(&mut raw).await;
        let event: remote::DomainEventNicMacChangeMsg<'_> = decode(&payload);
        assert_eq!((event.alias, event.callback_id), ("net0".into(), 0));
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_when_they_are_made() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(&xml("a")).unwrap().start();
        let domain = simulator.domain("a").unwrap();
        let dom = || named(domain.uuid());
        let connection = open(&simulator).await;
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        register(&mut raw, DomainEventId::METADATA_CHANGE, None).await;
        register(&mut raw, DomainEventId::BALLOON_CHANGE, None).await;
        let args = remote::DomainSetMetadataArgs {
            dom: dom(),
            type_: DomainMetadataType::TITLE.0,
            metadata: Some("a title".into()),
            key: None,
            uri: None,
            flags: 0,
        };
        connection
            .call::<remote::DomainSetMetadata>(args)
            .await
            .unwrap();
        let payload = hear::<remote::DomainEventCallbackMetadataChange>(&mut raw).await;
        let event: remote::DomainEventCallbackMetadataChangeMsg<'_> = decode(&payload);
        assert_eq!(
            (event.type_, event.nsuri),
            (DomainMetadataType::TITLE.0, None)
        );
        let args = remote::DomainSetMemoryArgs {
            dom: dom(),
            memory: 1024,
        };
        connection
            .call::<remote::DomainSetMemory>(args)
            .await
            .unwrap();
        let payload = hear::<remote::DomainEventCallbackBalloonChange>(&mut raw).await;
        let event: remote::DomainEventCallbackBalloonChangeMsg<'_> = decode(&payload);
        assert_eq!(event.msg.actual, 1024);
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn disk_that_is_full_pauses_its_domain() {
    paused_deadline(async {
        let simulator = Simulator::builder().domain(&xml("a")).unwrap().start();
        let domain = simulator.domain("a").unwrap();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        register(&mut raw, DomainEventId::LIFECYCLE, None).await;
        register(&mut raw, DomainEventId::IO_ERROR_REASON, None).await;
        assert!(domain.pause_on_io_error("vdz", "enospc").is_err());
        domain.pause_on_io_error("vda", "enospc").unwrap();
        let payload = hear::<remote::DomainEventCallbackIoErrorReason>(&mut raw).await;
        let event: remote::DomainEventCallbackIoErrorReasonMsg<'_> = decode(&payload);
        assert_eq!(
            (event.msg.src_path, event.msg.dev_alias, event.msg.reason),
            ("/a.img".into(), "virtio-disk0".into(), "enospc".into())
        );
        expect(&mut raw, &[(Type::SUSPENDED, Suspended::IOERROR.0)]).await;
        let paused = constants::DomainPausedReason::IOERROR.0;
        assert_eq!(
            domain.state().unwrap(),
            (constants::DomainState::PAUSED, paused)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn panic_does_what_the_description_says() {
    paused_deadline(async {
        for (action, left) in [("destroy", 0), ("preserve", 1), ("restart", 1)] {
            let on_crash = format!("<on_crash>{action}</on_crash><devices>");
            let simulator = Simulator::builder()
                .domain(&xml("a").replace("<devices>", &on_crash))
                .unwrap()
                .start();
            let mut raw = Raw::open(&simulator, "qemu:///system").await;
            register(&mut raw, DomainEventId::LIFECYCLE, None).await;
            simulator.domain("a").unwrap().panic().unwrap();
            assert_eq!(hear_lifecycle(&mut raw).await.1, Type::CRASHED);
            let heard = tokio::time::timeout(Duration::from_secs(1), raw.next()).await;
            assert_eq!(heard.is_err(), left == 1, "{action}");
        }
    })
    .await;
}
