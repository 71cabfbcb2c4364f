//! The simulated daemon, driven by virsh and so by libvirt's own client library.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use virtwire_lab::{Daemon, Driver};
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use crate::guest::{MID, SIZE, TOP};
use crate::served::Served;
use crate::transcript::same_on_both;

fn xml(kind: &str) -> String {
    format!(
        "<domain type='{kind}'>\
           <name>guest</name>\
           <uuid>11111111-2222-3333-4444-555555555555</uuid>\
           <title>A guest</title>\
           <memory unit='MiB'>64</memory>\
           <vcpu>2</vcpu>\
           <os><type>hvm</type></os>\
           <devices>\
             <disk type='file'><source file='/images/a.img'/><target dev='vda'/></disk>\
             <interface type='bridge'>\
               <mac address='52:54:00:11:22:33'/><source bridge='br0'/><model type='virtio'/>\
             </interface>\
             <memballoon model='virtio'/>\
           </devices>\
         </domain>"
    )
}

#[tokio::test]
async fn virsh_opens_both_drivers() {
    deadline(async {
        let served = Served::new(Simulator::builder().hostname("elsewhere").start());
        for driver in ["test", "qemu"] {
            assert_eq!(served.says(driver, &["hostname"]).await.trim(), "elsewhere");
            let uri = served.says(driver, &["uri"]).await;
            assert!(uri.starts_with(driver), "{uri}");
            let version = served.says(driver, &["version"]).await;
            assert!(version.contains("Running hypervisor"), "{version}");
            for command in [
                "nodeinfo",
                "capabilities",
                "sysinfo",
                "nodecpumap",
                "freecell",
            ] {
                served.says(driver, &[command]).await;
            }
        }
    })
    .await;
}

/// What is told of a domain of the test driver, in every state.
const TEST: &str = "
    define XML
    define XML
    list --all
    dominfo guest
    domstate guest --reason
    domid guest
    domuuid guest
    domname 11111111-2222-3333-4444-555555555555
    domblklist guest --details
    domiflist guest
    desc guest
    desc guest --title
    desc guest a new one
    desc guest
    desc guest --title --new-desc other
    dumpxml guest
    vcpucount guest
    metadata guest urn:x
    metadata guest urn:x --key k --set <app/>
    metadata guest urn:x
    start guest
    start guest
    list
    list --all --title
    list --uuid
    list --name --state-running
    list --inactive
    list --persistent --with-managed-save
    dominfo guest
    domstate guest --reason
    domstats guest
    domstats --state --list-running
    domstats --balloon --enforce guest
    dommemstat guest
    vcpucount guest
    setmem guest 32M --config
    dumpxml guest --inactive
    suspend guest
    domstate guest --reason
    resume guest
    domstate guest --reason
    undefine nothing
    domrename guest other
    shutdown guest
    domstate guest --reason
    domrename guest other
    domrename other guest
    managedsave guest
    list --all
    undefine guest
    list --all
    create XML
    create XML
    autostart nothing
    destroy guest
    destroy guest
    list --all --transient
    domstate guest
";

#[tokio::test]
async fn test_driver_says_the_same_as_the_real_one() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        let file = served.file("guest.xml");
        std::fs::write(&file, xml("test")).unwrap();
        let script = TEST.replace("XML", file.to_str().unwrap());
        // The real one begins with a domain, a network and a pool, which the simulated one lacks.
        let real = daemon.uri(Driver::Test);
        // What it has is forgotten when nobody is connected.
        let _keeper = virtwire::Connection::open(&real).await.unwrap();
        crate::served::virsh(&real, &["destroy", "test"]).await;
        crate::served::virsh(&real, &["undefine", "test"]).await;
        // Numbers are given out in order.
        served
            .says("test", &["create", file.to_str().unwrap()])
            .await;
        served.says("test", &["destroy", "guest"]).await;
        same_on_both(&real, &served.uri("test"), &script).await;
    })
    .await;
}

