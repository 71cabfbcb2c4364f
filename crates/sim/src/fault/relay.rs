use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::line::{Line, Step};
use super::{Cut, Plan, Record};
use crate::socket::{Address, BoundPath, Listener, Socket};

/// How much is read at once.
const LOT: usize = 64 << 10;

/// Stands between clients and a daemon, and lets things go wrong.
///
/// Every client that connects gets a connection of its own to the daemon, on which goes wrong what
/// the plan for it says. Dropping the relay drops all of them.
///
/// ```no_run
/// use virtwire_sim::fault::{At, Fault, Plan, Relay};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let daemon = "unix:/run/libvirt/libvirt-sock".parse()?;
/// // The first connection passes unharmed, the second ends after five packets.
/// let mut relay = Relay::start(&"unix:/tmp/faulty".parse()?, daemon, |number| match number {
///     0 => Plan::default(),
///     _ => Plan::default().to_client(Fault::End(At::Packet(5))),
/// })
/// .await?;
/// println!("virsh --connect {} list", relay.address().uri("qemu", "/system"));
/// let record = relay.finished().await;
/// # drop(record); Ok(()) }
/// ```
#[derive(Debug)]
pub struct Relay {
    address: Address,
    accepting: JoinHandle<()>,
    /// Gone at once when the relay is dropped, so that another can listen there.
    _path: Option<BoundPath>,
    records: mpsc::UnboundedReceiver<Record>,
}

impl Relay {
    /// Listens at one address and passes connections on to the daemon at the other. `plan` says
    /// what goes wrong on each, by its number.
    ///
    /// # Errors
    ///
    /// When it cannot listen there.
    pub async fn start(
        listen: &Address,
        daemon: Address,
        plan: impl FnMut(u64) -> Plan + Send + 'static,
    ) -> io::Result<Self> {
        let mut listener = Listener::bind(listen)?;
        let path = listener.take_path();
        let address = listener.address().clone();
        let (finished, records) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(accept(listener, daemon, plan, finished));
        Ok(Self {
            address,
            accepting,
            _path: path,
            records,
        })
    }

    /// Where it listens; a port is the real one.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What has passed on the next connection that is over; `None` when there will be no more,
    /// because the relay can accept none.
    ///
    /// # Cancel safety
    ///
    /// Safe: no record is lost by dropping the future.
    pub async fn finished(&mut self) -> Option<Record> {
        self.records.recv().await
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Its connections go with the task.
        self.accepting.abort();
    }
}

