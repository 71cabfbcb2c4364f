//! The lab keeps its promises, with virsh and the process table as witnesses. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's own functions fail as the test does"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use virtwire_lab::guest::{self, Disk};
use virtwire_lab::{Daemon, Driver, Error, Installation, Policy, Suite, image};

fn start() -> Daemon {
    install();
    Daemon::start().unwrap_or_else(|error| panic!("{error}"))
}

/// A test without its daemon fails; it is never skipped.
fn install() {
    let found = Installation::ensure(Policy::Install, &mut |step| println!("{step}"));
    found.unwrap_or_else(|error| panic!("{error}"));
}

/// Starts a guest on a small overlay and returns its PID.
fn start_guest(daemon: &Daemon, name: &str) -> i32 {
    let base = daemon.images_dir().join(format!("{name}-base.qcow2"));
    let top = daemon.images_dir().join(format!("{name}.qcow2"));
    image::create_base(&base, 1 << 20, 7).unwrap();
    image::create_overlay(&top, &base).unwrap();
    daemon.hand_over(&top).unwrap();
    let xml = guest::xml(name, guest::domain_type(), &[Disk::new("vda", &top)]);
    let file = daemon.dir().join(format!("{name}.xml"));
    fs::write(&file, xml).unwrap();
    daemon
        .virsh(Driver::Qemu, &["create", file.to_str().unwrap()])
        .unwrap();
    daemon.qemu_pids().pop().expect("a guest runs")
}

fn names(daemon: &Daemon, driver: Driver) -> String {
    daemon
        .virsh(driver, &["list", "--all", "--name"])
        .unwrap()
        .trim()
        .to_owned()
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    done()
}

#[test]
fn test_driver_has_its_one_domain() {
    let daemon = start();
    assert_eq!(names(&daemon, Driver::Test), "test");
}

#[test]
fn read_only_socket_refuses_to_change_anything() {
    let daemon = start();
    let socket = daemon.read_only_socket().unwrap();
    assert!(socket.exists());
    let error = daemon
        .virsh(Driver::Test, &["-r", "destroy", "test"])
        .unwrap_err();
    assert!(error.to_string().contains("read only"), "{error}");
}

#[test]
fn tcp_serves_the_same_daemon() {
    install();
    let daemon = Daemon::builder().tcp().start().unwrap();
    let address = daemon.tcp_addr().unwrap();
    std::net::TcpStream::connect(address).unwrap();
    let uri = daemon.tcp_uri(Driver::Test).unwrap();
    assert_eq!(uri, format!("test+tcp://{address}/default"));
}

#[test]
fn settings_reach_the_daemon() {
    install();
    let error = Daemon::builder()
        .setting("max_workers", "\"many\"")
        .start()
        .unwrap_err();
    let Error::Exited { log, .. } = error else {
        panic!("{error}")
    };
    assert!(log.contains("max_workers"), "{log}");
}

#[test]
fn two_daemons_do_not_know_each_other() {
    let (one, other) = (start(), start());
    let one_guest = start_guest(&one, "one");
    let other_guest = start_guest(&other, "other");
    assert_eq!(names(&one, Driver::Qemu), "one");
    assert_eq!(names(&other, Driver::Qemu), "other");
    assert_eq!(one.qemu_pids(), [one_guest]);
    drop(one);
    assert!(!is_alive(one_guest));
    assert!(is_alive(other_guest));
}

#[test]
fn nothing_of_the_systems_is_touched() {
    let listing = |path: &str| {
        let entries = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    let paths = ["/run", "/var/lib", "/var/cache", "/var/log", "/etc/libvirt"];
    install();
    let before = paths.map(listing);
    let daemon = start();
    start_guest(&daemon, "quiet");
    assert_eq!(paths.map(listing), before);
    drop(daemon);
    assert_eq!(paths.map(listing), before);
}

#[test]
fn guest_survives_a_killed_and_restarted_daemon() {
    let mut daemon = start();
    let guest = start_guest(&daemon, "survivor");
    let first = daemon.pid().unwrap();
    daemon.kill().unwrap();
    assert_eq!(daemon.pid(), None);
    assert!(!is_alive(first) && is_alive(guest));
    assert!(matches!(daemon.kill(), Err(Error::NotRunning)));
    daemon.restart().unwrap();
    assert_ne!(daemon.pid().unwrap(), first);
    assert_eq!(names(&daemon, Driver::Qemu), "survivor");
    daemon.restart().unwrap();
    assert_eq!(daemon.qemu_pids(), [guest]);
    // This waits until the daemon has taken the guest up again; destroying it meanwhile can fail.
    daemon
        .virsh(Driver::Qemu, &["domblkinfo", "survivor", "vda"])
        .unwrap();
    // A guest that nobody reaped would keep the daemon waiting for its end.
    let started = Instant::now();
    let destroyed = daemon.virsh(Driver::Qemu, &["destroy", "survivor"]);
    destroyed.unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(daemon.qemu_pids().is_empty());
}

#[test]
fn paused_daemon_answers_when_resumed() {
    let mut daemon = start();
    daemon.pause().unwrap();
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| names(&daemon, Driver::Test));
        thread::sleep(Duration::from_millis(300));
        assert!(!answer.is_finished());
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(daemon.pid().unwrap()).unwrap(),
            rustix::process::Signal::CONT,
        )
        .unwrap();
        answer.join().unwrap()
    });
    assert_eq!(answer, "test");
    daemon.pause().unwrap();
    daemon.resume().unwrap();
    assert_eq!(names(&daemon, Driver::Test), "test");
    daemon.pause().unwrap();
    daemon.kill().unwrap();
    daemon.restart().unwrap();
    assert_eq!(names(&daemon, Driver::Test), "test");
    daemon.pause().unwrap();
    daemon.stop().unwrap();
}

