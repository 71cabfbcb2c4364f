//! Domains on the simulated daemon: libvirt's rules, as a client sees them.

use std::time::Duration;

use virtwire::constants::{
    ConnectListAllDomainsFlags as List, DomainCreateFlags, DomainDestroyFlags, DomainPausedReason,
    DomainRunningReason, DomainShutoffReason, DomainState, DomainXmlFlags, ErrorCode,
};
use virtwire::{Connection, Domain, Error, remote};
use virtwire_protocol::Procedure;
use virtwire_protocol::remote::NonnullDomain;
use virtwire_sim::Simulator;
use virtwire_tests::paused_deadline;

/// A connection to the QEMU driver.
pub(crate) async fn open(simulator: &Simulator) -> Connection {
    let builder = Connection::builder().uri("qemu:///system");
    let connected = builder.connect_with_io(simulator.connect()).await;
    let (connection, driver) = connected.unwrap();
    tokio::spawn(driver);
    connection
}

/// The XML of a small guest.
pub(crate) fn xml(name: &str) -> String {
    format!(
        "<domain type='kvm'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>\
         <os><type>hvm</type></os><devices>\
         <disk type='file'><source file='/{name}.img'/><target dev='vda'/></disk>\
         <graphics type='vnc' passwd='secret'/></devices></domain>"
    )
}

fn reference(domain: &Domain) -> NonnullDomain<'static> {
    NonnullDomain {
        name: domain.name().to_owned().into(),
        uuid: *domain.uuid().as_bytes(),
        id: -1,
    }
}

async fn ask<P: Procedure>(connection: &Connection, args: P::Args<'_>) -> Result<(), Error> {
    connection.call::<P>(args).await.map(drop)
}

async fn state(domain: &Domain) -> (DomainState, i32) {
    let args = remote::DomainGetStateArgs {
        dom: reference(domain),
        flags: 0,
    };
    let reply = domain
        .connection()
        .call::<remote::DomainGetState>(args)
        .await;
    let ret = reply.unwrap().decode().unwrap();
    (DomainState(ret.state), ret.reason)
}

fn code(result: Result<impl Sized, Error>) -> ErrorCode {
    let error = result.map(drop).unwrap_err();
    error.code().unwrap_or_else(|| panic!("{error}"))
}

