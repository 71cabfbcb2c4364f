//! Connections to the simulated daemon: who may do what, and what ends them.

use std::time::Duration;

use virtwire::constants::{ConnectListAllDomainsFlags, DomainXmlFlags, ErrorCode};
use virtwire::{Builder, Connection, remote};
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

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
