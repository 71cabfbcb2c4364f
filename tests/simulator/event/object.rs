//! Events of what is no domain.

use virtwire::constants::{
    ErrorCode, ErrorDomain, NetworkEventId, NetworkEventLifecycleType, NetworkMetadataType,
    NodeDeviceEventId, NodeDeviceEventLifecycleType, SecretEventId, SecretUsageType,
};
use virtwire::remote;
use virtwire_protocol::event::{
    DomainEventKind, EventKind, NetworkEventKind, NodeDeviceEventKind, SecretEventKind, Subject,
};
use virtwire_protocol::remote::{NonnullNetwork, NonnullNodeDevice, NonnullSecret};
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

use super::{hear, named, refused, register};
use crate::raw::{Raw, decode, facts};

fn device(name: &'static str) -> NonnullNodeDevice<'static> {
    NonnullNodeDevice { name: name.into() }
}

fn secret(byte: u8) -> NonnullSecret<'static> {
    NonnullSecret {
        uuid: [byte; 16],
        usage_type: SecretUsageType::VOLUME.0,
        usage_id: "/images/disk.qcow2".into(),
    }
}

fn devices(
    event: i32,
    dev: Option<&'static str>,
) -> remote::ConnectNodeDeviceEventRegisterAnyArgs<'static> {
    let dev = dev.map(device);
    remote::ConnectNodeDeviceEventRegisterAnyArgs {
        event_id: event,
        dev,
    }
}

async fn register_device(
    raw: &mut Raw,
    event: NodeDeviceEventId,
    dev: Option<&'static str>,
) -> i32 {
    let args = devices(event.0, dev);
    let (_, payload) = raw
        .call::<remote::ConnectNodeDeviceEventRegisterAny>(&args)
        .await;
    let ret: remote::ConnectNodeDeviceEventRegisterAnyRet = decode(&payload);
    ret.callback_id
}

async fn register_secret(
    raw: &mut Raw,
    event: SecretEventId,
    secret: Option<NonnullSecret<'static>>,
) -> i32 {
    let args = remote::ConnectSecretEventRegisterAnyArgs {
        event_id: event.0,
        secret,
    };
    let (_, payload) = raw
        .call::<remote::ConnectSecretEventRegisterAny>(&args)
        .await;
    let ret: remote::ConnectSecretEventRegisterAnyRet = decode(&payload);
    ret.callback_id
}

