//! One private libvirtd with all its state and guests.
//!
//! An instance has a directory in the temporary directory. In a mount namespace of its own, parts
//! of it lie over `/etc/libvirt`, `/run`, `/var/lib`, `/var/cache` and `/var/log`, so the daemon
//! finds all its compiled-in paths and none of the system's files, and nothing has to exist on the
//! system. Copies of `/etc/passwd` and `/etc/group` with libvirt's user lie over the real ones.
//! Sockets and images are reached at the same path from inside and outside. In a PID namespace of
//! its own the daemon and its guests have a process 1 that ends them all when we are gone.

mod builder;
pub(crate) mod config;
mod inside;
pub(crate) mod namespace;
pub(crate) mod readiness;
pub(crate) mod running;
pub(crate) mod seed;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

pub use self::builder::{Builder, LogLevel, Rootfs};
use self::namespace::{Namespace, wait_until};
use self::running::Running;
pub(crate) use self::seed::cache_home;
use self::seed::{Kind, Seed};
use crate::error::IoContext as _;
use crate::install::Installation;
use crate::{Error, command, process};

/// Two cores that also compile can be slow; a healthy start takes 0.2 s.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(60);

/// The hypervisor driver that a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// Real guests on QEMU.
    Qemu,
    /// libvirt's in-memory test driver with its default fleet of one, private to each connection.
    Test,
}

/// A running private libvirtd; dropping it ends it with all its guests and removes all it wrote.
#[derive(Debug)]
pub struct Daemon {
    running: Option<Running>,
    namespace: Namespace,
    builder: Builder,
    installation: Installation,
    tcp_port: Option<u16>,
    /// Last: the namespace removes it, and this what it could not.
    dir: TempDir,
}