/// What is told of a domain of the QEMU driver, as far as it does not depend on the machine.
const QEMU: &str = "
    define XML
    define XML
    list --all
    domstate guest --reason
    domid guest
    domuuid guest
    desc guest
    desc guest --title
    vcpucount guest
    suspend guest
    resume guest
    shutdown guest
    reset guest
    reboot guest
    destroy guest
    managedsave guest
    managedsave-remove guest
    domstats guest --state --balloon --vcpu
    dommemstat guest
    domifstat guest vnet0
    domblkstat guest vda
    setmem guest 128M
    setmem guest 32M
    setmem guest 32M --live
    setvcpus guest 3
    setvcpus guest 3 --maximum --config
    setvcpus guest 3 --config
    vcpucount guest
    autostart guest
    list --all --autostart
    list --all --no-autostart
    autostart guest --disable
    domrename guest guest
    domrename guest a/b
    domrename guest other
    domrename other guest
    metadata guest urn:x
    metadata guest urn:x --key k --set <app/>
    metadata guest urn:x
    dominfo nothing
    domstate 11111111-2222-3333-4444-666666666666
    undefine guest
    undefine guest
    list --all
";

#[tokio::test]
async fn qemu_driver_says_the_same_as_the_real_one() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        let file = served.file("guest.xml");
        std::fs::write(&file, xml("qemu")).unwrap();
        let script = QEMU.replace("XML", file.to_str().unwrap());
        same_on_both(&daemon.uri(Driver::Qemu), &served.uri("qemu"), &script).await;
    })
    .await;
}

#[tokio::test]
async fn virsh_shows_a_fleet() {
    deadline(async {
        let served = Served::new(Simulator::builder().fleet(60).unwrap().start());
        let list = served.says("qemu", &["list", "--all", "--name"]).await;
        assert_eq!(list.lines().filter(|line| !line.is_empty()).count(), 60);
        let stats = served.says("qemu", &["domstats", "--raw"]).await;
        assert_eq!(stats.matches("Domain: ").count(), 60);
        for expected in [
            "block.0.name=vda",
            "net.0.name=vnet0",
            "vcpu.0.state=1",
            "cpu.time=",
        ] {
            assert!(stats.contains(expected), "{expected}");
        }
        served
            .says("qemu", &["domblkstat", "guest-0001", "vda"])
            .await;
        served
            .says("qemu", &["domifstat", "guest-0001", "vnet0"])
            .await;
        served.says("qemu", &["vcpuinfo", "guest-0001"]).await;
        served.says("qemu", &["dominfo", "guest-0001"]).await;
    })
    .await;
}

