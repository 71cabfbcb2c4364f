//! libvirt's own client talks to libvirt's own daemon through a relay; every packet of both must
//! decode and encode to the same bytes.

use std::cell::Cell;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use virtwire_lab::{Daemon, guest, image};

use crate::conversation::{Kind, Tally};
use virtwire_tests::relay::Relay;

/// No command takes nearly this long.
const PATIENCE: Duration = Duration::from_secs(120);

const DOMAIN: &str = "<domain type='test'><name>wire</name><memory>1024</memory>\
    <os><type>hvm</type></os></domain>";

/// Commands that the test driver carries out. Those of one line share a connection.
const WORK: &[&str] = &[
    "version; uri; hostname; sysinfo; maxvcpus; cpu-models x86_64; capabilities",
    "nodeinfo; nodecpustats; freecell --all",
    "list --all; domid test; domuuid test; domname 1; dominfo test; dumpxml test; domstats",
    "vcpuinfo test; vcpucount test; vcpupin test; emulatorpin test; cpu-stats test; domcontrol test",
    "domblklist test; domblkinfo test vda; domblkstat test vda; domblkerror test; blkdeviotune test vda",
    "domiflist test; dommemstat test; domhostname test; domtime test; domfsinfo test",
    "setmem test 1000000; setvcpus test 1; schedinfo test; memtune test; numatune test; perf test",
    "iothreadinfo test; iothreadadd test 4; domfsfreeze test; domfsthaw test",
    "metadata test http://x.y/z --key k --set '<a/>'; metadata test http://x.y/z; desc test hello",
    "inject-nmi test; send-key test KEY_A; set-user-password test root secret",
    "define {dir}/domain.xml; start wire; domstate wire --reason; suspend wire; resume wire; \
     reboot wire; autostart wire; autostart --disable wire; destroy wire; domrename wire wired; \
     undefine wired",
    "create {dir}/domain.xml; shutdown wire",
    "snapshot-create-as test s1; snapshot-create-as test s2; snapshot-list test --tree; \
     snapshot-dumpxml test s1; snapshot-info test s1; snapshot-parent test s2; \
     snapshot-current test; snapshot-revert test s1; snapshot-delete test s1 --children",
    "checkpoint-create-as test c1; checkpoint-list test; checkpoint-dumpxml test c1; \
     checkpoint-delete test c1",
    "save test {dir}/saved; restore {dir}/saved; managedsave test; managedsave-remove test",
    "screenshot test {dir}/screenshot",
    "iface-list --all; iface-dumpxml eth1; iface-mac eth1",
    "nodedev-dumpxml computer",
    "net-list --all; net-dumpxml default; net-info default; net-uuid default; net-destroy default; \
     net-start default; net-autostart default",
    "pool-list --all --details; pool-dumpxml default-pool; pool-info default-pool; \
     pool-uuid default-pool; pool-refresh default-pool",
    "vol-create-as default-pool v1 10M; vol-list default-pool --details; vol-info v1 default-pool; \
     vol-dumpxml v1 default-pool; vol-path v1 default-pool; \
     vol-clone v1 v2 --pool default-pool; vol-delete v1 default-pool; vol-delete v2 default-pool",
];

/// Commands that it does not: error replies.
const REFUSED: &[&str] = &[
    "dumpxml no-such-domain",
    "domjobinfo test",
    "guestinfo test",
    "domcapabilities",
    "nodememstats",
    "node-memory-tune",
    "freepages --all",
    "allocpages 4 10",
    "secret-list",
    "nwfilter-list",
    "nwfilter-binding-list",
    "net-dhcp-leases default",
    "net-port-list default",
    "nodedev-list",
    "pool-capabilities",
    "find-storage-pool-sources-as dir",
    "domiftune test eth0",
    "domlaunchsecinfo test",
    "qemu-monitor-command test x",
    "get-user-sshkeys test root",
];

/// Commands that end with the first event, and what brings it about.
const EVENTS: &[(&str, &str)] = &[
    ("event --all --timeout 60", "suspend test; resume test"),
    (
        "net-event --event lifecycle --timeout 60",
        "net-destroy default; net-start default",
    ),
    (
        "pool-event --event refresh --timeout 60",
        "pool-refresh default-pool",
    ),
];