#[tokio::test(start_paused = true)]
async fn devices_are_told_apart_by_their_names() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let all = register_device(&mut raw, NodeDeviceEventId::LIFECYCLE, None).await;
        let one = register_device(&mut raw, NodeDeviceEventId::LIFECYCLE, Some("net_a")).await;
        let update = register_device(&mut raw, NodeDeviceEventId::UPDATE, Some("net_b")).await;
        assert_eq!([all, one, update], [0, 1, 2]);
        let event = NodeDeviceEventLifecycleType::CREATED;
        let created = NodeDeviceEventKind::Lifecycle { event, detail: 0 }.into();
        for name in ["net_a", "net_b"] {
            let subject = device(name).into();
            simulator.emit(&subject, &created).unwrap();
            simulator
                .emit(&subject, &NodeDeviceEventKind::Update.into())
                .unwrap();
        }
        for (name, callback_id) in [("net_a", all), ("net_a", one), ("net_b", all)] {
            let payload = hear::<remote::NodeDeviceEventLifecycle>(&mut raw).await;
            let heard: remote::NodeDeviceEventLifecycleMsg<'_> = decode(&payload);
            assert_eq!((heard.dev, heard.callback_id), (device(name), callback_id));
            assert_eq!((heard.event, heard.detail), (event.0, 0));
        }
        let payload = hear::<remote::NodeDeviceEventUpdate>(&mut raw).await;
        let heard: remote::NodeDeviceEventUpdateMsg<'_> = decode(&payload);
        assert_eq!((heard.dev, heard.callback_id), (device("net_b"), update));
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn secrets_are_told_apart_by_their_uuids() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let one = register_secret(&mut raw, SecretEventId::VALUE_CHANGED, Some(secret(1))).await;
        let all = register_secret(&mut raw, SecretEventId::VALUE_CHANGED, None).await;
        let changed = EventKind::Secret(SecretEventKind::ValueChanged);
        for byte in [2, 1] {
            simulator.emit(&secret(byte).into(), &changed).unwrap();
        }
        for (byte, callback_id) in [(2, all), (1, one), (1, all)] {
            let payload = hear::<remote::SecretEventValueChanged>(&mut raw).await;
            let heard: remote::SecretEventValueChangedMsg<'_> = decode(&payload);
            assert_eq!(
                (heard.secret, heard.callback_id),
                (secret(byte), callback_id)
            );
        }
        let args = remote::ConnectSecretEventDeregisterAnyArgs { callback_id: all };
        raw.call::<remote::ConnectSecretEventDeregisterAny>(&args)
            .await;
        simulator.emit(&secret(2).into(), &changed).unwrap();
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_class_has_registrations_of_its_own() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        // QEMU's driver, and those of devices and secrets, count for themselves.
        assert_eq!(register(&mut raw, 0.into(), None).await, 0);
        assert_eq!(
            register_device(&mut raw, NodeDeviceEventId::LIFECYCLE, None).await,
            0
        );
        assert_eq!(
            register_secret(&mut raw, SecretEventId::LIFECYCLE, None).await,
            0
        );
        // What is given up in one class is there in the others.
        let args = remote::ConnectNodeDeviceEventDeregisterAnyArgs { callback_id: 0 };
        raw.call::<remote::ConnectNodeDeviceEventDeregisterAny>(&args)
            .await;
        assert_eq!(simulator.registrations(), 2);
        // The test driver is one, and counts for all.
        let mut raw = Raw::open(&simulator, "test:///default").await;
        assert_eq!(register(&mut raw, 0.into(), Some([1; 16])).await, 0);
        assert_eq!(
            register_device(&mut raw, NodeDeviceEventId::UPDATE, None).await,
            1
        );
        let args = remote::ConnectNetworkEventRegisterAnyArgs {
            event_id: NetworkEventId::LIFECYCLE.0,
            net: None,
        };
        let (_, payload) = raw
            .call::<remote::ConnectNetworkEventRegisterAny>(&args)
            .await;
        let ret: remote::ConnectNetworkEventRegisterAnyRet = decode(&payload);
        assert_eq!(ret.callback_id, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn notes_about_networks_are_told() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        let args = remote::NetworkDefineXmlArgs {
            xml: "<network><name>default</name></network>".into(),
        };
        let (_, payload) = raw.call::<remote::NetworkDefineXml>(&args).await;
        let remote::NetworkDefineXmlRet { net } = decode(&payload);
        let args = remote::ConnectNetworkEventRegisterAnyArgs {
            event_id: NetworkEventId::METADATA_CHANGE.0,
            net: Some(net.clone()),
        };
        raw.call::<remote::ConnectNetworkEventRegisterAny>(&args)
            .await;
        let set =
            |type_: NetworkMetadataType, text: &'static str, uri: Option<&'static str>, flags| {
                remote::NetworkSetMetadataArgs {
                    network: net.clone(),
                    type_: type_.0,
                    metadata: Some(text.into()),
                    key: uri.map(|_| "my".into()),
                    uri: uri.map(Into::into),
                    flags,
                }
            };
        let title = set(NetworkMetadataType::TITLE, "a title", None, 0);
        let element = set(NetworkMetadataType::ELEMENT, "<app/>", Some("urn:x"), 2);
        for args in [&title, &element] {
            let route = raw.start::<remote::NetworkSetMetadata>(args).await;
            // It is told before it is answered.
            let payload = hear::<remote::NetworkEventCallbackMetadataChange>(&mut raw).await;
            let event: remote::NetworkEventCallbackMetadataChangeMsg<'_> = decode(&payload);
            let expected = (&net, args.type_, &args.uri);
            assert_eq!((&event.net, event.type_, &event.nsuri), expected);
            raw.hear(route).await;
        }
        let args = remote::NetworkGetMetadataArgs {
            network: net.clone(),
            type_: NetworkMetadataType::ELEMENT.0,
            uri: Some("urn:x".into()),
            flags: 0,
        };
        let (_, payload) = raw.call::<remote::NetworkGetMetadata>(&args).await;
        let ret: remote::NetworkGetMetadataRet<'_> = decode(&payload);
        assert_eq!(ret.metadata, "<app/>");
        let live = set(NetworkMetadataType::TITLE, "a title", None, 1);
        let error = refused::<remote::NetworkSetMetadata>(&mut raw, &live).await;
        let what = "Requested operation is not valid: network is not running";
        let expected = (ErrorCode::OPERATION_INVALID, ErrorDomain::NETWORK, what);
        assert_eq!(facts(&error), expected);
        let args = remote::NetworkGetMetadataArgs {
            type_: NetworkMetadataType::DESCRIPTION.0,
            uri: None,
            ..args
        };
        let error = refused::<remote::NetworkGetMetadata>(&mut raw, &args).await;
        assert_eq!(error.code, ErrorCode::NO_NETWORK_METADATA);
        raw.hears_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_happen_is_not_told() {
    let simulator = Simulator::builder().start();
    let event = NetworkEventLifecycleType::STARTED;
    let started = NetworkEventKind::Lifecycle { event, detail: 0 }.into();
    let net = NonnullNetwork {
        name: "default".into(),
        uuid: [1; 16],
    };
    simulator.emit(&net.clone().into(), &started).unwrap();
    let error = simulator
        .emit(&named([1; 16]).into(), &started)
        .unwrap_err();
    let what = "network event LIFECYCLE is about another kind of object";
    assert_eq!(error.to_string(), what);
    let reboot = DomainEventKind::Reboot.into();
    assert!(simulator.emit(&Subject::Network(net), &reboot).is_err());
}
