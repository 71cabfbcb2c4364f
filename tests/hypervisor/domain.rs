//! Domains on the test driver, with virsh as the witness.

use virtwire::constants::{
    ConnectListAllDomainsFlags, DomainCreateFlags, DomainDefineFlags, DomainDestroyFlags,
    DomainPausedReason, DomainRunningReason, DomainShutdownFlags, DomainShutoffReason, DomainState,
    DomainUndefineFlags, DomainXmlFlags, ErrorCode,
};
use virtwire::{Connection, Domain, ErrorKind, Uuid};
use virtwire_lab::Driver;
use virtwire_tests::{deadline, fleet};

use crate::Stage;

const ALL: ConnectListAllDomainsFlags = ConnectListAllDomainsFlags::empty();

async fn test_domain(connection: &Connection) -> Domain {
    connection.lookup_domain_by_name("test").await.unwrap()
}

fn xml(name: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><memory unit='KiB'>65536</memory>\
         <currentMemory unit='KiB'>32768</currentMemory><vcpu>3</vcpu>\
         <os><type>hvm</type></os></domain>"
    )
}

async fn names(connection: &Connection, flags: ConnectListAllDomainsFlags) -> Vec<String> {
    let domains = connection.list_domains(flags).await.unwrap();
    domains
        .iter()
        .map(|domain| domain.name().to_owned())
        .collect()
}

async fn is_in(domain: &Domain, state: DomainState, reason: i32) {
    let status = domain.status().await.unwrap();
    assert_eq!((status.state, status.reason), (state, reason));
}

#[tokio::test]
async fn domain_is_found_by_name_uuid_and_id() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let domain = test_domain(&stage.connection).await;
        assert_eq!((domain.name(), domain.id()), ("test", Some(1)));
        let virsh = stage.virsh(Driver::Test, &["domuuid", "test"]).await;
        assert_eq!(domain.uuid(), virsh.trim().parse::<Uuid>().unwrap());
        let by_uuid = stage
            .connection
            .lookup_domain_by_uuid(domain.uuid())
            .await
            .unwrap();
        let by_id = stage.connection.lookup_domain_by_id(1).await.unwrap();
        for same in [by_uuid, by_id] {
            assert_eq!(same, domain);
            assert_eq!((same.name(), same.id()), ("test", Some(1)));
        }
    })
    .await;
}

#[tokio::test]
async fn domain_that_is_not_there_is_not_found() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        let nobody = Uuid::from([9; 16]);
        for error in [
            connection
                .lookup_domain_by_name("nobody")
                .await
                .unwrap_err(),
            connection.lookup_domain_by_name("").await.unwrap_err(),
            connection.lookup_domain_by_uuid(nobody).await.unwrap_err(),
            connection.lookup_domain_by_id(4711).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Some(ErrorCode::NO_DOMAIN), "{error}");
            assert!(error.is_not_found());
        }
    })
    .await;
}

#[tokio::test]
async fn lists_narrow_by_their_flags() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        let flags = DomainDefineFlags::empty();
        connection
            .define_domain(&xml("defined"), flags)
            .await
            .unwrap();
        connection
            .create_domain(&xml("passing"), DomainCreateFlags::empty())
            .await
            .unwrap();
        test_domain(connection).await.suspend().await.unwrap();

        type Flags = ConnectListAllDomainsFlags;
        for (flags, expected) in [
            (Flags::empty(), vec!["defined", "passing", "test"]),
            (Flags::ACTIVE, vec!["passing", "test"]),
            (Flags::INACTIVE, vec!["defined"]),
            (Flags::PERSISTENT, vec!["defined", "test"]),
            (Flags::TRANSIENT, vec!["passing"]),
            (Flags::PAUSED, vec!["test"]),
            (Flags::RUNNING | Flags::PAUSED, vec!["passing", "test"]),
            (Flags::ACTIVE | Flags::PERSISTENT, vec!["test"]),
            (Flags::PAUSED | Flags::TRANSIENT, vec![]),
        ] {
            let mut names = names(connection, flags).await;
            names.sort();
            assert_eq!(names, expected, "{flags:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn domain_lives_through_all_its_states() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        let flags = DomainDefineFlags::empty();
        let defined = connection.define_domain(&xml("life"), flags).await.unwrap();
        assert_eq!(defined.id(), None);
        assert!(!defined.is_active().await.unwrap());
        assert_eq!(defined.status().await.unwrap().state, DomainState::SHUTOFF);

        let running = defined.create(DomainCreateFlags::empty()).await.unwrap();
        assert!(running.id().is_some());
        assert_eq!(running, defined);
        assert!(running.is_active().await.unwrap());
        is_in(
            &running,
            DomainState::RUNNING,
            DomainRunningReason::BOOTED.0,
        )
        .await;
        let again = running
            .create(DomainCreateFlags::empty())
            .await
            .unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Remote, "{again}");

        running.suspend().await.unwrap();
        is_in(&running, DomainState::PAUSED, DomainPausedReason::USER.0).await;
        running.resume().await.unwrap();
        is_in(
            &running,
            DomainState::RUNNING,
            DomainRunningReason::UNPAUSED.0,
        )
        .await;
        running
            .shutdown(DomainShutdownFlags::empty())
            .await
            .unwrap();
        is_in(
            &running,
            DomainState::SHUTOFF,
            DomainShutoffReason::SHUTDOWN.0,
        )
        .await;

        let running = defined.create(DomainCreateFlags::empty()).await.unwrap();
        running.destroy(DomainDestroyFlags::empty()).await.unwrap();
        is_in(
            &running,
            DomainState::SHUTOFF,
            DomainShutoffReason::DESTROYED.0,
        )
        .await;
        let again = running
            .destroy(DomainDestroyFlags::empty())
            .await
            .unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::OPERATION_INVALID), "{again}");

        defined
            .undefine(DomainUndefineFlags::empty())
            .await
            .unwrap();
        assert!(defined.status().await.unwrap_err().is_not_found());
        assert_eq!(names(connection, ALL).await, ["test"]);
    })
    .await;
}

