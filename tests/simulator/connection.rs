//! Connections to the simulated daemon: who may do what, and what ends them.

use std::time::Duration;

use virtwire::constants::{ConnectListAllDomainsFlags, DomainXmlFlags, ErrorCode};
use virtwire::{Builder, Connection, remote};
use virtwire_protocol::Event;
use virtwire_protocol::event::{DomainEventKind, Lifecycle};
use virtwire_protocol::generated::keepalive;
use virtwire_protocol::header::{MessageType, Serial, Status};
use virtwire_protocol::session::Route;
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

use crate::raw::{Raw, decode};

const XML: &str = "<domain type='test'><name>guest</name><memory>1024</memory>\
                   <os><type>hvm</type></os></domain>";

async fn open(simulator: &Simulator, builder: Builder) -> Connection {
    let connected = builder.connect_with_io(simulator.connect()).await;
    let (connection, driver) = connected.unwrap();
    tokio::spawn(driver);
    connection
}

#[tokio::test(start_paused = true)]
async fn defined_domain_is_listed_and_destroyed_one_is_gone() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator, Connection::builder().uri("test:///default")).await;
        let flags = virtwire::constants::DomainCreateFlags::empty();
        let domain = connection.create_domain(XML, flags).await.unwrap();
        let listed = connection
            .list_domains(ConnectListAllDomainsFlags::empty())
            .await
            .unwrap();
        assert_eq!(listed.len(), 1);
        let xml = domain.xml(DomainXmlFlags::empty()).await.unwrap();
        assert!(xml.contains("<name>guest</name>"), "{xml}");
        let flags = virtwire::constants::DomainDestroyFlags::empty();
        domain.destroy(flags).await.unwrap();
        let error = domain.xml(DomainXmlFlags::empty()).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn readers_change_nothing() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let builder = Connection::builder().uri("qemu:///system");
        let connected = builder.connect_with_io(simulator.connect_read_only()).await;
        let (connection, driver) = connected.unwrap();
        tokio::spawn(driver);
        let flags = virtwire::constants::DomainCreateFlags::empty();
        let error = connection.create_domain(XML, flags).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_DENIED), "{error}");
        let text = error.remote().unwrap().message.clone().unwrap();
        assert!(
            text.contains("read only access prevents virDomainCreateXML"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_simulated_is_unsupported() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator, Connection::builder().uri("test:///default")).await;
        let args = remote::NodeSuspendForDurationArgs {
            target: 0,
            duration: 60,
            flags: 0,
        };
        let error = connection
            .call::<remote::NodeSuspendForDuration>(args)
            .await
            .unwrap_err();
        assert!(error.is_unsupported(), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn restarting_daemon_cuts_its_connections_and_keeps_its_domains() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator, Connection::builder().uri("test:///default")).await;
        let flags = virtwire::constants::DomainCreateFlags::empty();
        connection.create_domain(XML, flags).await.unwrap();
        simulator.restart();
        tokio::time::timeout(Duration::from_secs(1), connection.closed())
            .await
            .unwrap();
        let connection = open(&simulator, Connection::builder().uri("test:///default")).await;
        connection.lookup_domain_by_name("guest").await.unwrap();
        assert_eq!(simulator.connections(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn handler_of_ones_own_takes_the_place_of_the_simulators() {
    paused_deadline(async {
        let simulator = Simulator::builder()
            .on::<remote::ConnectGetHostname>(|_, ()| {
                Ok(remote::ConnectGetHostnameRet {
                    hostname: "elsewhere".into(),
                })
            })
            .on_async::<remote::ConnectGetSysinfo, _>(|_, _| async {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(remote::ConnectGetSysinfoRet {
                    sysinfo: "<sysinfo/>".into(),
                })
            })
            .start();
        let connection = open(&simulator, Connection::builder().uri("test:///default")).await;
        let args = remote::ConnectGetSysinfoArgs { flags: 0 };
        let slow = connection.call::<remote::ConnectGetSysinfo>(args);
        let quick = connection.call::<remote::ConnectGetHostname>(());
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!(quick.unwrap().decode().unwrap().hostname, "elsewhere");
        assert_eq!(slow.unwrap().decode().unwrap().sysinfo, "<sysinfo/>");
    })
    .await;
}

/// A simulator with a call that takes an hour.
fn slow() -> Simulator {
    let builder = Simulator::builder().on_async::<remote::ConnectGetSysinfo, _>(|_, _| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(remote::ConnectGetSysinfoRet {
            sysinfo: "<sysinfo/>".into(),
        })
    });
    builder.start()
}

fn ping() -> Route {
    Route::new(keepalive::PROGRAM, keepalive::Ping::NUMBER, Serial::new(0))
}

fn pong() -> Route {
    Route::new(keepalive::PROGRAM, keepalive::Pong::NUMBER, Serial::new(0))
}

/// Asks for the feature that starts the daemon's pings.
async fn ask_for_keepalive(raw: &mut Raw) {
    let args = remote::ConnectSupportsFeatureArgs { feature: 10 };
    let (_, payload) = raw.call::<remote::ConnectSupportsFeature>(&args).await;
    let ret: remote::ConnectSupportsFeatureRet = decode(&payload);
    assert_eq!(ret.supported, 1);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_without_being_agreed_upon() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        raw.say(ping(), MessageType::Message, Status::Ok, &[]).await;
        let answer = raw.next().await.unwrap();
        assert_eq!(
            answer.header,
            pong().header(MessageType::Message, Status::Ok)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silent_client_is_given_up_after_half_a_minute() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        raw.hears_nothing().await;
        ask_for_keepalive(&mut raw).await;
        let begun = tokio::time::Instant::now();
        let mut pings = 0;
        while let Some(frame) = raw.next().await {
            assert_eq!(
                frame.header,
                ping().header(MessageType::Message, Status::Ok)
            );
            pings += 1;
        }
        assert_eq!((pings, begun.elapsed().as_secs()), (5, 30));
        assert_eq!(simulator.connections(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn client_that_answers_pings_stays() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        ask_for_keepalive(&mut raw).await;
        for _ in 0..100 {
            let frame = raw.next().await.unwrap();
            assert_eq!(
                frame.header,
                ping().header(MessageType::Message, Status::Ok)
            );
            raw.say(pong(), MessageType::Message, Status::Ok, &[]).await;
        }
        // Our own client does, and asks for signs of life itself.
        let builder = Connection::builder().uri("qemu:///system");
        let builder = builder.keepalive(Duration::from_secs(1), 3);
        let connection = open(&simulator, builder).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        connection.hostname().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn daemon_is_deaf_once_all_requests_are_in_progress() {
    paused_deadline(async {
        let simulator = slow();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        ask_for_keepalive(&mut raw).await;
        let args = remote::ConnectGetSysinfoArgs { flags: 0 };
        for _ in 0..4 {
            raw.start::<remote::ConnectGetSysinfo>(&args).await;
        }
        // With one place left it hears everything.
        raw.say(ping(), MessageType::Message, Status::Ok, &[]).await;
        let answer = raw.next().await.unwrap();
        assert_eq!(
            answer.header,
            pong().header(MessageType::Message, Status::Ok)
        );
        raw.start::<remote::ConnectGetSysinfo>(&args).await;
        let begun = tokio::time::Instant::now();
        raw.say(ping(), MessageType::Message, Status::Ok, &[]).await;
        // Its own pings go out, and the answers to them stay unread: that is the end.
        while let Some(frame) = raw.next().await {
            assert_eq!(
                frame.header,
                ping().header(MessageType::Message, Status::Ok)
            );
            raw.say(pong(), MessageType::Message, Status::Ok, &[]).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 30);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_its_events_is_cut_off() {
    paused_deadline(async {
        let xml = XML.replace("test", "kvm");
        let simulator = Simulator::builder().domain(&xml).unwrap().start();
        let domain = simulator.domain("guest").unwrap();
        let mut raw = Raw::open(&simulator, "qemu:///system").await;
        raw.call::<remote::ConnectDomainEventRegister>(&()).await;
        let resumed = virtwire::constants::DomainEventResumedDetailType::UNPAUSED;
        let event = DomainEventKind::from(Lifecycle::Resumed(resumed));
        for _ in 0..200_000 {
            domain.emit(&event).unwrap();
            if simulator.connections() == 0 {
                return;
            }
            // The daemon's task has its turn now and then, and finds the client's buffer full.
            tokio::task::coop::consume_budget().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(simulator.connections(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_leave_nothing_behind() {
    paused_deadline(async {
        let simulator = slow();
        for _ in 0..100 {
            let mut raw = Raw::open(&simulator, "qemu:///system").await;
            raw.call::<remote::ConnectDomainEventRegister>(&()).await;
            let args = remote::ConnectGetSysinfoArgs { flags: 0 };
            raw.start::<remote::ConnectGetSysinfo>(&args).await;
        }
        while simulator.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(simulator.registrations(), 0);
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        assert_eq!(tasks, 0);
    })
    .await;
}
