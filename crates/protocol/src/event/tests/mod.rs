//! Every kind of event, in every style that it has, there and back.

mod arbitrary;

use bytes::BytesMut;
use proptest::prelude::*;
use virtwire_xdr::{Encode, Writer};

use super::*;
use crate::constants::{
    ConnectCloseReason, DomainEventId, DomainEventType, NetworkEventId, NodeDeviceEventId,
    SecretEventId, StoragePoolEventId,
};
use crate::generated::{admin, dispatch, keepalive, lxc};
use crate::procedure::Visitor;
use crate::remote::{NonnullDomain, NonnullNetwork};
use crate::{Event, Procedure, Program, qemu, remote};

/// From one length that is tried to the next; Miri cannot try them all in an hour.
const STEP: usize = if cfg!(miri) { 37 } else { 1 };

/// The kinds of events, of which Miri tries some.
fn kinds() -> impl Iterator<Item = EventId> {
    EventId::known().step_by(if cfg!(miri) { 5 } else { 1 })
}

/// So many of each kind; Miri is a thousand times as slow.
fn cases(many: u32) -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { 1 } else { many })
}

/// The styles that a kind of event has.
fn styles(id: EventId) -> &'static [Style] {
    match id {
        EventId::Domain(id) if id <= DomainEventId::DEVICE_REMOVED => {
            &[Style::Callback, Style::Legacy]
        }
        EventId::ConnectionClosed => &[Style::Legacy],
        _ => &[Style::Callback],
    }
}

fn dom() -> NonnullDomain<'static> {
    NonnullDomain {
        name: "guest".into(),
        uuid: [7; 16],
        id: 3,
    }
}

fn encoded<E: Event>(message: &E::Msg<'_>) -> BytesMut {
    let mut buffer = BytesMut::new();
    message.encode(&mut Writer::new(&mut buffer)).unwrap();
    buffer
}

#[test]
fn every_event_is_the_same_there_and_back() {
    for id in kinds() {
        proptest!(cases(64), |(
            (subject, kind) in arbitrary::event(id),
            callback_id in any::<i32>(),
            trailing in prop::collection::vec(any::<u8>(), 0..9),
        )| {
            prop_assert_eq!(kind.id(), id);
            for style in [Style::Callback, Style::Legacy] {
                let callback_id = (style == Style::Callback).then_some(callback_id);
                let message = Message::new(callback_id, subject.clone(), kind.clone());
                let packet = match message.encode() {
                    Ok(packet) => packet,
                    Err(error) => {
                        prop_assert!(!styles(id).contains(&style), "{}", error);
                        continue;
                    }
                };
                prop_assert!(styles(id).contains(&style), "{} {:?}", id, style);
                let (program, number) = (packet.program, packet.procedure);
                let route = route(program, number).unwrap();
                prop_assert_eq!((route.id, route.style), (id, style));
                prop_assert_eq!(route.callback_id(&packet.payload), callback_id);
                // A newer daemon may say more.
                let mut payload = packet.payload.to_vec();
                payload.extend(trailing.clone());
                prop_assert_eq!(super::subject(program, number, &payload), Some(subject.clone()));
                prop_assert_eq!(Message::decode(program, number, &payload).unwrap(), Some(message));
            }
        });
    }
}

#[test]
fn what_ends_early_is_an_error() {
    for id in kinds() {
        proptest!(cases(8), |(
            (subject, kind) in arbitrary::event(id),
        )| {
            for style in styles(id) {
                let callback_id = (*style == Style::Callback).then_some(5);
                let message = Message::new(callback_id, subject.clone(), kind.clone());
                let packet = message.encode().unwrap();
                let (program, number) = (packet.program, packet.procedure);
                for length in (0..packet.payload.len()).step_by(STEP) {
                    let cut = &packet.payload[..length];
                    prop_assert!(Message::decode(program, number, cut).is_err(), "{}", length);
                    let named = super::subject(program, number, cut);
                    prop_assert!(named.is_none_or(|named| named == subject));
                }
            }
        });
    }
}

proptest! {
    #[test]
    fn whatever_arrives_is_understood_or_refused(
        number in 0..500_i32,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for program in [remote::PROGRAM, qemu::PROGRAM] {
            let decoded = Message::decode(program, number, &payload);
            let known = route(program, number).is_some();
            prop_assert_eq!(known, !matches!(decoded, Ok(None)));
            if let Ok(Some(message)) = decoded {
                let named = subject(program, number, &payload);
                prop_assert_eq!(named, Some(message.subject));
            }
        }
    }
}

/// What a number of the protocol is, and whether it is an event that is known here.
struct Known(Program, i32);

impl Visitor for Known {
    type Output = ();

    fn procedure<P: Procedure>(self) {
        assert_eq!(route(self.0, self.1), None, "{}", P::NAME);
    }

    fn event<E: Event>(self) {
        // A sign of life is no event: the session answers it.
        let expected = self.0 != keepalive::PROGRAM;
        assert_eq!(route(self.0, self.1).is_some(), expected, "{}", E::NAME);
    }
}

