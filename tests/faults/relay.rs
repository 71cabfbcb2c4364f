//! Faults between real peers: virsh and this client on one side, a private libvirtd on the other.

use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use virtwire::constants::ConnectListAllDomainsFlags;
use virtwire::{Connection, Error, remote};
use virtwire_lab::Daemon;
use virtwire_sim::fault::{At, Fault, Plan, Record, Relay};
use virtwire_sim::script::Peer;
use virtwire_sim::socket::{Address, Listener};
use virtwire_tests::deadline;

/// No command takes nearly this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a stalled daemon is waited for.
const SHORT: Duration = Duration::from_millis(30);

/// How many bytes pass one way in a session, and the plan of a fault among them.
type Way = (u64, fn(Fault) -> Plan);

/// A daemon and the place for a relay to it.
struct Stage {
    daemon: Daemon,
    directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self {
            daemon: Daemon::start().unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    async fn relay(&self, plan: Plan) -> Relay {
        let listen = Address::Unix(self.directory.path().join("relay"));
        let daemon = Address::Unix(self.daemon.socket());
        Relay::start(&listen, daemon, move |_| plan.clone())
            .await
            .unwrap()
    }

    /// A session of this client, and what has passed in it.
    async fn session(&self, plan: Plan) -> (Result<String, Error>, Record) {
        self.session_within(PATIENCE, plan).await
    }

    async fn session_within(&self, time: Duration, plan: Plan) -> (Result<String, Error>, Record) {
        let mut relay = self.relay(plan).await;
        let uri = relay.address().uri("test", "/default");
        let said = talk(uri, time).await;
        (said, relay.finished().await.unwrap())
    }

    /// Whether virsh can list the domains over such a connection.
    async fn virsh(&self, plan: Plan) -> (bool, Record) {
        let mut relay = self.relay(plan).await;
        let listed = virsh(relay.address(), "list --all").await;
        (listed.is_some(), relay.finished().await.unwrap())
    }
}

/// Connects, lists, asks, closes.
async fn talk(uri: String, time: Duration) -> Result<String, Error> {
    let builder = Connection::builder()
        .uri(uri)
        .connect_deadline(time)
        .call_deadline(time);
    let connection = builder.connect().await?;
    let every = ConnectListAllDomainsFlags::empty();
    let domains = connection.list_domains(every).await?.len();
    let kind = connection.hypervisor().await?;
    // An orderly end is given five seconds, so a daemon that is stalled is not told.
    drop(connection);
    Ok(format!("{domains} {kind}"))
}

/// What virsh says; `None` when it fails.
async fn virsh(address: &Address, command: &str) -> Option<String> {
    let uri = address.uri("test", "/default");
    let running = Command::new("virsh")
        .args(["--connect", &uri, command])
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, running).await.expect("virsh ends");
    let output = output.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(said)
}

#[tokio::test]
async fn virsh_is_the_client_of_a_script() {
    deadline(async {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("socket"));
        let listener = Listener::bind(&address).unwrap();
        let script = async {
            let mut peer = Peer::accept(&listener).await?;
            peer.shake_hands().await?;
            let asked = peer.skip_to::<remote::ConnectGetHostname>().await?;
            let hostname = "a-host-of-the-script".into();
            let ret = remote::ConnectGetHostnameRet { hostname };
            peer.reply(&asked, &ret).await?;
            let close = peer.skip_to::<remote::ConnectClose>().await?;
            peer.reply(&close, &()).await?;
            peer.expect_hang_up().await
        };
        let (said, script) = tokio::join!(virsh(&address, "hostname"), script);
        script.unwrap();
        assert_eq!(said.unwrap().trim(), "a-host-of-the-script");
    })
    .await;
}

#[tokio::test]
async fn virsh_that_is_answered_garbage_fails() {
    deadline(async {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("socket"));
        let listener = Listener::bind(&address).unwrap();
        let script = async {
            let mut peer = Peer::accept(&listener).await?;
            peer.shake_hands().await?;
            peer.send_raw(b"HTTP/1.1 400 Bad Request").await?;
            peer.until_hang_up().await
        };
        let (said, script) = tokio::join!(virsh(&address, "hostname"), script);
        script.unwrap();
        assert_eq!(said, None);
    })
    .await;
}

#[tokio::test]
async fn faults_that_change_no_bytes_harm_neither_client() {
    deadline(async {
        let stage = Stage::new();
        let whole = stage.session(Plan::default()).await.0.unwrap();
        assert_eq!(whole, "1 TEST");
        for plan in [
            Plan::default().to_client(Fault::OneByOne),
            Plan::default().to_daemon(Fault::OneByOne),
            Plan::default().to_client(Fault::Split(At::Packet(2))),
            Plan::default().to_daemon(Fault::Delay(At::Byte(40), SHORT)),
        ] {
            assert_eq!(stage.session(plan.clone()).await.0.unwrap(), whole);
            let (listed, _) = stage.virsh(plan).await;
            assert!(listed);
        }
    })
    .await;
}

#[tokio::test]
async fn end_and_reset_at_any_byte_of_a_session_with_a_daemon_have_typed_ends() {
    deadline(async {
        let stage = Stage::new();
        let (whole, record) = stage.session(Plan::default()).await;
        whole.unwrap();
        let ways: [Way; 2] = [
            (record.to_client.bytes, |fault| {
                Plan::default().to_client(fault)
            }),
            (record.to_daemon.bytes, |fault| {
                Plan::default().to_daemon(fault)
            }),
        ];
        for (bytes, way) in ways {
            for byte in 0..bytes {
                // Both at every other byte, so that each byte has one.
                let fault = match byte % 2 {
                    0 => Fault::End(At::Byte(byte)),
                    _ => Fault::Reset(At::Byte(byte)),
                };
                match stage.session(way(fault)).await.0 {
                    Ok(said) => assert_eq!(said, "1 TEST", "{fault:?}"),
                    Err(error) => assert!(error.is_closed(), "{fault:?}: {error:?}"),
                }
            }
        }
        // The daemon has survived all of it.
        stage.session(Plan::default()).await.0.unwrap();
    })
    .await;
}

#[tokio::test]
async fn stall_after_any_packet_of_a_session_with_a_daemon_ends_with_the_deadline() {
    deadline(async {
        let stage = Stage::new();
        let (_, record) = stage.session(Plan::default()).await;
        for packets in 0..record.to_client.packets.len() as u64 {
            let stall = Plan::default().to_client(Fault::Stall(At::Packet(packets)));
            let error = stage.session_within(SHORT, stall).await.0.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn virsh_ends_wherever_the_connection_ends() {
    deadline(async {
        let stage = Stage::new();
        let (listed, record) = stage.virsh(Plan::default()).await;
        assert!(listed);
        let packets = record.to_client.packets.len() as u64;
        assert!(packets > 5, "{record:?}");
        for packets in 0..packets {
            let end = Plan::default().to_client(Fault::End(At::Packet(packets)));
            let (listed, record) = stage.virsh(end).await;
            assert!(record.to_client.packets.len() as u64 <= packets);
            // The first three open the connection. At the end it is a matter of luck whether virsh
            // looks at what it has got or at the end of the connection first.
            assert!(!listed || packets > 3, "after {packets}");
        }
    })
    .await;
}
