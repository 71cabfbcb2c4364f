//! A libvirtd that can reach nothing but itself, for programs that mean to break it.
//!
//! A [`CagedDaemon`] serves sessions under a user that nobody else has, without capabilities and
//! without a way to get any. It has its own mount, PID, network, IPC and UTS namespaces. Its root
//! directory is made of the system's programs and libraries, read-only, and a small file system in
//! memory at [`INSIDE`], the only place for its files. It has no network but a loop of its own, no
//! devices, and limits on memory, processes, files and time: [`Limits`].
//!
//! There is no other way to have one than to start it, and that fails unless the kernel confirms
//! all of this for the running daemon: [`Confinement`]. Who is given a `CagedDaemon` knows that it
//! may be broken.

mod confinement;
mod defect;
mod fault;
mod files;
mod limits;

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;

pub use self::confinement::Confinement;
use self::defect::Trap;
pub use self::defect::{Defect, Effect};
use self::fault::Watch;
pub use self::limits::Limits;
use crate::daemon::namespace::{Namespace, wait_until};
use crate::daemon::running::Running;
use crate::daemon::seed::{Kind, Seed};
use crate::daemon::{Driver, Rootfs, START_DEADLINE, config, readiness};
use crate::error::IoContext as _;
use crate::install::Installation;
use crate::{Error, command, process};

/// The daemon's own directory, by the path that it has inside, the same in every cage.
///
/// Below it, `images/` has `top.qcow2`, which stands on `base.qcow2`, and `disk.raw`.
pub const INSIDE: &str = "/cage";

const SUPERVISOR: &str = include_str!("supervisor.sh");
const KINDS: &[&str] = &["--net", "--ipc", "--uts"];

/// A libvirtd in a cage; dropping it ends it with all its guests and files.
#[derive(Debug)]
pub struct CagedDaemon {
    running: Option<Running>,
    watch: Option<Watch>,
    trap: Option<Trap>,
    namespace: Namespace,
    builder: CageBuilder,
    user: u32,
    /// Last: the namespace removes it, and this what it could not.
    dir: TempDir,
}

/// Builds a [`CagedDaemon`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct CageBuilder {
    limits: Limits,
    rootfs: Option<Rootfs>,
    defect: Option<Defect>,
}

impl CageBuilder {
    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs the libvirtd and QEMU of another root file system.
    pub fn rootfs(mut self, rootfs: Rootfs) -> Self {
        self.rootfs = Some(rootfs);
        self
    }

    /// Plants a defect, by which those who search for some can be tested.
    pub fn defect(mut self, defect: Defect) -> Self {
        self.defect = Some(defect);
        self
    }

    /// Starts the daemon in a cage of its own and returns when it answers.
    ///
    /// # Errors
    ///
    /// When not root, when a program is missing, when the cage cannot be built or does not hold,
    /// and when the daemon ends or does not answer in time, which then carries its log.
    pub fn start(self) -> Result<CagedDaemon, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        Installation::find()?;
        let programs = ["usr/sbin/libvirtd", "usr/bin/qemu-system-x86_64"];
        let programs = programs.map(|program| self.source().join(program));
        let seed = Seed::of(&programs, Kind::Caged);
        let dir = config::create_dir()?;
        if seed.plant(&files::capability_cache(&dir.path().join("area")))? {
            return CagedDaemon::start_in(dir, self);
        }
        let _lock = seed.lock()?;
        // Somebody else may have probed while we waited.
        let planted = seed.plant(&files::capability_cache(&dir.path().join("area")))?;
        let daemon = CagedDaemon::start_in(dir, self)?;
        if !planted {
            let uri = daemon.uri_inside(Driver::Qemu);
            daemon.run_inside(&["virsh", "-c", &uri, "capabilities"])?;
            seed.harvest(&files::capability_cache(&daemon.outside(INSIDE)))?;
        }
        Ok(daemon)
    }

    /// The root directory whose programs run.
    fn source(&self) -> &Path {
        self.rootfs
            .as_ref()
            .map_or_else(|| Path::new("/"), Rootfs::path)
    }
}

impl CagedDaemon {
    /// Starts a daemon with the usual limits.
    ///
    /// # Errors
    ///
    /// As [`CageBuilder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Starts a daemon that is described first.
    pub fn builder() -> CageBuilder {
        CageBuilder::default()
    }

    /// Starts another daemon like this one, in a cage of its own, with nothing of this one's past.
    ///
    /// # Errors
    ///
    /// As [`CageBuilder::start`].
    pub fn another(&self) -> Result<Self, Error> {
        self.builder.clone().start()
    }

    fn start_in(dir: TempDir, builder: CageBuilder) -> Result<Self, Error> {
        let user = files::throw_away_user();
        files::write(dir.path(), builder.source(), user)?;
        let limits = &builder.limits;
        let numbers = [limits.space, limits.files, limits.lifetime.as_secs()];
        let [space, files, lifetime] = numbers.map(|number| number.to_string());
        let namespace = Namespace::start(
            KINDS,
            SUPERVISOR,
            &[
                dir.path().as_ref(),
                builder.source().as_ref(),
                space.as_ref(),
                files.as_ref(),
                lifetime.as_ref(),
            ],
            dir.path(),
        )?;
        let trap = builder.defect.clone().map(Trap::new);
        let mut daemon = Self {
            running: None,
            watch: None,
            trap,
            namespace,
            builder,
            user,
            dir,
        };
        daemon.spawn()?;
        daemon.confinement()?.check(user, &daemon.builder.limits)?;
        Ok(daemon)
    }

