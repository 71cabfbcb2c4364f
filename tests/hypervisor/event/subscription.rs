//! Who hears of what, and what the daemon is asked for it.

use bytes::Bytes;
use virtwire::constants::{DomainCreateFlags, DomainDestroyFlags, DomainEventId, NetworkEventId};
use virtwire::event::{DomainEventKind, Event, EventStream, Lifecycle, LifecycleEvent};
use virtwire::{constants, remote};
use virtwire_lab::Driver;
use virtwire_protocol::Procedure;
use virtwire_protocol::event::{Message, Subject};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::header::MessageType;
use virtwire_protocol::session::Route;
use virtwire_tests::deadline;
use virtwire_tests::relay::Recording;
use virtwire_xdr::{Decode, Reader};

use super::{define, through_a_relay};
use crate::Stage;

/// The payloads of one side's packets of this kind, with their routes.
fn packets(bytes: &[u8], kind: MessageType) -> Vec<(Route, Bytes)> {
    let mut decoder = FrameDecoder::new();
    decoder.buffer_mut().extend_from_slice(bytes);
    let mut packets = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        if frame.header.kind == kind {
            packets.push((Route::of(&frame.header), frame.payload));
        }
    }
    packets
}

/// What was returned by each call of this procedure.
fn returned<P>(recording: &Recording) -> Vec<Bytes>
where
    P: Procedure,
{
    let mut replies = packets(&recording.to_client, MessageType::Reply);
    replies.retain(|(route, _)| route.program == P::PROGRAM && route.procedure == P::NUMBER);
    replies.into_iter().map(|(_, payload)| payload).collect()
}

fn decode<'a, T: Decode<'a>>(payload: &'a Bytes) -> T {
    T::decode(&mut Reader::new(payload)).unwrap()
}

async fn step(events: &mut EventStream<LifecycleEvent>) -> (String, Lifecycle) {
    let event = events.recv().await.unwrap();
    (event.domain.name().to_owned(), event.lifecycle)
}

#[tokio::test]
async fn daemon_sends_no_events_of_other_domains() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let (one, two) = (define(&stage, "one").await, define(&stage, "two").await);
        let (relay, connection) = through_a_relay(&stage, Driver::Test).await;
        let mut events = one
            .with_connection(&connection)
            .lifecycle_events()
            .await
            .unwrap();
        for domain in [&two, &one] {
            domain.create(DomainCreateFlags::empty()).await.unwrap();
            domain.suspend().await.unwrap();
            domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        }
        let mut steps = Vec::new();
        for _ in 0..3 {
            let (name, lifecycle) = step(&mut events).await;
            assert_eq!(name, "one");
            steps.push(lifecycle.event());
        }
        use constants::DomainEventType as Type;
        assert_eq!(steps, [Type::STARTED, Type::SUSPENDED, Type::STOPPED]);
        connection.close().await;
        let recordings = relay.finish().await;
        let sent = packets(&recordings[0].to_client, MessageType::Message);
        let names = sent.iter().map(|(route, payload)| {
            let message = Message::decode(route.program, route.procedure, payload).unwrap();
            match message.unwrap().subject {
                Subject::Domain(domain) => domain.name.to_string_lossy().into_owned(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(names.collect::<Vec<_>>(), ["one"; 3]);
    })
    .await;
}

#[tokio::test]
async fn subscribers_share_a_registration() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let (relay, connection) = through_a_relay(&stage, Driver::Test).await;
        let lifecycle = || connection.events().event(DomainEventId::LIFECYCLE);
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(lifecycle().subscribe_as::<LifecycleEvent>().await.unwrap());
        }
        let domain = stage
            .connection
            .lookup_domain_by_name("test")
            .await
            .unwrap();
        domain.suspend().await.unwrap();
        for mut stream in streams {
            let (name, lifecycle) = step(&mut stream).await;
            assert_eq!(name, "test");
            assert!(
                matches!(lifecycle, Lifecycle::Suspended(_)),
                "{lifecycle:?}"
            );
            assert!(stream.try_recv().is_none());
            stream.unsubscribe().await.unwrap();
        }
        connection.close().await;
        let recordings = relay.finish().await;
        // The other one is held as long as there are any: see "One event registration is never
        // given up".
        let asked = recordings[0]
            .called::<remote::ConnectDomainEventCallbackRegisterAny>()
            .len();
        assert_eq!(asked, 2);
        let given_up = recordings[0]
            .called::<remote::ConnectDomainEventCallbackDeregisterAny>()
            .len();
        assert_eq!(given_up, 1);
        let sent = packets(&recordings[0].to_client, MessageType::Message);
        assert_eq!(sent.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn registrations_of_two_classes_may_have_one_number() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let (relay, connection) = through_a_relay(&stage, Driver::Qemu).await;
        let domains = connection.events().event(DomainEventId::LIFECYCLE);
        let mut domains = domains.subscribe().await.unwrap();
        let networks = connection.events().event(NetworkEventId::LIFECYCLE);
        let mut networks = networks.subscribe().await.unwrap();
        define_network(&stage).await;
        let guest = stage.guest("guest", 1).await;
        guest.domain.suspend().await.unwrap();
        for _ in 0..3 {
            let event = domains.recv().await.unwrap();
            assert!(matches!(event, Event::Domain(_)), "{event:?}");
        }
        let event = networks.recv().await.unwrap();
        assert!(matches!(event, Event::Network(_)), "{event:?}");
        assert!(domains.try_recv().is_none());
        assert!(networks.try_recv().is_none());
        connection.close().await;
        let recordings = relay.finish().await;
        let of_domains = returned::<remote::ConnectDomainEventCallbackRegisterAny>(&recordings[0]);
        let of_networks = returned::<remote::ConnectNetworkEventRegisterAny>(&recordings[0]);
        let numbers = |replies: &[Bytes]| {
            let mut numbers: Vec<i32> = replies.iter().map(decode).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(numbers(&of_domains), numbers(&of_networks));
    })
    .await;
}

async fn define_network(stage: &Stage) {
    let xml = "<network><name>one</name><forward mode='bridge'/><bridge name='lo'/></network>";
    let args = remote::NetworkDefineXmlArgs { xml: xml.into() };
    let defined = stage.connection.call::<remote::NetworkDefineXml>(args);
    defined.await.unwrap();
}

#[tokio::test]
async fn calls_are_made_while_an_event_is_handled() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        let mut events = connection
            .domain_events([DomainEventId::LIFECYCLE])
            .await
            .unwrap();
        let domain = connection.lookup_domain_by_name("test").await.unwrap();
        domain.suspend().await.unwrap();
        for round in 0..50 {
            let event = events.recv().await.unwrap();
            let DomainEventKind::Lifecycle(lifecycle) = event.kind else {
                panic!("{event:?}");
            };
            // What was heard of is asked about, and changed, by the connection that told it.
            let status = event.domain.status().await.unwrap();
            if round % 2 == 0 {
                assert!(
                    matches!(lifecycle, Lifecycle::Suspended(_)),
                    "{lifecycle:?}"
                );
                assert_eq!(status.state, constants::DomainState::PAUSED);
                event.domain.resume().await.unwrap();
            } else {
                assert!(matches!(lifecycle, Lifecycle::Resumed(_)), "{lifecycle:?}");
                assert_eq!(status.state, constants::DomainState::RUNNING);
                event.domain.suspend().await.unwrap();
            }
            // And more may be asked for.
            let more = event.domain.lifecycle_events().await.unwrap();
            more.unsubscribe().await.unwrap();
        }
    })
    .await;
}