#[tokio::test]
async fn transient_domain_is_gone_when_it_stops() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let flags = DomainCreateFlags::empty();
        let domain = stage
            .connection
            .create_domain(&xml("passing"), flags)
            .await
            .unwrap();
        assert!(domain.id().is_some());
        domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        assert!(domain.status().await.unwrap_err().is_not_found());
    })
    .await;
}

#[tokio::test]
async fn xml_that_the_daemon_cannot_use_is_its_refusal() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        for xml in ["", "no XML", "<domain type='test'/>", "<network/>"] {
            let flags = DomainDefineFlags::empty();
            let refused = stage
                .connection
                .define_domain(xml, flags)
                .await
                .unwrap_err();
            let code = refused.code();
            assert!(
                [
                    ErrorCode::XML_ERROR,
                    ErrorCode::XML_DETAIL,
                    ErrorCode::NO_NAME
                ]
                .map(Some)
                .contains(&code),
                "{xml}: {refused:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn figures_are_those_that_virsh_shows() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let virsh = async |arguments: &[&str]| stage.virsh(Driver::Test, arguments).await;
        let domain = test_domain(&stage.connection).await;
        let info = domain.info().await.unwrap();
        let dominfo = virsh(&["dominfo", "test"]).await;
        let figure = |label: &str| {
            let line = dominfo
                .lines()
                .find(|line| line.starts_with(label))
                .unwrap();
            line.split_whitespace()
                .filter_map(|word| word.parse::<u64>().ok())
                .next_back()
                .unwrap()
        };
        assert_eq!(u64::from(info.vcpus), figure("CPU(s):"));
        assert_eq!(info.max_memory_kib, figure("Max memory:"));
        assert_eq!(info.memory_kib, figure("Used memory:"));
        assert_eq!(info.state, DomainState::RUNNING);

        let status = domain.status().await.unwrap();
        let domstate = virsh(&["domstate", "--reason", "test"]).await;
        assert_eq!(domstate.trim(), "running (unknown)");
        assert_eq!(status.state, DomainState::RUNNING);
        assert_eq!(status.reason_name(), Some("UNKNOWN"));

        let listed = names(&stage.connection, ALL).await;
        let list = virsh(&["list", "--all", "--name"]).await;
        assert_eq!(listed, list.split_whitespace().collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn xml_is_what_virsh_shows() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let domain = test_domain(&stage.connection).await;
        for (flags, option) in [
            (DomainXmlFlags::empty(), None),
            (DomainXmlFlags::INACTIVE, Some("--inactive")),
        ] {
            let arguments: Vec<_> = ["dumpxml", "test"].into_iter().chain(option).collect();
            let virsh = stage.virsh(Driver::Test, &arguments).await;
            assert_eq!(
                domain.xml(flags).await.unwrap().trim_end(),
                virsh.trim_end()
            );
        }
        assert!(domain.disks(DomainXmlFlags::empty()).await.unwrap().len() <= 1);
    })
    .await;
}

#[tokio::test]
async fn whole_fleet_is_listed_with_the_state_of_each() {
    deadline(async {
        let stage = Stage::fleet(200).await;
        let connection = &stage.connection;
        let listed = connection.list_domains_with_status(ALL).await.unwrap();
        assert_eq!(listed.len(), 200);
        for listed in listed {
            let number = fleet::number_of(listed.domain.name());
            assert_eq!(listed.status.unwrap().state, fleet::state(number));
        }
        let paused = ConnectListAllDomainsFlags::PAUSED;
        assert_eq!(
            connection
                .list_domains_with_status(paused)
                .await
                .unwrap()
                .len(),
            67
        );
    })
    .await;
}