#[tokio::test(start_paused = true)]
async fn states_and_reasons_follow_what_is_done() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .define_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        assert_eq!(state(&domain).await, (DomainState::SHUTOFF, 0));
        domain.create(DomainCreateFlags::PAUSED).await.unwrap();
        let paused = (DomainState::PAUSED, DomainPausedReason::USER.0);
        assert_eq!(state(&domain).await, paused);
        domain.resume().await.unwrap();
        let running = (DomainState::RUNNING, DomainRunningReason::UNPAUSED.0);
        assert_eq!(state(&domain).await, running);
        assert_eq!(code(domain.resume().await), ErrorCode::OPERATION_INVALID);
        domain.suspend().await.unwrap();
        domain.suspend().await.unwrap();
        assert_eq!(
            code(domain.shutdown(Default::default()).await),
            ErrorCode::OPERATION_INVALID
        );
        domain.destroy(DomainDestroyFlags::GRACEFUL).await.unwrap();
        let destroyed = (DomainState::SHUTOFF, DomainShutoffReason::DESTROYED.0);
        assert_eq!(state(&domain).await, destroyed);
        for refused in [
            domain.destroy(DomainDestroyFlags::empty()).await,
            domain.suspend().await,
            domain.resume().await,
        ] {
            assert_eq!(code(refused), ErrorCode::OPERATION_INVALID);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn guests_take_their_time_to_shut_down() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .create_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        domain.shutdown(Default::default()).await.unwrap();
        assert_eq!(state(&domain).await.0, DomainState::RUNNING);
        tokio::time::sleep(Duration::from_secs(2)).await;
        // It was transient.
        assert_eq!(code(domain.suspend().await), ErrorCode::NO_DOMAIN);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn change_of_the_definition_waits_for_the_next_start() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .create_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        let definition = xml("a")
            .replace("64", "32")
            .replace("<name>", &format!("<uuid>{}</uuid><name>", domain.uuid()));
        connection
            .define_domain(&definition, Default::default())
            .await
            .unwrap();
        let live = domain.xml(DomainXmlFlags::empty()).await.unwrap();
        let inactive = domain.xml(DomainXmlFlags::INACTIVE).await.unwrap();
        assert!(live.contains("<memory unit='KiB'>65536</memory>"), "{live}");
        assert!(live.starts_with("<domain type='kvm' id='1'>"), "{live}");
        assert!(
            inactive.contains("<memory unit='KiB'>32768</memory>"),
            "{inactive}"
        );
        assert!(inactive.starts_with("<domain type='kvm'>"), "{inactive}");
        // It is persistent now: it stays when it stops, and starts from the definition.
        domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        domain.create(DomainCreateFlags::empty()).await.unwrap();
        let live = domain.xml(DomainXmlFlags::empty()).await.unwrap();
        assert!(live.contains("<memory unit='KiB'>32768</memory>"), "{live}");
        // Undefined while it runs, it is transient.
        domain.undefine(Default::default()).await.unwrap();
        assert_eq!(
            code(domain.undefine(Default::default()).await),
            ErrorCode::OPERATION_INVALID
        );
        domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        assert_eq!(
            code(domain.xml(DomainXmlFlags::empty()).await),
            ErrorCode::NO_DOMAIN
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn passwords_are_shown_to_those_who_ask_and_may() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .create_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        let plain = domain.xml(DomainXmlFlags::empty()).await.unwrap();
        let secure = domain.xml(DomainXmlFlags::SECURE).await.unwrap();
        assert!(!plain.contains("secret") && secure.contains("secret"));
        let reader = Connection::builder().uri("qemu:///system");
        let connected = reader.connect_with_io(simulator.connect_read_only()).await;
        let (reader, driver) = connected.unwrap();
        tokio::spawn(driver);
        let domain = domain.with_connection(&reader);
        assert!(domain.xml(DomainXmlFlags::empty()).await.is_ok());
        for flags in [DomainXmlFlags::SECURE, DomainXmlFlags::MIGRATABLE] {
            assert_eq!(code(domain.xml(flags).await), ErrorCode::OPERATION_DENIED);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_and_uuids_are_ones_own() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let uuid = "11111111-2222-3333-4444-555555555555";
        let with_uuid =
            |name: &str| xml(name).replace("<vcpu>", &format!("<uuid>{uuid}</uuid><vcpu>"));
        let define = |xml: String| {
            let connection = connection.clone();
            async move { connection.define_domain(&xml, Default::default()).await }
        };
        define(with_uuid("a")).await.unwrap();
        define(with_uuid("a")).await.unwrap();
        for (xml, words) in [
            (
                with_uuid("b"),
                format!("domain 'a' is already defined with uuid {uuid}"),
            ),
            (
                xml("a"),
                format!("domain 'a' already exists with uuid {uuid}"),
            ),
        ] {
            let error = define(xml).await.unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::OPERATION_FAILED));
            let text = error.remote().unwrap().message.clone().unwrap();
            assert_eq!(text, format!("operation failed: {words}"));
        }
        let flags = DomainCreateFlags::empty();
        connection
            .create_domain(&with_uuid("a"), flags)
            .await
            .unwrap();
        let again = connection.create_domain(&with_uuid("a"), flags).await;
        assert_eq!(code(again), ErrorCode::OPERATION_INVALID);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_by_groups_of_flags() {
    paused_deadline(async {
        let simulator = Simulator::builder().fleet(12).unwrap().start();
        let connection = open(&simulator).await;
        let count = |flags: List| {
            let connection = connection.clone();
            async move { connection.list_domains(flags).await.unwrap().len() }
        };
        assert_eq!(count(List::empty()).await, 12);
        for (flags, expected) in [
            (List::ACTIVE, 8),
            (List::INACTIVE, 4),
            (List::ACTIVE | List::INACTIVE, 12),
            (List::TRANSIENT, 2),
            (List::TRANSIENT | List::INACTIVE, 0),
            (List::RUNNING, 4),
            (List::PAUSED, 2),
            (List::OTHER, 2),
            (List::PAUSED | List::OTHER, 4),
            (List::PAUSED | List::OTHER | List::INACTIVE, 0),
            (List::SHUTOFF | List::NO_MANAGEDSAVE, 2),
            (List::MANAGEDSAVE, 2),
            (List::AUTOSTART | List::NO_AUTOSTART, 12),
            (List::AUTOSTART | List::RUNNING, 1),
            (List::HAS_SNAPSHOT, 0),
            (List::NO_SNAPSHOT | List::NO_CHECKPOINT, 12),
        ] {
            assert_eq!(count(flags).await, expected, "{flags:?}");
        }
        let unknown = connection
            .list_domains(List::from_bits_retain(1 << 20))
            .await;
        assert_eq!(code(unknown), ErrorCode::INVALID_ARG);
        let args = remote::ConnectListAllDomainsArgs {
            need_results: 0,
            flags: 0,
        };
        let reply = connection
            .call::<remote::ConnectListAllDomains>(args)
            .await
            .unwrap();
        let ret = reply.decode().unwrap();
        assert_eq!((ret.domains.len(), ret.ret), (0, 12));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn old_programs_count_and_list_domains_too() {
    paused_deadline(async {
        let simulator = Simulator::builder().fleet(6).unwrap().start();
        let connection = open(&simulator).await;
        let active = connection
            .call::<remote::ConnectNumOfDomains>(())
            .await
            .unwrap();
        assert_eq!(active.decode().unwrap().num, 4);
        let args = remote::ConnectListDomainsArgs { maxids: 3 };
        let ids = connection
            .call::<remote::ConnectListDomains>(args)
            .await
            .unwrap();
        assert_eq!(ids.decode().unwrap().ids.len(), 3);
        let defined = connection
            .call::<remote::ConnectNumOfDefinedDomains>(())
            .await
            .unwrap();
        assert_eq!(defined.decode().unwrap().num, 2);
        let args = remote::ConnectListDefinedDomainsArgs { maxnames: 100 };
        let names = connection
            .call::<remote::ConnectListDefinedDomains>(args)
            .await
            .unwrap();
        assert_eq!(names.decode().unwrap().names.len(), 2);
        let args = remote::ConnectListDomainsArgs { maxids: -1 };
        let negative = ask::<remote::ConnectListDomains>(&connection, args).await;
        assert_eq!(code(negative), ErrorCode::INVALID_ARG);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn saved_domain_goes_on_where_it_was() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .define_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        domain.create(DomainCreateFlags::PAUSED).await.unwrap();
        let args = || remote::DomainManagedSaveArgs {
            dom: reference(&domain),
            flags: 0,
        };
        ask::<remote::DomainManagedSave>(&connection, args())
            .await
            .unwrap();
        assert_eq!(state(&domain).await.1, DomainShutoffReason::SAVED.0);
        let undefined = domain.undefine(Default::default()).await;
        assert_eq!(code(undefined), ErrorCode::OPERATION_INVALID);
        domain.create(DomainCreateFlags::empty()).await.unwrap();
        assert_eq!(state(&domain).await.0, DomainState::PAUSED);
        assert_eq!(
            connection
                .list_domains(List::MANAGEDSAVE)
                .await
                .unwrap()
                .len(),
            0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn autodestroyed_domain_ends_with_its_connection() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let flags = DomainCreateFlags::AUTODESTROY;
        connection.create_domain(&xml("a"), flags).await.unwrap();
        connection
            .create_domain(&xml("b"), DomainCreateFlags::empty())
            .await
            .unwrap();
        connection.close().await;
        while simulator.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(simulator.domain("a").is_none());
        assert!(simulator.domain("b").is_some());
    })
    .await;
}

/// A call that waits for a hypervisor that does not answer, and so holds the domain.
fn stuck(domain: &Domain) -> tokio::task::JoinHandle<Result<(), Error>> {
    let disk = domain.disk("vda");
    tokio::spawn(async move { disk.info().await.map(drop) })
}

#[tokio::test(start_paused = true)]
async fn calls_on_one_domain_wait_for_each_other_half_a_minute() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .create_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        let other = connection
            .create_domain(&xml("b"), Default::default())
            .await
            .unwrap();
        simulator.domain("a").unwrap().freeze().unwrap();
        let holder = stuck(&domain);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = tokio::time::Instant::now();
        other.suspend().await.unwrap();
        assert_eq!(state(&domain).await.0, DomainState::RUNNING);
        assert_eq!(begun.elapsed().as_secs(), 0);
        let error = domain.suspend().await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_TIMEOUT));
        let text = error.remote().unwrap().message.clone().unwrap();
        assert_eq!(
            text,
            "Timed out during operation: cannot acquire state change lock \
             (held by monitor=remoteDispatchDomainGetBlockInfo)"
        );
        // Within the half minute it is a matter of waiting.
        let waiting = tokio::spawn(async move { domain.suspend().await });
        tokio::time::sleep(Duration::from_secs(29)).await;
        simulator.domain("a").unwrap().thaw().unwrap();
        waiting.await.unwrap().unwrap();
        holder.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn destroying_ends_what_others_wait_for() {
    paused_deadline(async {
        let simulator = Simulator::builder().start();
        let connection = open(&simulator).await;
        let domain = connection
            .create_domain(&xml("a"), Default::default())
            .await
            .unwrap();
        simulator.domain("a").unwrap().freeze().unwrap();
        let (holder, waiting) = (stuck(&domain), stuck(&domain));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = tokio::time::Instant::now();
        domain.destroy(DomainDestroyFlags::empty()).await.unwrap();
        holder.await.unwrap().unwrap_err();
        assert_eq!(code(waiting.await.unwrap()), ErrorCode::NO_DOMAIN);
        assert!(begun.elapsed().as_secs() < 30);
    })
    .await;
}
