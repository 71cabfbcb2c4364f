use std::collections::HashSet;
use std::time::Instant;

use virtwire_protocol::Procedure;
use virtwire_protocol::frame::PREFIX_LEN;
use virtwire_protocol::session::{ClientConfig, ClientSession};
use virtwire_xdr::{Decode as _, IntoOwned as _};

use super::*;

const UUID: [u8; 16] = [7; 16];
const CALLBACK: i32 = 42;

/// The arguments of a call, which has to be one of `P`.
fn args<P: Procedure>(request: CallRequest) -> P::Args<'static> {
    let called = (request.program(), request.procedure());
    assert_eq!(called, (P::PROGRAM, P::NUMBER), "{} is called", P::NAME);
    let mut session = ClientSession::new(ClientConfig::default(), Instant::now());
    session.call(request, ());
    let packet = session.poll_transmit().unwrap();
    let mut reader = Reader::new(&packet[PREFIX_LEN..]);
    let args = P::Args::decode(&mut reader).unwrap();
    assert_eq!(reader.finish(), Ok(()));
    args.into_owned()
}

fn key(event: impl Into<EventId>, object: Option<ObjectKey>) -> RegistrationKey {
    RegistrationKey::new(event.into(), object)
}

fn uuid() -> Uuid {
    Uuid::from(UUID)
}

fn monitor(filter: MonitorFilter, object: Option<ObjectKey>) -> RegistrationKey {
    RegistrationKey {
        filter: Some(filter),
        ..key(EventId::QemuMonitor, object)
    }
}

/// One key of each class, and of each style.
fn one_of_each() -> Vec<RegistrationKey> {
    vec![
        key(DomainEventId::LIFECYCLE, None),
        key(NetworkEventId::LIFECYCLE, None),
        key(StoragePoolEventId::LIFECYCLE, None),
        key(NodeDeviceEventId::LIFECYCLE, None),
        key(SecretEventId::LIFECYCLE, None),
        monitor(MonitorFilter::all(), None),
        key(EventId::ConnectionClosed, None),
        RegistrationKey::legacy(DomainEventId::LIFECYCLE.into()),
    ]
}

