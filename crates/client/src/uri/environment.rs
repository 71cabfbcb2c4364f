//! What the meaning of a URI depends on besides its text.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::{ClientConfig, UriError};

/// The surroundings that a URI is resolved in, as plain values.
///
/// [`Environment::current`] takes them from the process; tests build their own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// The effective user: root talks to the system's daemon whatever the path says.
    pub euid: u32,
    /// `XDG_RUNTIME_DIR`, where the sockets of the user's own daemons are.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, which stands in for a missing runtime directory.
    pub xdg_cache_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, where the user's `libvirt/libvirt.conf` is.
    pub xdg_config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `LIBVIRT_DEFAULT_URI`.
    pub default_uri: Option<String>,
    /// The directory that holds `libvirt/libvirt-sock` of the system's daemon.
    pub system_runtime_dir: PathBuf,
    /// The client's configuration; see [`Environment::with_config_file`].
    pub config: ClientConfig,
}

impl Environment {
    /// Builds an environment for a user, with nothing else known.
    #[must_use]
    pub fn new(euid: u32) -> Self {
        Self {
            euid,
            xdg_runtime_dir: None,
            xdg_cache_home: None,
            xdg_config_home: None,
            home: None,
            default_uri: None,
            // Not /run: this is the path that libvirt itself computes, on every distribution.
            system_runtime_dir: PathBuf::from("/var/run"),
            config: ClientConfig::default(),
        }
    }

    /// Reads the process' user and environment variables; no file is touched.
    #[must_use]
    pub fn current() -> Self {
        let directory = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            xdg_runtime_dir: directory("XDG_RUNTIME_DIR"),
            xdg_cache_home: directory("XDG_CACHE_HOME"),
            xdg_config_home: directory("XDG_CONFIG_HOME"),
            home: directory("HOME"),
            default_uri: env::var("LIBVIRT_DEFAULT_URI").ok(),
            ..Self::new(rustix::process::geteuid().as_raw())
        }
    }

    /// Adds the settings of the client's `libvirt.conf`; a missing file is no settings.
    ///
    /// Root reads `/etc/libvirt/libvirt.conf`, everybody else only their own file.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read or understood.
    pub fn with_config_file(mut self) -> Result<Self, UriError> {
        let Some(path) = self.config_file() else {
            return Ok(self);
        };
        match fs::read_to_string(&path) {
            Ok(text) => self.config = ClientConfig::parse(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(UriError::UnreadableConfig {
                    path,
                    message: error.to_string(),
                });
            }
        }
        Ok(self)
    }

    fn config_file(&self) -> Option<PathBuf> {
        if self.euid == 0 {
            return Some(PathBuf::from("/etc/libvirt/libvirt.conf"));
        }
        let directory = self
            .xdg_config_home
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".config")));
        Some(directory?.join("libvirt/libvirt.conf"))
    }

    /// Returns the directory of the user's own sockets.
    pub(super) fn session_directory(&self) -> Option<PathBuf> {
        let cache = || {
            self.xdg_cache_home
                .clone()
                .or_else(|| Some(self.home.as_ref()?.join(".cache")))
        };
        Some(self.xdg_runtime_dir.clone().or_else(cache)?.join("libvirt"))
    }
}