async fn accept(
    listener: Listener,
    daemon: Address,
    mut plan: impl FnMut(u64) -> Plan,
    finished: mpsc::UnboundedSender<Record>,
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let client = loop {
            tokio::select! {
                client = listener.accept() => break client,
                Some(_) = connections.join_next() => {}
            }
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "relay accepts no more clients");
                break;
            }
        };
        let (daemon, plan, finished) = (daemon.clone(), plan(number), finished.clone());
        connections.spawn(async move {
            let record = relay(client, &daemon, &plan).await;
            // The relay may have been dropped meanwhile.
            let _ = finished.send(record);
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Passes on what both say until both have gone or the plan ends it.
async fn relay(client: Socket, daemon: &Address, plan: &Plan) -> Record {
    let mut to_client = Line::new(&plan.to_client);
    let mut to_daemon = Line::new(&plan.to_daemon);
    match Socket::connect(daemon).await {
        Ok(daemon) => pass(client, daemon, &mut to_client, &mut to_daemon).await,
        // The client finds out by the end of its connection.
        Err(error) => tracing::warn!(%error, %daemon, "relay cannot reach the daemon"),
    }
    Record {
        to_client: to_client.trace().clone(),
        to_daemon: to_daemon.trace().clone(),
    }
}

async fn pass(client: Socket, daemon: Socket, to_client: &mut Line, to_daemon: &mut Line) {
    let (mut from_client, mut into_client) = split(client);
    let (mut from_daemon, mut into_daemon) = split(daemon);
    let (client_done, daemon_done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let outcome = tokio::try_join!(
        pump(
            &mut from_client,
            &mut into_daemon,
            to_daemon,
            &client_done,
            &daemon_done
        ),
        pump(
            &mut from_daemon,
            &mut into_client,
            to_client,
            &daemon_done,
            &client_done
        ),
    );
    if outcome.map(drop) == Err(Cut::Reset) {
        from_client.unsplit(into_client).reset();
        from_daemon.unsplit(into_daemon).reset();
    }
}

/// Passes on one direction until its end. `Err` ends the other as well.
async fn pump(
    from: &mut ReadHalf<Socket>,
    into: &mut WriteHalf<Socket>,
    line: &mut Line,
    done: &Notify,
    other_done: &Notify,
) -> Result<(), Cut> {
    let mut buffer = BytesMut::with_capacity(LOT);
    loop {
        match line.next(LOT) {
            Step::Read => match from.read_buf(&mut buffer).await {
                Ok(0) => line.finish(),
                Ok(_) => line.push(&buffer.split()),
                Err(_) => return Err(Cut::Reset),
            },
            Step::Pass(bytes) => into.write_all(&bytes).await.map_err(|_| Cut::End)?,
            Step::Wait(time) => sleep(time).await,
            // When the other side says no more either, nobody is left to be kept waiting.
            Step::Stall => {
                other_done.notified().await;
                return Err(Cut::End);
            }
            Step::HalfClose => break,
            Step::End => return Err(Cut::End),
            Step::Reset => return Err(Cut::Reset),
        }
    }
    into.shutdown().await.map_err(|_| Cut::End)?;
    // After an early end the rest is lost.
    while matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
        buffer.clear();
    }
    done.notify_one();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::{At, Fault};
    use super::*;

    /// A daemon that says what it hears, and a relay to it.
    async fn echo_behind(plan: Plan) -> Relay {
        let anywhere = Address::Tcp((Ipv4Addr::LOCALHOST, 0).into());
        let listener = Listener::bind(&anywhere).unwrap();
        let daemon = listener.address().clone();
        tokio::spawn(async move {
            while let Ok(client) = listener.accept().await {
                let (mut reader, mut writer) = split(client);
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    let _ = writer.shutdown().await;
                });
            }
        });
        Relay::start(&anywhere, daemon, move |_| plan.clone())
            .await
            .unwrap()
    }

    /// What comes back when this is said, and the record.
    async fn say(plan: Plan, words: &[u8]) -> (io::Result<Vec<u8>>, Record) {
        let mut relay = echo_behind(plan).await;
        let mut client = Socket::connect(relay.address()).await.unwrap();
        let mut heard = Vec::new();
        let talk = async {
            client.write_all(words).await?;
            client.shutdown().await?;
            client.read_to_end(&mut heard).await
        };
        let outcome = talk.await;
        drop(client);
        (outcome.map(|_| heard), relay.finished().await.unwrap())
    }

    #[tokio::test]
    async fn without_faults_everything_passes_and_is_counted() {
        let (heard, record) = say(Plan::default(), b"hello").await;
        assert_eq!(heard.unwrap(), b"hello");
        assert_eq!((record.to_client.bytes, record.to_daemon.bytes), (5, 5));
    }

    #[tokio::test]
    async fn faults_strike_in_their_direction() {
        let at = At::Byte(2);
        let (heard, record) = say(Plan::default().to_client(Fault::End(at)), b"hello").await;
        assert_eq!(heard.unwrap(), b"he");
        assert_eq!(record.to_daemon.bytes, 5);
        let (heard, record) = say(Plan::default().to_daemon(Fault::HalfClose(at)), b"hello").await;
        assert_eq!(heard.unwrap(), b"he");
        assert_eq!(record.to_daemon.bytes, 2);
        let (heard, _) = say(Plan::default().to_client(Fault::Stall(at)), b"hello").await;
        assert_eq!(heard.unwrap(), b"he");
        let (heard, _) = say(Plan::default().to_daemon(Fault::Flip(at, 2)), b"hello").await;
        assert_eq!(heard.unwrap(), b"heLlo");
        let (heard, _) = say(Plan::default().to_client(Fault::OneByOne), b"hello").await;
        assert_eq!(heard.unwrap(), b"hello");
        let (heard, _) = say(Plan::default().to_client(Fault::Reset(at)), b"hello").await;
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
