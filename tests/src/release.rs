//! Which libvirt the tests on real daemons run on.

use virtwire_lab::{Builder, Daemon, Suite};

/// Names the release, as [`Suite::named`] knows it. If it is not set, the machine's is meant.
pub const VARIABLE: &str = "VIRTWIRE_RELEASE";

/// A private daemon of that release.
///
/// # Panics
///
/// When the release has no such name, or nobody has installed it.
pub fn daemon() -> Builder {
    let Some(name) = std::env::var_os(VARIABLE) else {
        return Daemon::builder();
    };
    let suite = name.to_str().and_then(Suite::named);
    let suite = suite.unwrap_or_else(|| panic!("{VARIABLE} is {name:?}, which is no release"));
    match suite.find() {
        Ok(rootfs) => Daemon::builder().rootfs(rootfs),
        Err(error) => panic!("{error}"),
    }
}
