//! The daemon of a user's session, which runs without privileges.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use virtwire::constants::DomainDestroyFlags;
use virtwire::event::Lifecycle;
use virtwire::{Connection, Outcome};
use virtwire_lab::Driver;
use virtwire_tests::{deadline, release};

use crate::Stage;
use crate::hypervisor::connection::{is_forbidden, open};

/// Set in a process of the user.
const AS_THE_USER: &str = "VIRTWIRE_TESTS_AS_THE_USER";

#[test]
fn its_user_finds_it_by_the_environment() {
    if env::var_os(AS_THE_USER).is_some() {
        return ask_as_the_user();
    }
    let daemon = release::daemon().session().start().unwrap();
    let home = daemon.dir().join("session");
    let user = fs::metadata(&home).unwrap().uid();
    symlink(daemon.socket(), home.join("run/libvirt/libvirt-sock")).unwrap();
    // Where this program is, the user may not look.
    let program = home.join("test");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let child = Command::new(program)
        .args(["--exact", "session::its_user_finds_it_by_the_environment"])
        .env_clear()
        .env(AS_THE_USER, "")
        .env("HOME", home.join("home"))
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .current_dir(&home)
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn ask_as_the_user() {
    let connection = open("qemu:///session").await;
    assert_eq!(connection.uri().await.unwrap(), "qemu:///session");
}

#[tokio::test]
async fn its_guests_are_the_users() {
    deadline(async {
        let stage = Stage::session().await;
        let guest = stage.guest("guest", 4).await;
        let pid = *stage.daemon.qemu_pids().first().unwrap();
        let owner = fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert_ne!(owner, 0);
        assert_eq!(fs::metadata(&guest.overlay).unwrap().uid(), owner);

        let mut events = guest.domain.lifecycle_events().await.unwrap();
        guest.domain.suspend().await.unwrap();
        let event = events.recv().await.unwrap();
        assert!(matches!(event.lifecycle, Lifecycle::Suspended(_)));
        let job = guest.disk().pull().start().await.unwrap();
        assert_eq!(job.wait().await, Outcome::Completed);
        let no_flags = DomainDestroyFlags::empty();
        guest.domain.destroy(no_flags).await.unwrap();
        assert!(guest.backing_file().is_none() && guest.reads_as_base());
    })
    .await;
}

/// It has no socket for readers: the wish alone makes a connection read-only.
#[tokio::test]
async fn readers_are_refused_changes() {
    deadline(async {
        let stage = Stage::session().await;
        let guest = stage.guest("guest", 1).await;
        let reader = Connection::builder().uri(stage.uri(Driver::Qemu));
        let reader = reader.read_only(true).connect().await.unwrap();
        let domain = guest.domain.with_connection(&reader);
        is_forbidden(&domain.suspend().await.unwrap_err());
        assert!(domain.is_active().await.unwrap());
    })
    .await;
}