impl Daemon {
    /// Starts a daemon with nothing special.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Starts a daemon that is described first.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn start_at(builder: Builder, tcp_port: Option<u16>) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let installation = Installation::find()?;
        let dir = config::create_dir()?;
        config::write(dir.path(), &builder, tcp_port)?;
        let namespace = Namespace::enter(dir.path(), builder.chroot())?;
        let mut daemon = Self {
            running: None,
            namespace,
            builder,
            installation,
            tcp_port,
            dir,
        };
        daemon.start_seeded()?;
        Ok(daemon)
    }

    /// Starts with the capabilities that an earlier instance found, or is the one that finds them.
    fn start_seeded(&mut self) -> Result<(), Error> {
        let root = self.builder.root_dir();
        let programs = ["usr/sbin/libvirtd", "usr/bin/qemu-system-x86_64"];
        let kind = if self.builder.session {
            Kind::Session
        } else {
            Kind::System
        };
        let seed = Seed::of(&programs.map(|program| root.join(program)), kind);
        let cache = config::capability_cache(self.dir.path(), self.builder.session);
        if !seed.plant(&cache)? {
            let _lock = seed.lock()?;
            // Somebody else may have probed while we waited.
            if !seed.plant(&cache)? {
                self.spawn()?;
                self.virsh(Driver::Qemu, &["capabilities"])?;
                return seed.harvest(&cache);
            }
        }
        if self.builder.session {
            config::give_tree(&self.dir.path().join("session"), config::SESSION_USER)?;
        }
        self.spawn()
    }

    /// Starts libvirtd inside the namespace and waits until it answers.
    fn spawn(&mut self) -> Result<(), Error> {
        let output = self.dir.path().join("log/output.log");
        let output = File::create(&output).doing("create", &output)?;
        let errors = output.try_clone().doing("open", Path::new("output.log"))?;
        let mut nsenter = self
            .libvirtd()
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing("run", Path::new("nsenter"))?;
        match self.wait_ready(&mut nsenter) {
            Ok(pid) => {
                self.running = Some(Running { nsenter, pid });
                Ok(())
            }
            Err(error) => {
                // One that stands still would leave no place for the next.
                if let Some(pid) = libvirtd_below(&nsenter) {
                    process::signal(pid, Signal::KILL);
                }
                let _ = nsenter.kill();
                let _ = nsenter.wait();
                Err(error)
            }
        }
    }

    fn libvirtd(&self) -> Command {
        let dir = self.dir.path();
        let program = Path::new(if self.builder.session {
            "setpriv"
        } else {
            "libvirtd"
        });
        let mut command = self.namespace.command(self.builder.chroot(), program);
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        if self.builder.session {
            let user = config::SESSION_USER;
            command.args([format!("--reuid={user}"), format!("--regid={user}")]);
            command.args(["--clear-groups", "libvirtd"]);
            command.envs(config::session_environment(dir));
        }
        command.arg("-f").arg(dir.join("libvirtd.conf"));
        let run = if self.builder.session {
            "session/run"
        } else {
            "run"
        };
        command.arg("-p").arg(dir.join(run).join("libvirtd.pid"));
        if self.tcp_port.is_some() {
            command.arg("--listen");
        }
        command
    }

    /// Waits until libvirtd answers; returns its PID.
    fn wait_ready(&self, nsenter: &mut Child) -> Result<i32, Error> {
        let end = Instant::now() + START_DEADLINE;
        let mut ended: Option<ExitStatus> = None;
        let ready = wait_until(START_DEADLINE, || {
            ended = nsenter.try_wait().ok().flatten();
            let left = end.saturating_duration_since(Instant::now());
            ended.is_some() || readiness::answers(&self.socket(), left).is_ok()
        });
        if let Some(status) = ended {
            return Err(Error::Exited {
                status,
                log: self.log(),
            });
        }
        match libvirtd_below(nsenter) {
            Some(pid) if ready => Ok(pid),
            _ => Err(Error::NotReady {
                within: START_DEADLINE,
                log: self.log(),
            }),
        }
    }

    /// The socket for full access.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock/libvirt-sock")
    }

    /// The socket for reading only; a session daemon has none.
    pub fn read_only_socket(&self) -> Option<PathBuf> {
        (!self.builder.session).then(|| self.dir.path().join("sock/libvirt-sock-ro"))
    }

    /// The socket of the administration interface.
    pub fn admin_socket(&self) -> PathBuf {
        self.dir.path().join("sock/libvirt-admin-sock")
    }

    /// The TCP address, if it was asked for.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp_port
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The URI of this daemon over its Unix socket.
    pub fn uri(&self, driver: Driver) -> String {
        let (scheme, path) = self.scheme_and_path(driver);
        format!("{scheme}+unix://{path}?socket={}", self.socket().display())
    }

    /// The URI of this daemon over TCP, if it was asked for.
    pub fn tcp_uri(&self, driver: Driver) -> Option<String> {
        let (scheme, path) = self.scheme_and_path(driver);
        self.tcp_addr()
            .map(|address| format!("{scheme}+tcp://{address}{path}"))
    }

    fn scheme_and_path(&self, driver: Driver) -> (&'static str, &'static str) {
        match driver {
            Driver::Qemu if self.builder.session => ("qemu", "/session"),
            Driver::Qemu => ("qemu", "/system"),
            Driver::Test => ("test", "/default"),
        }
    }

    /// The PID of libvirtd, unless it was killed.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Whether libvirtd runs: it may also have been killed, or have died by itself.
    pub fn is_alive(&self) -> bool {
        self.pid().is_some_and(process::is_alive)
    }

    /// The PIDs of the QEMU processes of this daemon's guests.
    pub fn qemu_pids(&self) -> Vec<i32> {
        let is_guest = |words: &[String]| {
            let program = words
                .first()
                .and_then(|word| Path::new(word).file_name()?.to_str());
            let qemu = program.is_some_and(|name| name.starts_with("qemu-system-"));
            // The QEMU that is only asked for its capabilities has no name.
            qemu && words.iter().any(|word| word.starts_with("guest="))
        };
        let inside = self.namespace.processes();
        let guests = inside
            .into_iter()
            .filter(|process| is_guest(&process.arguments()));
        guests.map(|process| process.pid).collect()
    }

    /// The PID of the QEMU process of a guest.
    pub fn qemu_pid(&self, guest: &str) -> Option<i32> {
        let word = format!("guest={guest},");
        let is_it = |process: &process::Process| {
            let words = process.arguments();
            words.iter().any(|other| other.starts_with(&word))
        };
        let inside = self.namespace.processes();
        inside.into_iter().find(is_it).map(|process| process.pid)
    }

    /// The directory of the instance.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A directory for disk images, removed with the daemon.
    pub fn images_dir(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    /// Where the daemon logs to.
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("log/libvirtd.log")
    }

    /// The end of the log, preceded by what the daemon printed.
    pub fn log(&self) -> String {
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        let mut text = read(self.dir.path().join("log/output.log"));
        text.extend(read(self.log_path()));
        command::tail(&String::from_utf8_lossy(&text), 60)
    }

    /// Gives a file to the user that guests run as, so that a session's guest can write to it.
    ///
    /// # Errors
    ///
    /// When the owner cannot be changed.
    pub fn hand_over(&self, path: &Path) -> Result<(), Error> {
        if self.builder.session {
            config::give_tree(path, config::SESSION_USER)
        } else {
            Ok(())
        }
    }

    /// Asks virsh, the witness from outside, and returns what it prints.
    ///
    /// # Errors
    ///
    /// When virsh fails; the error holds what it said.
    pub fn virsh(&self, driver: Driver, arguments: &[&str]) -> Result<String, Error> {
        let mut virsh = Command::new(self.installation.virsh());
        command::run(
            virsh
                .arg("-q")
                .arg("-c")
                .arg(self.uri(driver))
                .args(arguments),
        )
    }

    /// Kills libvirtd as a crash would; guests go on.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn kill(&mut self) -> Result<(), Error> {
        let mut running = self.running.take().ok_or(Error::NotRunning)?;
        running.end(Signal::KILL);
        Ok(())
    }

    /// Kills the QEMU of a guest as a crash would.
    ///
    /// # Errors
    ///
    /// When the guest does not run.
    pub fn kill_guest(&self, name: &str) -> Result<(), Error> {
        let pid = self.qemu_pid(name).ok_or(Error::NotRunning)?;
        process::signal(pid, Signal::KILL);
        Ok(())
    }

    /// Makes libvirtd stand still, so that it answers nothing but keeps its connections.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn pause(&mut self) -> Result<(), Error> {
        let running = self.running.as_ref().ok_or(Error::NotRunning)?;
        running.pause();
        Ok(())
    }

    /// Lets a paused libvirtd go on.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn resume(&mut self) -> Result<(), Error> {
        let running = self.running.as_ref().ok_or(Error::NotRunning)?;
        running.resume();
        Ok(())
    }

    /// Ends libvirtd if it runs, starts it again and returns when it answers; guests go on.
    ///
    /// libvirtd then takes its guests up again in the background: they are listed at once, and a
    /// call that asks a guest something waits for that.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            running.end(Signal::TERM);
        }
        self.spawn()
    }

    /// Ends libvirtd as a service manager would, then its guests, and removes all it wrote.
    ///
    /// # Errors
    ///
    /// When the directory cannot be removed.
    pub fn stop(mut self) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            running.end(Signal::TERM);
        }
        self.namespace.close();
        let dir = self.dir.path();
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing("remove", dir)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            running.end(Signal::KILL);
        }
        self.namespace.close();
    }
}

/// The PID of the libvirtd that a shell below `nsenter` waits for.
fn libvirtd_below(nsenter: &Child) -> Option<i32> {
    let shell = process::children(nsenter.id()).pop()?;
    let libvirtd = process::children(u32::try_from(shell.pid).ok()?).pop()?;
    Some(libvirtd.pid)
}
