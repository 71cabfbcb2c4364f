//! The cage holds: what the daemon's user tries from inside fails. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's own functions fail as the test does"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use virtwire_lab::cage::{Defect, Effect, INSIDE, Limits};
use virtwire_lab::{CagedDaemon, Driver, Installation, Policy};

fn start() -> CagedDaemon {
    install();
    CagedDaemon::start().unwrap_or_else(|error| panic!("{error}"))
}

fn install() {
    let found = Installation::ensure(Policy::Install, &mut |step| println!("{step}"));
    found.unwrap_or_else(|error| panic!("{error}"));
}

/// Runs a shell command as the daemon runs; says whether it worked, and what it printed.
fn inside(daemon: &CagedDaemon, script: &str) -> (bool, String) {
    let output = daemon.run_inside(&["sh", "-c", script]).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).trim().to_owned(),
    )
}

fn works(daemon: &CagedDaemon, script: &str) -> bool {
    inside(daemon, script).0
}

fn virsh(daemon: &CagedDaemon, driver: Driver, words: &[&str]) -> String {
    let uri = daemon.uri_inside(driver);
    let output = daemon
        .run_inside(&[&["virsh", "-q", "-c", &uri], words].concat())
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        daemon.log()
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn caged_daemon_serves_both_drivers() {
    let daemon = start();
    assert_eq!(virsh(&daemon, Driver::Test, &["list", "--name"]), "test");
    assert_eq!(virsh(&daemon, Driver::Qemu, &["list", "--name"]), "");
    let xml = format!(
        "<domain type='qemu'><name>inmate</name><memory unit='MiB'>32</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>\
         <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='{INSIDE}/images/top.qcow2'/><target dev='vda' bus='virtio'/></disk>\
         <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"
    );
    fs::write(daemon.outside(&format!("{INSIDE}/tmp/guest.xml")), xml).unwrap();
    let file = format!("{INSIDE}/tmp/guest.xml");
    virsh(&daemon, Driver::Qemu, &["create", &file]);
    virsh(
        &daemon,
        Driver::Qemu,
        &["blockpull", "inmate", "vda", "--wait"],
    );
    let chain = virsh(&daemon, Driver::Qemu, &["dumpxml", "inmate"]);
    assert!(!chain.contains("base.qcow2"), "{chain}");
}

#[test]
fn what_the_kernel_says_of_the_daemon_is_what_was_promised() {
    let daemon = start();
    let confinement = daemon.confinement().unwrap();
    assert_eq!(confinement.users, [daemon.user(); 4]);
    assert_eq!(confinement.groups, [daemon.user(); 4]);
    assert_eq!(confinement.capabilities, 0);
    assert!(confinement.no_new_privileges);
    let kinds = ["mnt", "pid", "net", "ipc", "uts"];
    assert_eq!(confinement.namespaces, kinds);
    assert_eq!(confinement.interfaces, ["lo"]);
    assert_eq!(confinement.limits["Max core file size"], 0);
    let others = start();
    assert_ne!(daemon.user(), others.user());
}

#[test]
fn nothing_but_its_own_directory_can_be_written() {
    let daemon = start();
    for path in [
        "/",
        "/usr",
        "/etc",
        "/etc/libvirt",
        "/var/lib",
        "/run",
        "/dev",
        "/proc",
        "/sys",
    ] {
        assert!(!works(&daemon, &format!("touch {path}/x")), "{path}");
    }
    for file in [
        "/etc/passwd",
        "/usr/bin/env",
        "/proc/self/oom_score_adj",
        "/sys/kernel/profiling",
    ] {
        assert!(!works(&daemon, &format!("echo x >> {file}")), "{file}");
    }
    assert!(works(&daemon, "touch /cage/x /tmp/y /dev/shm/z"));
    assert!(!works(&daemon, "chmod 666 /dev/null"));
    assert!(!works(&daemon, "mount -t tmpfs x /cage/tmp"));
    // What it writes, it cannot run.
    assert!(!works(&daemon, "cp /bin/true /cage/true && /cage/true"));
}

#[test]
fn nothing_of_the_machine_is_visible() {
    let daemon = start();
    let (_, names) = inside(&daemon, "ls /");
    for name in names.split_whitespace() {
        let expected = "bin cage dev etc lib lib32 lib64 libx32 proc run sbin sys tmp usr var";
        assert!(expected.split(' ').any(|other| other == name), "/{name}");
    }
    let (_, devices) = inside(&daemon, "ls /dev");
    assert!(
        !devices.contains("kvm") && !devices.contains("vda"),
        "{devices}"
    );
    let (_, hidden) = inside(&daemon, "ls -A /etc/libvirt /var/lib /run | grep -v :");
    assert_eq!(hidden, "");
    let own = std::process::id();
    assert!(!works(&daemon, &format!("kill -0 {own} || ls /proc/{own}")));
    // Of the system's files, only programs and libraries, and those under their own names.
    let (_, mounts) = inside(&daemon, "cat /proc/self/mountinfo");
    let own = |words: &[&str]| matches!(words, [.., "cage", _]);
    for mount in mounts.lines() {
        let words: Vec<&str> = mount.split(' ').collect();
        let point = words[4];
        let shared = [
            "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
        ];
        let device = point
            .strip_prefix("/dev/")
            .is_some_and(|name| !name.contains('/'));
        assert!(own(&words) || device || shared.contains(&point), "{mount}");
    }
    let root = mounts.lines().find(|mount| mount.contains(" / / "));
    assert!(
        root.is_some_and(|root| root.contains(" - tmpfs cage ro")),
        "{mounts}"
    );
}

#[test]
fn there_is_no_network() {
    let daemon = start();
    let (_, interfaces) = inside(&daemon, "cat /proc/net/dev");
    assert_eq!(
        interfaces.lines().filter(|line| line.contains(':')).count(),
        1
    );
    let (_, routes) = inside(&daemon, "cat /proc/net/route");
    assert_eq!(routes.lines().count(), 1, "{routes}");
    // Sockets without a path belong to a network namespace, those of the system's bus among them.
    let (_, sockets) = inside(&daemon, "cat /proc/net/unix");
    let foreign = |line: &&str| line.contains('/') && !line.contains(INSIDE);
    assert_eq!(sockets.lines().find(foreign), None);
}

#[test]
fn limits_stop_what_would_harm_the_machine() {
    install();
    let mut limits = Limits::default();
    limits.space = 32 << 20;
    limits.file = 8 << 20;
    limits.tasks = 60;
    let daemon = CagedDaemon::builder().limits(limits).start().unwrap();
    assert!(!works(&daemon, "head -c 9M /dev/zero > /cage/big"));
    let fill = "for i in 1 2 3 4 5 6; do head -c 7M /dev/zero > /cage/f$i || exit 1; done";
    assert!(!works(&daemon, fill));
    assert!(!works(
        &daemon,
        "dd if=/dev/zero of=/dev/null bs=4G count=1"
    ));
    let fork = "i=0; while [ $i -lt 80 ]; do sleep 20 & i=$((i + 1)); done";
    assert!(!works(&daemon, fork));
    // All of that did no harm to the daemon either.
    assert_eq!(virsh(&daemon, Driver::Test, &["list", "--name"]), "test");
}

#[test]
fn no_program_gives_it_privileges() {
    let daemon = start();
    let (_, user) = inside(
        &daemon,
        "id -u; id -g; cat /proc/self/status | grep Groups:",
    );
    let own = daemon.user();
    assert_eq!(
        user.replace(char::is_whitespace, ""),
        format!("{own}{own}Groups:")
    );
    assert!(!works(&daemon, "su -c true"));
    assert!(!works(&daemon, "setpriv --reuid=0 true"));
    assert!(!works(&daemon, "chroot / true"));
}

#[test]
fn the_cage_ends_by_itself() {
    install();
    let mut limits = Limits::default();
    limits.lifetime = Duration::from_secs(3);
    let mut daemon = CagedDaemon::builder().limits(limits).start().unwrap();
    assert!(eventually(|| daemon.ended().is_some()));
    assert_eq!(daemon.ended().unwrap().signal(), Some(9));
}

#[test]
fn drop_leaves_nothing() {
    let daemon = start();
    let (user, socket) = (daemon.user(), daemon.socket());
    let pid = daemon.pid().unwrap();
    assert!(socket.exists());
    drop(daemon);
    assert!(!socket.exists() && !Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(processes_of(user), Vec::<String>::new());
}

fn processes_of(user: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap();
    let statuses =
        processes.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("status")).ok());
    let uid = format!("\nUid:\t{user}\t");
    statuses.filter(|status| status.contains(&uid)).collect()
}

