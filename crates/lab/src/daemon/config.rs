//! The files of an instance: its directory tree, daemon and QEMU configuration, and users.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::builder::Builder;
use crate::Error;
use crate::error::IoContext as _;

/// The user of session instances: nobody, who can do nothing.
pub(crate) const SESSION_USER: u32 = 65534;

/// Hidden inside an instance, so that no directory in them can be shared with the daemon.
const HIDDEN: [&str; 4] = ["/run", "/var/lib", "/var/cache", "/var/log"];
/// A Unix socket's path has at most 108 bytes, and ours end in `/sock/libvirt-admin-sock`.
const LONGEST_DIR: usize = 60;

/// What libvirtd must know even if it then runs guests as root: it looks the packaged default
/// user up before it reads qemu.conf, and on this machine the package that creates it may be missing.
const QEMU_USER: &str = "libvirt-qemu";

const QEMU_CONF: &str = r#"user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
security_default_confined = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"#;

/// Makes the directory that holds everything of one instance.
pub(crate) fn create_dir() -> Result<TempDir, Error> {
    let wanted = std::env::temp_dir();
    let hidden = HIDDEN.iter().any(|hidden| wanted.starts_with(hidden));
    let parent = if hidden || wanted.as_os_str().len() > LONGEST_DIR {
        PathBuf::from("/tmp")
    } else {
        wanted
    };
    let dir = tempfile::Builder::new().prefix("vw-").tempdir_in(&parent);
    dir.doing("create a directory in", &parent)
}

/// Fills the directory with what the daemon needs to start.
pub(crate) fn write(dir: &Path, builder: &Builder, tcp_port: Option<u16>) -> Result<(), Error> {
    for name in [
        "etc",
        "run/libvirt",
        "lib/libvirt",
        "cache/libvirt",
        "log/libvirt",
        "sock",
        "images",
    ] {
        create(&dir.join(name))?;
    }
    write_file(&dir.join("etc/qemu.conf"), QEMU_CONF)?;
    write_file(
        &dir.join("libvirtd.conf"),
        &libvirtd_conf(dir, builder, tcp_port),
    )?;
    let root = builder.root_dir();
    let passwd = format!("{QEMU_USER}:x:64055:64055::/nonexistent:/usr/sbin/nologin\n");
    with_entry(&root.join("etc/passwd"), &dir.join("passwd"), &passwd)?;
    let group = format!("{QEMU_USER}:x:64055:\n");
    with_entry(&root.join("etc/group"), &dir.join("group"), &group)?;
    if builder.session {
        write_session(dir)
    } else {
        Ok(())
    }
}

fn libvirtd_conf(dir: &Path, builder: &Builder, tcp_port: Option<u16>) -> String {
    let dir = dir.display();
    let level = builder.log_level.number();
    let mut conf = format!(
        "unix_sock_dir = \"{dir}/sock\"\n\
         unix_sock_rw_perms = \"0770\"\n\
         unix_sock_ro_perms = \"0777\"\n\
         auth_unix_rw = \"none\"\n\
         auth_unix_ro = \"none\"\n\
         log_level = {level}\n\
         log_outputs = \"{level}:file:{dir}/log/libvirtd.log\"\n\
         listen_tls = 0\n"
    );
    if let Some(port) = tcp_port {
        let _ = write!(
            conf,
            "listen_tcp = 1\nlisten_addr = \"127.0.0.1\"\ntcp_port = \"{port}\"\nauth_tcp = \"none\"\n"
        );
    }
    for (name, value) in &builder.settings {
        let _ = writeln!(conf, "{name} = {value}");
    }
    conf
}

/// A session daemon keeps its state below its user's XDG directories.
fn write_session(dir: &Path) -> Result<(), Error> {
    for name in ["home", "run", "config/libvirt", "cache", "data"] {
        create(&dir.join("session").join(name))?;
    }
    write_file(
        &dir.join("session/config/libvirt/qemu.conf"),
        "stdio_handler = \"file\"\n",
    )?;
    // Its directory is in here, so its user has to be able to pass through.
    let passable = fs::Permissions::from_mode(0o711);
    fs::set_permissions(dir, passable).doing("open", dir)?;
    for name in ["sock", "images", "log", "run/libvirt", "session"] {
        give_tree(&dir.join(name), SESSION_USER)?;
    }
    Ok(())
}

/// The environment of a session daemon.
pub(crate) fn session_environment(dir: &Path) -> [(&'static str, PathBuf); 5] {
    [
        ("HOME", "home"),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "data"),
    ]
    .map(|(name, part)| (name, dir.join("session").join(part)))
}

/// Where the daemon keeps what it found out about QEMU.
pub(crate) fn capability_cache(dir: &Path, session: bool) -> PathBuf {
    let cache = if session {
        "session/cache/libvirt/qemu/cache"
    } else {
        "cache/libvirt/qemu"
    };
    dir.join(cache).join("capabilities")
}

/// Gives a file or a directory with all below it to a user.
pub(crate) fn give_tree(path: &Path, user: u32) -> Result<(), Error> {
    chown(path, Some(user), Some(user)).doing("change the owner of", path)?;
    if path.is_dir() {
        for entry in fs::read_dir(path).doing("list", path)? {
            give_tree(&entry.doing("list", path)?.path(), user)?;
        }
    }
    Ok(())
}

/// Copies a passwd or group file, and adds the entry if its name is not there yet.
pub(crate) fn with_entry(from: &Path, to: &Path, entry: &str) -> Result<(), Error> {
    let mut text = fs::read_to_string(from).doing("read", from)?;
    let name = entry.split_inclusive(':').next().unwrap_or(entry);
    if !text.lines().any(|line| line.starts_with(name)) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(entry);
    }
    write_file(to, &text)
}

pub(crate) fn create(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).doing("create", path)
}

pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).doing("write", path)
}