#[test]
fn domain_events_are_registered_with_callback_ids() {
    type Register = remote::ConnectDomainEventCallbackRegisterAny;
    type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
    let all = key(DomainEventId::REBOOT, None);
    let called = args::<Register>(all.register().unwrap());
    assert_eq!(called.event_id, DomainEventId::REBOOT.0);
    assert_eq!(called.dom, None);
    let one = key(DomainEventId::BLOCK_JOB_2, Some(ObjectKey::Domain(uuid())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!(called.event_id, DomainEventId::BLOCK_JOB_2.0);
    assert_eq!(called.dom.unwrap().uuid, UUID);
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn domain_events_of_old_daemons_are_registered_by_their_number() {
    type Register = remote::ConnectDomainEventRegisterAny;
    type Deregister = remote::ConnectDomainEventDeregisterAny;
    let key = RegistrationKey::legacy(DomainEventId::IO_ERROR.into());
    let called = args::<Register>(key.register().unwrap());
    assert_eq!(called.event_id, DomainEventId::IO_ERROR.0);
    let called = args::<Deregister>(key.deregister(0).unwrap());
    assert_eq!(called.event_id, DomainEventId::IO_ERROR.0);
}

#[test]
fn network_events_are_registered() {
    type Register = remote::ConnectNetworkEventRegisterAny;
    type Deregister = remote::ConnectNetworkEventDeregisterAny;
    let id = NetworkEventId::METADATA_CHANGE;
    let called = args::<Register>(key(id, None).register().unwrap());
    assert_eq!((called.event_id, called.net), (id.0, None));
    let one = key(id, Some(ObjectKey::Network(uuid())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!((called.event_id, called.net.unwrap().uuid), (id.0, UUID));
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn storage_pool_events_are_registered() {
    type Register = remote::ConnectStoragePoolEventRegisterAny;
    type Deregister = remote::ConnectStoragePoolEventDeregisterAny;
    let id = StoragePoolEventId::REFRESH;
    let called = args::<Register>(key(id, None).register().unwrap());
    assert_eq!((called.event_id, called.pool), (id.0, None));
    let one = key(id, Some(ObjectKey::StoragePool(uuid())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!((called.event_id, called.pool.unwrap().uuid), (id.0, UUID));
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn node_device_events_are_registered_by_name() {
    type Register = remote::ConnectNodeDeviceEventRegisterAny;
    type Deregister = remote::ConnectNodeDeviceEventDeregisterAny;
    let id = NodeDeviceEventId::UPDATE;
    let called = args::<Register>(key(id, None).register().unwrap());
    assert_eq!((called.event_id, called.dev), (id.0, None));
    let one = key(id, Some(ObjectKey::NodeDevice("pci_0000".into())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!(
        (called.event_id, called.dev.unwrap().name),
        (id.0, Str::from("pci_0000"))
    );
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn secret_events_are_registered() {
    type Register = remote::ConnectSecretEventRegisterAny;
    type Deregister = remote::ConnectSecretEventDeregisterAny;
    let id = SecretEventId::VALUE_CHANGED;
    let called = args::<Register>(key(id, None).register().unwrap());
    assert_eq!((called.event_id, called.secret), (id.0, None));
    let one = key(id, Some(ObjectKey::Secret(uuid())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!((called.event_id, called.secret.unwrap().uuid), (id.0, UUID));
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn monitor_events_are_registered_with_their_filter() {
    type Register = qemu::ConnectDomainMonitorEventRegister;
    type Deregister = qemu::ConnectDomainMonitorEventDeregister;
    let filters = [
        (MonitorFilter::all(), None, MonitorFlags::empty()),
        (
            MonitorFilter::name("STOP"),
            Some("STOP"),
            MonitorFlags::empty(),
        ),
        (MonitorFilter::regex("^S"), Some("^S"), MonitorFlags::REGEX),
        (
            MonitorFilter::regex("^s").ignore_case(),
            Some("^s"),
            MonitorFlags::REGEX | MonitorFlags::NOCASE,
        ),
    ];
    for (filter, text, flags) in filters {
        let called = args::<Register>(monitor(filter, None).register().unwrap());
        assert_eq!(called.event, text.map(Str::from));
        assert_eq!((called.flags, called.dom), (flags.bits(), None));
    }
    let one = monitor(MonitorFilter::all(), Some(ObjectKey::Domain(uuid())));
    let called = args::<Register>(one.register().unwrap());
    assert_eq!(called.dom.unwrap().uuid, UUID);
    let called = args::<Deregister>(one.deregister(CALLBACK).unwrap());
    assert_eq!(called.callback_id, CALLBACK);
}

#[test]
fn the_end_of_the_daemons_connection_is_registered_without_a_callback_id() {
    let key = key(EventId::ConnectionClosed, None);
    assert_eq!(key.style, Style::Legacy);
    args::<remote::ConnectRegisterCloseCallback>(key.register().unwrap());
    args::<remote::ConnectUnregisterCloseCallback>(key.deregister(0).unwrap());
}

#[test]
fn registrations_for_different_things_are_different() {
    let mut keys = one_of_each();
    keys.extend([
        key(DomainEventId::REBOOT, None),
        key(DomainEventId::LIFECYCLE, Some(ObjectKey::Domain(uuid()))),
        key(NetworkEventId::LIFECYCLE, Some(ObjectKey::Network(uuid()))),
        monitor(MonitorFilter::all(), Some(ObjectKey::Domain(uuid()))),
        monitor(MonitorFilter::name("STOP"), None),
        monitor(MonitorFilter::regex("STOP"), None),
        monitor(MonitorFilter::name("STOP").ignore_case(), None),
    ]);
    let different: HashSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn callback_id_is_what_the_answer_begins_with() {
    for key in one_of_each() {
        // A newer daemon may say more.
        let answer = key.callback_id(&[0, 0, 0, 42, 1, 2, 3, 4]);
        let expected = match key.style {
            Style::Callback => CALLBACK,
            Style::Legacy => 0,
        };
        assert_eq!(answer.ok(), Some(expected), "{key:?}");
    }
}

#[test]
fn answer_without_a_callback_id_is_an_error_where_there_ought_to_be_one() {
    for key in one_of_each() {
        let answer = key.callback_id(&[0, 0, 0]);
        match key.style {
            Style::Callback => assert!(matches!(answer, Err(CallFailure::BadReply(_)))),
            Style::Legacy => assert_eq!(answer.ok(), Some(0)),
        }
    }
}

#[test]
fn each_class_has_an_anchor_for_an_object_that_does_not_exist() {
    for key in one_of_each() {
        let class = key.event.class();
        let anchor = RegistrationKey::anchor(class, key.style);
        if class == EventClass::Connection {
            assert_eq!(anchor, None);
            continue;
        }
        let anchor = anchor.unwrap();
        assert!(anchor.is_anchor());
        assert!(!key.is_anchor());
        assert_eq!(anchor.style, key.style);
        assert!(anchor.register().is_ok());
        if key.style == Style::Callback {
            assert!(anchor.object.is_some_and(|nobody| nobody.suits(class)));
        }
    }
    // No other class has events without callback IDs.
    let legacy = RegistrationKey::anchor(EventClass::Network, Style::Legacy);
    assert_eq!(legacy, None);
}

#[test]
fn the_anchor_of_the_monitor_is_that_of_its_domains() {
    let anchor = |class| RegistrationKey::anchor(class, Style::Callback);
    assert_eq!(anchor(EventClass::QemuMonitor), anchor(EventClass::Domain));
}

#[test]
fn anchors_ask_for_nobody() {
    let anchor = |class| RegistrationKey::anchor(class, Style::Callback).unwrap();
    let domain = anchor(EventClass::Domain).register().unwrap();
    let called = args::<remote::ConnectDomainEventCallbackRegisterAny>(domain);
    assert_eq!(called.dom.unwrap().uuid, [0; 16]);
    let secret = anchor(EventClass::Secret).register().unwrap();
    let called = args::<remote::ConnectSecretEventRegisterAny>(secret);
    assert_eq!(called.secret.unwrap().uuid, [0; 16]);
    let device = anchor(EventClass::NodeDevice).register().unwrap();
    let called = args::<remote::ConnectNodeDeviceEventRegisterAny>(device);
    assert_eq!(called.dev.unwrap().name, Str::from("/"));
}

#[test]
fn what_can_be_decoded_is_known() {
    for event in EventId::known() {
        assert!(is_known(event), "{event}");
    }
    for event in [
        EventId::from(DomainEventId(1000)),
        NetworkEventId(1000).into(),
        StoragePoolEventId(1000).into(),
        NodeDeviceEventId(-1).into(),
        SecretEventId(1000).into(),
    ] {
        assert!(!is_known(event), "{event}");
    }
}

#[test]
fn the_older_half_of_domain_events_has_a_legacy_style() {
    use virtwire_protocol::event::route;
    for event in EventId::known().filter(|event| event.class() == EventClass::Domain) {
        let routes = (0..1000).filter_map(|number| route(remote::PROGRAM, number));
        let mut legacy = routes.filter(|route| route.style == Style::Legacy);
        assert_eq!(
            has_legacy_style(event),
            legacy.any(|route| route.id == event),
            "{event}"
        );
    }
    assert!(!has_legacy_style(DomainEventId(1000).into()));
    assert!(!has_legacy_style(DomainEventId(-1).into()));
}

#[test]
fn objects_suit_the_events_that_are_about_them() {
    let classes = [
        EventClass::Domain,
        EventClass::Network,
        EventClass::StoragePool,
        EventClass::NodeDevice,
        EventClass::Secret,
        EventClass::QemuMonitor,
        EventClass::Connection,
    ];
    let suited = |object: ObjectKey| {
        let suited = classes.into_iter().filter(|class| object.suits(*class));
        suited.collect::<Vec<_>>()
    };
    let domain = ObjectKey::Domain(uuid());
    assert_eq!(
        suited(domain),
        [EventClass::Domain, EventClass::QemuMonitor]
    );
    assert_eq!(suited(ObjectKey::Network(uuid())), [EventClass::Network]);
    assert_eq!(
        suited(ObjectKey::StoragePool(uuid())),
        [EventClass::StoragePool]
    );
    assert_eq!(
        suited(ObjectKey::NodeDevice("a".into())),
        [EventClass::NodeDevice]
    );
    assert_eq!(suited(ObjectKey::Secret(uuid())), [EventClass::Secret]);
}

#[test]
fn subjects_with_the_same_uuid_are_different_objects() {
    let domain = remote::NonnullDomain {
        name: "a".into(),
        uuid: UUID,
        id: 1,
    };
    let stopped = remote::NonnullDomain {
        name: "renamed".into(),
        id: -1,
        ..domain.clone()
    };
    let network = remote::NonnullNetwork {
        name: "a".into(),
        uuid: UUID,
    };
    let domain = ObjectKey::of(&domain.into());
    assert_eq!(domain, Some(ObjectKey::Domain(uuid())));
    assert_eq!(domain, ObjectKey::of(&stopped.into()));
    assert_ne!(domain, ObjectKey::of(&network.into()));
    assert_eq!(ObjectKey::of(&Subject::Connection), None);
}