const VICTIM: &str = "VIRTWIRE_LAB_CAGE_TEST_VICTIM";

/// Not a test of its own: the process that `a_killed_owner_leaves_nothing` kills.
#[test]
#[ignore = "run by another test"]
fn victim() {
    let report = std::env::var_os(VICTIM).unwrap();
    let daemon = start();
    let temporary = Path::new(&report).with_extension("partial");
    fs::write(&temporary, daemon.user().to_string()).unwrap();
    fs::rename(temporary, report).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let report = scratch.path().join("report");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env(VICTIM, &report)
        .env("TMPDIR", scratch.path())
        .spawn()
        .unwrap();
    assert!(eventually(|| report.exists()));
    let user = fs::read_to_string(&report).unwrap().parse().unwrap();
    assert!(!processes_of(user).is_empty());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(eventually(|| processes_of(user).is_empty()));
    let left = || fs::read_dir(scratch.path()).unwrap().count();
    assert!(eventually(|| left() == 1), "{} files are left", left());
}

#[test]
fn a_planted_crash_looks_like_one() {
    use std::io::{Read as _, Write as _};
    install();
    let defect = Defect::new([b"one".to_vec(), b"two".to_vec()], Effect::Crash);
    let mut daemon = CagedDaemon::builder().defect(defect).start().unwrap();
    let mut stream = daemon.connect().unwrap();
    stream.write_all(b"\0\0\0\x40two").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(daemon.ended(), None);
    stream.write_all(b"one").unwrap();
    stream.write_all(b"two").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert!(eventually(|| daemon.ended().is_some()));
    assert_eq!(daemon.ended().unwrap().signal(), Some(11));
    assert!(!daemon.ended().unwrap().core_dumped());
    assert_eq!(daemon.another().unwrap().ended(), None);
}

fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    done()
}
