//! Virtual networks, by virsh: on the simulator and, for comparison, on a real daemon.

use std::fs;
use std::path::Path;

use virtwire_lab::{Daemon, Driver};
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use crate::served::{Served, virsh};
use crate::transcript::same_on_both;

const NETWORKS: [(&str, &str); 6] = [
    (
        "isolated",
        "<network><name>isolated</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
         <bridge name='vwtest1' stp='off' delay='2'/><mac address='52:54:00:11:22:33'/></network>",
    ),
    (
        "nat",
        "<network><name>nat</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e1940</uuid>\
         <ip address='192.168.149.1' netmask='255.255.255.0'>\
         <dhcp><range start='192.168.149.2' end='192.168.149.254'/></dhcp></ip>\
         <mac address='52:54:00:11:22:44'/><bridge name='vwtest2'/><forward mode='nat'/></network>",
    ),
    (
        "bridge",
        "<network><name>bridge</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e1941</uuid>\
         <forward mode='bridge'/><bridge name='br0'/></network>",
    ),
    ("nothing", "<network/>"),
    (
        "routed",
        "<network><name>routed</name><forward mode='route'/></network>",
    ),
    (
        "clash",
        "<network><name>clash</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
         <bridge name='vwtest9'/></network>",
    ),
];

fn write_networks(directory: &Path) {
    for (name, xml) in NETWORKS {
        fs::write(directory.join(format!("{name}.xml")), xml).unwrap();
    }
}

/// What needs no bridge on the host; `D` stands for a directory with the files.
const DEFINING: &str = "
    net-list --all
    net-define D/isolated.xml
    net-define D/nat.xml
    net-define D/bridge.xml
    net-define D/nothing.xml
    net-define D/routed.xml
    net-define D/clash.xml
    net-list
    net-list --all
    net-list --inactive --persistent
    net-list --transient
    net-list --autostart --all
    net-info isolated
    net-info nothing
    net-dumpxml isolated
    net-dumpxml nat
    net-dumpxml bridge
    net-uuid nat
    net-name 6695eb01-f6a4-8304-79aa-97f2502e1940
    net-autostart nat
    net-list --all --autostart
    net-autostart nat --disable
    net-destroy isolated
    net-dhcp-leases nat
    net-port-list nat
    net-undefine bridge
    net-undefine bridge
    net-list --all
";

/// What the test driver does as well, without a bridge on the host.
const RUNNING: &str = "
    net-define D/isolated.xml
    net-define D/nat.xml
    net-start isolated
    net-list
    net-list --all
    net-list --inactive
    net-info isolated
    net-autostart isolated
    net-info isolated
    net-undefine nat
    net-create D/nat.xml
    net-list --transient
    net-info nat
    net-dumpxml isolated
    net-destroy nat
    net-list
    net-destroy isolated
    net-undefine isolated
    net-list --all
";

#[tokio::test]
async fn networks_are_defined_as_on_a_real_daemon() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        write_networks(&daemon.images_dir());
        let script = DEFINING.replace('D', daemon.images_dir().to_str().unwrap());
        same_on_both(&daemon.uri(Driver::Qemu), &served.uri("qemu"), &script).await;
    })
    .await;
}

#[tokio::test]
async fn networks_live_and_die() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        write_networks(served.file("").as_path());
        let uri = served.uri("test");
        let events = tokio::spawn(async move {
            let arguments = [
                "net-event",
                "--event",
                "lifecycle",
                "--loop",
                "--timeout",
                "4",
            ];
            virsh(&uri, &arguments).await
        });
        while served.simulator.registrations() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let directory = served.file("");
        let script = RUNNING.replace("D/", directory.to_str().unwrap());
        let mut lists = Vec::new();
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let output = served.virsh("test", &words).await;
            if words[0] == "net-list" {
                let text = String::from_utf8(output.stdout).unwrap();
                let names = text.lines().skip(2);
                let names = names.filter_map(|line| line.split_whitespace().next());
                lists.push(names.collect::<Vec<_>>().join(" "));
            }
        }
        assert_eq!(
            lists,
            ["isolated", "isolated nat", "nat", "nat", "isolated", ""]
        );
        let output = String::from_utf8(events.await.unwrap().stdout).unwrap();
        let told: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix("event 'lifecycle' for network "))
            .collect();
        let expected = [
            "isolated: Defined",
            "nat: Defined",
            "isolated: Started",
            "nat: Undefined",
            "nat: Started",
            "nat: Stopped",
            "isolated: Stopped",
            "isolated: Undefined",
        ];
        assert_eq!(told, expected, "{output}");
    })
    .await;
}

#[tokio::test]
async fn bridges_are_named_in_turn() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        for (name, bridge) in [("a", "virbr0"), ("b", "virbr1")] {
            let file = served.file("net.xml");
            fs::write(&file, format!("<network><name>{name}</name></network>")).unwrap();
            served
                .says("qemu", &["net-create", file.to_str().unwrap()])
                .await;
            let info = served.says("qemu", &["net-info", name]).await;
            assert!(info.contains(bridge), "{info}");
        }
        let refused = served.refuses("qemu", &["net-autostart", "a"]).await;
        let words = "Requested operation is not valid: cannot set autostart for transient network";
        assert!(refused.contains(words), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn networks_run_as_on_the_test_driver() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        write_networks(&daemon.images_dir());
        let script = RUNNING.replace('D', daemon.images_dir().to_str().unwrap());
        // There each connection has networks of its own, so all has to happen on one.
        let script: Vec<&str> = script.lines().map(str::trim).collect();
        let script = script.join("; ");
        let mut said = Vec::new();
        for uri in [daemon.uri(Driver::Test), served.uri("test")] {
            let output = virsh(&uri, &[&script]).await;
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            // It begins with a network, and columns are as wide as their names.
            let lines = text.lines().filter(|line| !line.starts_with(" default "));
            let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            let rules = |line: &String| !line.starts_with("---");
            said.push(words.filter(rules).collect::<Vec<_>>().join("\n"));
        }
        assert!(
            said[0] == said[1],
            "--- real\n{}\n--- simulated\n{}",
            said[0],
            said[1]
        );
    })
    .await;
}