#[test]
fn session_daemon_runs_guests_without_privileges() {
    install();
    let daemon = Daemon::builder()
        .session()
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(daemon.read_only_socket().is_none());
    let top = daemon.images_dir().join("top.qcow2");
    image::create_empty(&top, 1 << 20).unwrap();
    daemon.hand_over(&top).unwrap();
    let file = daemon.dir().join("guest.xml");
    let xml = guest::xml("lowly", guest::DomainType::Qemu, &[Disk::new("vda", &top)]);
    fs::write(&file, xml).unwrap();
    daemon
        .virsh(Driver::Qemu, &["create", file.to_str().unwrap()])
        .unwrap();
    let guest = daemon.qemu_pids().pop().unwrap();
    let status = fs::read_to_string(format!("/proc/{guest}/status")).unwrap();
    assert!(status.contains("\nUid:\t65534\t"), "{status}");
}

#[test]
fn another_release_runs_in_its_root_file_system() {
    install();
    let rootfs = match Suite::Trixie.find() {
        Ok(rootfs) => rootfs,
        Err(reason) => {
            // Past the capture of test output: a test that did not run must say so.
            writeln!(std::io::stderr(), "NOT RUN: {reason}").unwrap();
            return;
        }
    };
    let mut daemon = Daemon::builder().rootfs(rootfs).start().unwrap();
    let guest = start_guest(&daemon, "foreign");
    let version = daemon
        .virsh(Driver::Qemu, &["version", "--daemon"])
        .unwrap();
    assert!(version.contains("Running against daemon: 11."), "{version}");
    daemon.kill().unwrap();
    daemon.restart().unwrap();
    assert_eq!(names(&daemon, Driver::Qemu), "foreign");
    drop(daemon);
    assert!(!is_alive(guest));
}

#[test]
fn drop_leaves_nothing() {
    let daemon = start();
    let guest = start_guest(&daemon, "left");
    let (pid, dir) = (daemon.pid().unwrap(), daemon.dir().to_owned());
    drop(daemon);
    assert!(!is_alive(pid) && !is_alive(guest));
    assert!(!dir.exists());
    assert!(command_lines_with(&dir).is_empty());
    assert!(!mounts().contains(dir.to_str().unwrap()));
}

#[test]
fn stop_leaves_nothing() {
    let daemon = start();
    let guest = start_guest(&daemon, "left");
    let (pid, dir) = (daemon.pid().unwrap(), daemon.dir().to_owned());
    daemon.stop().unwrap();
    assert!(!is_alive(pid) && !is_alive(guest));
    assert!(!dir.exists());
}

/// Also the processes around the daemon name its directory on their command lines.
fn command_lines_with(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| line.contains(dir.to_str().unwrap()))
        .collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/mounts").unwrap()
}

const VICTIM: &str = "VIRTWIRE_LAB_TEST_VICTIM";

/// Not a test of its own: the process that `a_killed_owner_leaves_nothing` kills.
#[test]
#[ignore = "run by another test"]
fn victim() {
    let report = std::env::var_os(VICTIM).unwrap();
    let mut daemon = start();
    let guest = start_guest(&daemon, "orphan");
    let libvirtd = daemon.pid().unwrap();
    // The hardest case: what is to be ended stands still.
    daemon.pause().unwrap();
    let partial = Path::new(&report).with_extension("partial");
    fs::write(
        &partial,
        format!("{libvirtd} {guest} {}", daemon.dir().display()),
    )
    .unwrap();
    fs::rename(partial, report).unwrap();
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_owner_leaves_nothing() {
    // Orphans then stay in our session, as in a container: the kernel does not wake a process of
    // theirs that stands still, which it would do if they had come to the first process of all.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let report = scratch.path().join("report");
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .env(VICTIM, &report)
        .spawn()
        .unwrap();
    assert!(
        eventually(|| report.exists()),
        "the owner started its daemon"
    );
    let report = fs::read_to_string(report).unwrap();
    let mut words = report.split(' ');
    let [libvirtd, guest] = [(); 2].map(|()| words.next().unwrap().parse().unwrap());
    let dir = Path::new(words.next().unwrap());
    assert!(is_alive(libvirtd) && is_alive(guest) && dir.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(
        eventually(|| !is_alive(libvirtd) && !is_alive(guest)),
        "processes are left"
    );
    assert!(eventually(|| !dir.exists()), "{} is left", dir.display());
    assert!(
        eventually(|| command_lines_with(dir).is_empty()),
        "{:?}",
        command_lines_with(dir)
    );
    assert!(!mounts().contains(dir.to_str().unwrap()));
}