#[tokio::test]
async fn virsh_hears_events() {
    deadline(async {
        let served = Served::new(Simulator::builder().domain(&xml("kvm")).unwrap().start());
        let uri = served.uri("qemu");
        let mut command = Command::new("virsh");
        let command = command
            .env("LC_ALL", "C")
            .args(["-c", &uri, "event", "--all", "--loop"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let mut listener = command.spawn().unwrap();
        let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
        while served.simulator.registrations() < 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        served.says("qemu", &["suspend", "guest"]).await;
        served
            .says("qemu", &["desc", "guest", "something new"])
            .await;
        served.simulator.domain("guest").unwrap().crash().unwrap();
        for expected in [
            "event 'lifecycle' for domain 'guest': Suspended Paused",
            "event 'metadata-change' for domain 'guest': type description",
            "event 'lifecycle' for domain 'guest': Stopped Failed",
        ] {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(expected), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn readers_see_and_do_not_touch() {
    deadline(async {
        let served = Served::new(Simulator::builder().domain(&xml("kvm")).unwrap().start());
        served
            .says("qemu", &["--readonly", "dumpxml", "guest"])
            .await;
        let error = served
            .refuses("qemu", &["--readonly", "destroy", "guest"])
            .await;
        let expected = "operation forbidden: read only access prevents virDomainDestroy";
        assert!(error.contains(expected), "{error}");
        let secure = ["--readonly", "dumpxml", "--security-info", "guest"];
        let error = served.refuses("qemu", &secure).await;
        let expected = "operation forbidden: virDomainGetXMLDesc with secure flag";
        assert!(error.contains(expected), "{error}");
    })
    .await;
}

/// What happens to a domain, for the sake of the events.
const LIFE: &str = "
    define XML
    define XML
    start guest
    suspend guest
    resume guest
    desc guest words
    destroy guest
    start guest --paused
    resume guest
    managedsave guest
    start guest
    suspend guest
    managedsave guest
    start guest
    undefine guest
    destroy guest
    create XML
    define XML
    destroy guest
    domrename guest other
    undefine other
";

/// The events that the script causes, as virsh tells them.
async fn events(uri: &str, script: &str) -> Vec<String> {
    let mut command = Command::new("virsh");
    let command = command
        .env("LC_ALL", "C")
        .args(["-c", uri, "event", "--all", "--loop"])
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    let mut listener = command.spawn().unwrap();
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    // Nothing tells that it listens: what is told of this domain does.
    let file = script.split_whitespace().nth(1).unwrap();
    let first = loop {
        crate::served::virsh(uri, &["define", file]).await;
        let next = tokio::time::timeout(Duration::from_millis(300), lines.next_line()).await;
        if let Ok(line) = next {
            break line.unwrap().unwrap();
        }
    };
    assert!(first.contains("Defined"), "{first}");
    crate::served::virsh(uri, &["undefine", "guest"]).await;
    for command in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = command.split_whitespace().collect();
        let output = crate::served::virsh(uri, &words).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
    }
    let mut told = Vec::new();
    while let Ok(line) = tokio::time::timeout(Duration::from_secs(2), lines.next_line()).await {
        told.push(line.unwrap().unwrap());
    }
    let begun = told.iter().position(|line| line.contains("Undefined"));
    told.drain(..=begun.unwrap());
    // The figures of a job are on lines of their own, and how many rounds it takes is a matter of
    // the machine.
    told.retain(|line| line.starts_with("event") && !line.contains("migration-iteration"));
    told
}

#[tokio::test]
async fn events_come_in_the_order_of_the_real_ones() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        let file = served.file("guest.xml");
        let xml = "<domain type='qemu'><name>guest</name>\
                   <uuid>11111111-2222-3333-4444-555555555555</uuid>\
                   <memory unit='MiB'>64</memory><os><type>hvm</type></os><features><acpi/></features></domain>";
        std::fs::write(&file, xml).unwrap();
        let script = LIFE.replace("XML", file.to_str().unwrap());
        let (real, simulated) = (daemon.uri(Driver::Qemu), served.uri("qemu"));
        let (real, simulated) = tokio::join!(events(&real, &script), events(&simulated, &script));
        assert_eq!(simulated, real);
    })
    .await;
}

#[tokio::test]
async fn statistics_tell_the_sizes_of_every_image() {
    deadline(async {
        let builder = crate::guest::images(Simulator::builder());
        let simulator = builder.domain(&crate::guest::xml()).unwrap().start();
        let domain = "guest";
        let served = Served::new(simulator);
        let asked = ["domstats", "--block", "--backing", domain];
        let stats = served.says("qemu", &asked).await;
        assert!(stats.contains("block.count=6"), "{stats}");
        for (number, path, data) in [(0, "/vda-top", TOP), (1, "/vda-mid", MID)] {
            let image = served.simulator.image(path).unwrap();
            assert_eq!(image.data(), data);
            for expected in [
                format!("block.{number}.path={path}\n"),
                format!("block.{number}.capacity={SIZE}\n"),
            ] {
                assert!(stats.contains(&expected), "{expected} in {stats}");
            }
        }
        // The two ways to ask agree.
        let info = served.says("qemu", &["domblkinfo", domain, "vda"]).await;
        for name in ["allocation", "physical"] {
            let line = format!("block.0.{name}=");
            let value = stats.split(&line).nth(1).unwrap().lines().next().unwrap();
            assert!(info.contains(value), "{line}{value} in {info}");
        }
    })
    .await;
}