    /// Starts libvirtd inside and waits until it answers.
    fn spawn(&mut self) -> Result<(), Error> {
        let output = self.dir.path().join("log/output.log");
        let file = File::create(&output).doing("create", &output)?;
        let errors = file.try_clone().doing("open", &output)?;
        let conf = format!("{INSIDE}/libvirtd.conf");
        let pid_file = format!("{INSIDE}/session/run/libvirtd.pid");
        let mut nsenter = self
            .inmate(&["libvirtd", "-f", &conf, "-p", &pid_file])
            .stdout(file)
            .stderr(errors)
            .spawn()
            .doing("run", Path::new("choom"))?;
        match self.wait_ready(&mut nsenter) {
            Ok(pid) => {
                self.watch = Some(Watch::of(pid));
                self.running = Some(Running { nsenter, pid });
                Ok(())
            }
            Err(error) => {
                let _ = nsenter.kill();
                let _ = nsenter.wait();
                Err(error)
            }
        }
    }

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
        match process::children(nsenter.id()).pop() {
            Some(libvirtd) if ready => Ok(libvirtd.pid),
            _ => Err(Error::NotReady {
                within: START_DEADLINE,
                log: self.log(),
            }),
        }
    }

    /// A command that will run as the daemon does, as a child of a waiting `nsenter`.
    fn inmate(&self, words: &[&str]) -> Command {
        let mut command = Command::new("choom");
        // Should the machine run out of memory, this is what it can do without.
        command.args(["-n", "1000", "--", "prlimit"]);
        command.args(self.builder.limits.options());
        command
            .args(["--", "nsenter"])
            .args(self.namespace.entrance());
        // A file that is too large is an error to the daemon and not its end.
        command.args(["env", "--ignore-signal=XFSZ", "setpriv"]);
        let user = self.user;
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.args(["--clear-groups", "--no-new-privs", "--bounding-set=-all"]);
        command.args(["--inh-caps=-all", "--ambient-caps=-all", "--"]);
        command
            .args(words)
            .env_clear()
            .envs(files::ENVIRONMENT)
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end, confined as the daemon is.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run_inside(&self, words: &[&str]) -> Result<Output, Error> {
        command::output(&mut self.inmate(words))
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When the daemon does not listen.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket())?;
        match (&self.trap, self.pid()) {
            (Some(trap), Some(pid)) => trap.relay(stream, pid),
            _ => Ok(stream),
        }
    }

    /// The socket, by a path that root has outside.
    pub fn socket(&self) -> PathBuf {
        self.outside(&format!("{INSIDE}/sock/libvirt-sock"))
    }

    /// A path of the cage as one outside; only root can follow it.
    pub fn outside(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.namespace.init()))
    }

    /// The URI of this daemon for a program inside.
    pub fn uri_inside(&self, driver: Driver) -> String {
        format!("{}?socket={INSIDE}/sock/libvirt-sock", name(driver))
    }

    /// What holds the daemon, as the kernel says now.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn confinement(&self) -> Result<Confinement, Error> {
        Confinement::of(self.pid().ok_or(Error::NotRunning)?)
    }

    /// The user that it runs as; no other process of the machine does.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// The PID of libvirtd, unless it was killed.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// How the daemon ended, if it did; by a signal when it crashed.
    ///
    /// To be asked now and then while it lives: what can be told of a crash depends on it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let running = self.running.as_mut()?;
        let status = running.nsenter.try_wait().ok().flatten();
        if status.is_none() {
            self.watch.iter_mut().for_each(Watch::look);
        }
        status
    }

    /// What the kernel said of the crash of a daemon that has ended by one, such as
    /// `segfault at 0 in libvirt.so.0.9000.0[1d5b52]`.
    pub fn fault(&self) -> Option<String> {
        self.watch.as_ref()?.fault()
    }

    /// The end of the log, preceded by what the daemon printed.
    pub fn log(&self) -> String {
        let mut text = self.output();
        let log = self.outside(&format!("{INSIDE}/log/libvirtd.log"));
        let log = fs::read(log).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&log));
        command::tail(&text, 60)
    }

    /// What the daemon printed, which the C library also does when it finds memory corrupted.
    pub fn output(&self) -> String {
        let output = fs::read(self.dir.path().join("log/output.log"));
        String::from_utf8_lossy(&output.unwrap_or_default()).into_owned()
    }
}

impl Drop for CagedDaemon {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            running.end(Signal::KILL);
        }
        self.namespace.close();
    }
}

/// The name by which a connection asks for a driver.
fn name(driver: Driver) -> &'static str {
    match driver {
        Driver::Qemu => "qemu:///session",
        Driver::Test => "test:///default",
    }
}