#[test]
fn every_event_of_the_protocol_is_known() {
    let programs = [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM, admin::PROGRAM];
    for program in programs.into_iter().chain([keepalive::PROGRAM]) {
        for number in -1..2000 {
            let found = dispatch::visit(program, number, Known(program, number));
            assert!(found.is_some() || route(program, number).is_none());
        }
    }
    let newer = Program::new(remote::PROGRAM.number, 2);
    assert_eq!(route(newer, remote::DomainEventLifecycle::NUMBER), None);
}

#[test]
fn every_kind_that_libvirt_names_is_known() {
    let known: Vec<EventId> = EventId::known().collect();
    for number in -1..1000 {
        for (id, name) in [
            (DomainEventId(number).into(), DomainEventId(number).name()),
            (NetworkEventId(number).into(), NetworkEventId(number).name()),
            (
                StoragePoolEventId(number).into(),
                StoragePoolEventId(number).name(),
            ),
            (
                NodeDeviceEventId(number).into(),
                NodeDeviceEventId(number).name(),
            ),
            (SecretEventId(number).into(), SecretEventId(number).name()),
        ] {
            assert_eq!(known.contains(&id), name.is_some(), "{id}");
            assert_eq!((id.number(), id.name()), (number, name));
        }
    }
    assert_eq!(known.len(), 40);
    let told: Vec<String> = [0, 99]
        .map(|number| EventId::Domain(DomainEventId(number)).to_string())
        .into();
    assert_eq!(told, ["domain event LIFECYCLE", "domain event 99"]);
    assert_eq!(EventId::QemuMonitor.to_string(), "QEMU monitor event");
}

#[test]
fn numbers_of_a_newer_daemon_are_kept() {
    for (event, detail) in [(2, 4711), (4711, 0), (-1, -1)] {
        let msg = remote::DomainEventLifecycleMsg {
            dom: dom(),
            event,
            detail,
        };
        let payload = encoded::<remote::DomainEventLifecycle>(&msg);
        let number = remote::DomainEventLifecycle::NUMBER;
        let message = Message::decode(remote::PROGRAM, number, &payload)
            .unwrap()
            .unwrap();
        let EventKind::Domain(DomainEventKind::Lifecycle(step)) = message.kind else {
            panic!("{message:?}");
        };
        assert_eq!(step, Lifecycle::new(DomainEventType(event), detail));
        assert_eq!((step.event().0, step.detail()), (event, detail));
    }
}

#[test]
fn reasons_that_libvirt_does_not_have_are_passed_over() {
    let payload =
        encoded::<remote::DomainEventCallbackPmsuspend>(&remote::DomainEventCallbackPmsuspendMsg {
            callback_id: 4,
            reason: 9,
            msg: remote::DomainEventPmsuspendMsg { dom: dom() },
        });
    let number = remote::DomainEventCallbackPmsuspend::NUMBER;
    let message = Message::decode(remote::PROGRAM, number, &payload).unwrap();
    assert_eq!(
        message,
        Some(Message::new(Some(4), dom(), DomainEventKind::PmSuspend))
    );
    assert_eq!(
        subject(remote::PROGRAM, number, &payload),
        Some(dom().into())
    );
}

#[test]
fn text_that_is_not_utf_8_is_for_people_to_read() {
    let message = remote::DomainEventCallbackDeviceAddedMsg {
        callback_id: 0,
        dom: dom(),
        dev_alias: b"net\xff".to_vec().into(),
    };
    let payload = encoded::<remote::DomainEventCallbackDeviceAdded>(&message);
    let number = remote::DomainEventCallbackDeviceAdded::NUMBER;
    let message = Message::decode(remote::PROGRAM, number, &payload)
        .unwrap()
        .unwrap();
    let dev_alias = String::from("net\u{fffd}");
    assert_eq!(
        message.kind,
        DomainEventKind::DeviceAdded { dev_alias }.into()
    );
}

#[test]
fn what_has_no_form_is_an_error() {
    let net = NonnullNetwork {
        name: "default".into(),
        uuid: [1; 16],
    };
    let refused = |callback_id, subject, kind: EventKind| {
        Message::new(callback_id, subject, kind)
            .encode()
            .unwrap_err()
            .to_string()
    };
    let closed = EventKind::ConnectionClosed(ConnectCloseReason::EOF);
    for (error, expected) in [
        (
            refused(Some(1), net.clone().into(), DomainEventKind::Reboot.into()),
            "domain event REBOOT is about another kind of object",
        ),
        (
            refused(
                None,
                net.into(),
                NetworkEventKind::Lifecycle {
                    event: 0.into(),
                    detail: 0,
                }
                .into(),
            ),
            "network event LIFECYCLE has no form without a callback id",
        ),
        (
            refused(Some(0), Subject::Connection, closed),
            "connection event has no form with a callback id",
        ),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
#[cfg_attr(miri, ignore = "makes megabytes, which takes Miri an hour")]
fn what_is_too_long_is_an_error() {
    let long = DomainEventKind::DeviceAdded {
        dev_alias: "x".repeat(5 << 20),
    };
    let error = Message::new(Some(0), dom(), long).encode().unwrap_err();
    assert!(matches!(error, EncodeMessageError::Value(_)), "{error}");
}
