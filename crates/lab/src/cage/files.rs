//! The files of a cage, as they are before it is closed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::INSIDE;
use crate::daemon::config;
use crate::{Error, image};

/// The size that a guest sees of an image.
const IMAGE_SIZE: u64 = 4 << 20;

const LIBVIRTD_CONF: &str = r#"unix_sock_dir = "/cage/sock"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
listen_tls = 0
log_level = 3
log_outputs = "3:file:/cage/log/libvirtd.log"
"#;

const QEMU_CONF: &str = r#"stdio_handler = "file"
security_driver = "none"
namespaces = [ ]
"#;

/// The environment of everything inside. The C library shall print what it has to say of
/// corrupted memory where it can be read.
pub(super) const ENVIRONMENT: [(&str, &str); 9] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C"),
    ("LIBC_FATAL_STDERR_", "1"),
    ("TMPDIR", "/cage/tmp"),
    ("HOME", "/cage/session/home"),
    ("XDG_RUNTIME_DIR", "/cage/session/run"),
    ("XDG_CONFIG_HOME", "/cage/session/config"),
    ("XDG_CACHE_HOME", "/cage/session/cache"),
    ("XDG_DATA_HOME", "/cage/session/data"),
];

/// A user that no other process on the machine has, so that limits by user are limits by cage.
pub(super) fn throw_away_user() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // PIDs have at most 22 bits; 64 living cages of one process are more than any machine bears.
    let count = COUNT.fetch_add(1, Ordering::Relaxed) % 64;
    (1 << 30) + std::process::id() % (1 << 22) * 64 + count
}

/// Where the daemon keeps what it found out about QEMU, below its own directory.
pub(super) fn capability_cache(area: &Path) -> PathBuf {
    area.join("session/cache/libvirt/qemu/cache/capabilities")
}

/// Fills the directory with what the supervisor and the daemon need. `area` is copied to
/// [`INSIDE`].
pub(super) fn write(dir: &Path, source: &Path, user: u32) -> Result<(), Error> {
    for name in ["root", "log"] {
        config::create(&dir.join(name))?;
    }
    let entry = format!("cage:x:{user}:{user}::{INSIDE}/session/home:/bin/sh\n");
    config::with_entry(&source.join("etc/passwd"), &dir.join("passwd"), &entry)?;
    let entry = format!("cage:x:{user}:\n");
    config::with_entry(&source.join("etc/group"), &dir.join("group"), &entry)?;

    let area = dir.join("area");
    for name in ["sock", "images", "log", "tmp"] {
        config::create(&area.join(name))?;
    }
    for name in ["home", "run", "config/libvirt", "cache", "data"] {
        config::create(&area.join("session").join(name))?;
    }
    config::write_file(&area.join("libvirtd.conf"), LIBVIRTD_CONF)?;
    config::write_file(&area.join("session/config/libvirt/qemu.conf"), QEMU_CONF)?;
    let images = area.join("images");
    image::create_empty(&images.join("base.qcow2"), IMAGE_SIZE)?;
    // By a name without a directory it is found in the cage as well.
    image::create_overlay(&images.join("top.qcow2"), Path::new("base.qcow2"))?;
    config::write_file(&images.join("disk.raw"), &"\0".repeat(1 << 20))?;
    config::give_tree(&area, user)
}
