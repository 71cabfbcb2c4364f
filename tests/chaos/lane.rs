//! A daemon on which scenes are played one after the other.

use std::io;
use std::path::PathBuf;

use virtwire::{Connection, Error, Reconnect};
use virtwire_lab::{Chain, Daemon, Driver, image};
use virtwire_sim::fault::{Plan, Relay};
use virtwire_tests::release;
use virtwire_tests::stage::layered::LAYERS;
use virtwire_tests::writer::Content;

/// The size of each disk.
pub(crate) const SIZE: u64 = 4 << 20;

/// A daemon, and what every guest on it begins with.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) daemon: Daemon,
    /// Copied for each disk.
    pub(crate) template: Chain,
    /// What it holds.
    pub(crate) content: Content,
    /// What QEMU calls itself.
    pub(crate) qemu: String,
    relay: Option<Relay>,
}

impl Lane {
    pub(crate) fn open(seed: u64) -> Result<Self, virtwire_lab::Error> {
        let daemon = release::daemon().start()?;
        let template = daemon.images_dir().join("template");
        let template = Chain::create(&template, &LAYERS, SIZE, seed)?;
        let content = Content::new(image::content(&template.active())?);
        let version = daemon.run_inside("qemu-system-x86_64", &["--version".as_ref()])?;
        Ok(Self {
            qemu: version.lines().next().unwrap_or_default().to_owned(),
            daemon,
            template,
            content,
            relay: None,
        })
    }

    /// Whether QEMU has to be spared two pulls at a time: 10.0.2 dies of them every other time, and
    /// 10.0.13 does not.
    pub(crate) fn pulls_alone(&self) -> bool {
        ["version 10.0.0", "version 10.0.1 ", "version 10.0.2 "]
            .iter()
            .any(|version| self.qemu.contains(version))
    }

    /// The URI that nothing comes between.
    pub(crate) fn uri(&self) -> String {
        self.daemon.uri(Driver::Qemu)
    }

    /// The URI that goes by the relay.
    pub(crate) fn relayed_uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.relay_path().display())
    }

    fn relay_path(&self) -> PathBuf {
        self.daemon.dir().join("sock/relay")
    }

    /// Starts the relay.
    pub(crate) async fn join(&mut self) -> io::Result<()> {
        let address = |path: PathBuf| format!("unix:{}", path.display()).parse();
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, format!("{error:?}"));
        let listen = address(self.relay_path()).map_err(invalid)?;
        let daemon = address(self.daemon.socket()).map_err(invalid)?;
        self.relay = Some(Relay::start(&listen, daemon, |_| Plan::default()).await?);
        Ok(())
    }

    /// Breaks all connections that go by the relay, which is gone then.
    pub(crate) fn cut(&mut self) {
        self.relay = None;
    }

    /// A connection that somebody who only looks on has.
    pub(crate) async fn observer(&self) -> Result<Connection, Error> {
        Connection::open(&self.uri()).await
    }

    /// A client's connection.
    pub(crate) async fn client(uri: &str, lasts: bool) -> Result<Connection, Error> {
        let policy = lasts.then(Reconnect::default);
        Connection::builder()
            .uri(uri)
            .reconnect(policy)
            .connect()
            .await
    }
}