/// A relay, the daemon behind it, and a place for files.
struct Stage {
    daemon: Daemon,
    relay: Relay,
    directory: TempDir,
    scheme: &'static str,
}

impl Stage {
    fn new(scheme: &'static str) -> Self {
        let daemon = Daemon::start().unwrap();
        let relay = Relay::start(daemon.socket());
        Self {
            directory: tempfile::tempdir_in(daemon.images_dir()).unwrap(),
            daemon,
            relay,
            scheme,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn virsh(&self, script: &str) -> Output {
        let script = script.replace("{dir}", &self.path().display().to_string());
        let uri = format!("{}?socket={}", self.scheme, self.relay.socket().display());
        run(Command::new("virsh").args(["--connect", &uri, &script])).await
    }

    async fn done(&self, script: &str) {
        let output = self.virsh(script).await;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {complaints}");
        assert!(!complaints.contains("error:"), "{script}: {complaints}");
    }

    async fn refused(&self, script: &str) {
        let output = self.virsh(script).await;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{script} was not refused");
        assert!(complaints.contains("error:"), "{script}: {complaints}");
    }

    /// Runs `waiting`, which ends with an event, and `cause` over and over until it does.
    async fn event(&self, waiting: &str, cause: &str) {
        let seen = Cell::new(false);
        let wait = async {
            self.done(waiting).await;
            seen.set(true);
        };
        let bring_about = async {
            while !seen.get() {
                self.done(cause).await;
            }
        };
        tokio::join!(wait, bring_about);
    }

    async fn finish(self) -> Tally {
        let recordings = timeout(PATIENCE, self.relay.finish()).await.unwrap();
        let mut tally = Tally::default();
        for recording in &recordings {
            tally.check(recording);
        }
        drop(self.daemon);
        tally
    }
}

async fn run(command: &mut Command) -> Output {
    let running = command.env("LC_ALL", "C").kill_on_drop(true).output();
    let Ok(output) = timeout(PATIENCE, running).await else {
        panic!("{command:?} does not end");
    };
    output.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"))
}

#[tokio::test]
async fn every_packet_of_the_test_driver_survives() {
    let stage = Stage::new("test+unix:///default");
    std::fs::write(stage.path().join("domain.xml"), DOMAIN).unwrap();
    for script in WORK {
        stage.done(script).await;
    }
    for script in REFUSED {
        stage.refused(script).await;
    }
    for (waiting, cause) in EVENTS {
        stage.event(waiting, cause).await;
    }
    let tally = stage.finish().await;
    let names = tally.names();
    assert!(names.len() >= 150, "only {}: {names:#?}", names.len());
    assert!(tally.count(Kind::ErrorReply) >= REFUSED.len());
    assert!(tally.count(Kind::Event) >= EVENTS.len());
    assert!(tally.count(Kind::StreamData) > 0);
    assert!(tally.count(Kind::StreamEnd) >= 2);
}

#[tokio::test]
async fn every_packet_of_the_storage_driver_survives() {
    let stage = Stage::new("qemu+unix:///system");
    let data: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(stage.path().join("data"), &data).unwrap();
    std::fs::create_dir(stage.path().join("pool")).unwrap();
    stage
        .done(
            "pool-define-as wire dir --target {dir}/pool; pool-build wire; pool-start wire; \
             pool-autostart wire; pool-list --all --details; pool-info wire; pool-dumpxml wire; \
             pool-capabilities; vol-create-as wire a.raw 16M; vol-resize a.raw 32M wire",
        )
        .await;
    stage.done("vol-upload a.raw {dir}/data --pool wire").await;
    stage
        .done("vol-download a.raw {dir}/back --pool wire --length 12000000")
        .await;
    assert!(std::fs::read(stage.path().join("back")).unwrap() == data);
    stage
        .done("vol-download a.raw {dir}/sparse --pool wire --sparse")
        .await;
    stage
        .done("vol-upload a.raw {dir}/sparse --pool wire --sparse")
        .await;
    stage
        .refused("vol-upload a.raw {dir}/data --pool wire --length 4096")
        .await;
    stage
        .done(
            "vol-list wire --details; vol-info a.raw wire; vol-dumpxml a.raw wire; \
             vol-clone a.raw b.raw --pool wire; vol-wipe b.raw wire; vol-delete a.raw wire; \
             vol-delete b.raw wire; pool-refresh wire; pool-destroy wire; pool-undefine wire",
        )
        .await;
    let tally = stage.finish().await;
    let names = tally.names();
    assert!(names.len() >= 25, "only {}: {names:#?}", names.len());
    assert!(tally.count(Kind::StreamData) > 2 * data.len() / 262_120);
    assert!(tally.count(Kind::StreamHole) > 0);
    assert!(tally.count(Kind::StreamError) > 0);
}

#[tokio::test]
async fn every_packet_of_a_block_pull_survives() {
    let stage = Stage::new("qemu+unix:///system");
    let (base, top) = (stage.path().join("base"), stage.path().join("top"));
    image::create_base(&base, 16 << 20, 1).unwrap();
    image::create_overlay(&top, &base).unwrap();
    let disk = guest::Disk::new("vda", &top);
    let xml = guest::xml("wire", guest::domain_type(), &[disk]);
    std::fs::write(stage.path().join("guest.xml"), xml).unwrap();
    stage
        .done(
            "create {dir}/guest.xml --paused; domblklist wire --details; domblkinfo wire vda; \
             domblkstat wire vda; dominfo wire; dommemstat wire; domstats; domjobinfo wire; \
             qemu-monitor-command wire --hmp info status; domcapabilities; nodememstats; \
             secret-list; nwfilter-list; nodedev-list; net-list --all",
        )
        .await;
    let pull = "blockpull wire vda --wait --verbose";
    stage
        .event("event --domain wire --event block-job-2 --timeout 60", pull)
        .await;
    stage.done("blockjob wire vda --info").await;
    stage.refused("blockjob wire vda --abort").await;
    stage.refused("guestinfo wire --hostname").await;
    stage
        .event(
            "qemu-monitor-event --timeout 60",
            "resume wire; suspend wire",
        )
        .await;
    stage
        .event(
            "event --domain wire --event lifecycle --timeout 60",
            "resume wire; suspend wire",
        )
        .await;
    stage.done("destroy wire").await;
    let tally = stage.finish().await;
    let names = tally.names();
    for wanted in [
        "remote.DOMAIN_BLOCK_PULL",
        "remote.DOMAIN_EVENT_CALLBACK_LIFECYCLE",
        "remote.DOMAIN_EVENT_BLOCK_JOB_2",
        "remote.DOMAIN_GET_BLOCK_JOB_INFO",
        "qemu.DOMAIN_MONITOR_COMMAND",
        "qemu.DOMAIN_MONITOR_EVENT",
    ] {
        assert!(
            names.iter().any(|name| name == wanted),
            "no {wanted}: {names:#?}"
        );
    }
}

#[tokio::test]
async fn every_packet_of_the_administration_survives() {
    let daemon = Daemon::start().unwrap();
    let relay = Relay::start(daemon.admin_socket());
    let uri = format!("libvirtd:///system?socket={}", relay.socket().display());
    for script in [
        "server-list; server-threadpool-info libvirtd; server-clients-info libvirtd",
        "client-list libvirtd; daemon-log-filters; daemon-log-outputs; uri; version",
        "server-threadpool-set libvirtd --max-workers 21; server-clients-set libvirtd --max-clients 99",
    ] {
        let output = run(Command::new("virt-admin").args(["--connect", &uri, script])).await;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {complaints}");
    }
    let mut tally = Tally::default();
    for recording in timeout(PATIENCE, relay.finish()).await.unwrap() {
        tally.check(&recording);
    }
    let names = tally.names();
    assert!(names.len() >= 11, "only {}: {names:#?}", names.len());
    drop(daemon);
}
