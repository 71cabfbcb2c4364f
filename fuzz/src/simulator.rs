//! The simulated daemon, and a client that sends anything at all.

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime;
use tokio::time::{Instant, timeout, timeout_at};
use virtwire_protocol::frame::{Frame, FrameDecoder, encode_frame};
use virtwire_protocol::generated::dispatch;
use virtwire_protocol::header::{Header, MessageType, Serial, Status};
use virtwire_protocol::procedure::{Event, Procedure, Program, Visitor};
use virtwire_protocol::session::Route;
use virtwire_protocol::{RemoteError, keepalive, lxc, qemu, remote};
use virtwire_sim::Simulator;
use virtwire_xdr::{Decode, Encode, Reader, Str, Writer};

use crate::blob::Blob;
use crate::budget::within;

/// What there is on the simulated host: a running domain with a disk on a backing image, a pool
/// and a network.
const HOST: &str = "<node><domain type='test'><name>test</name>\
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>\
    <memory unit='KiB'>8388608</memory><vcpu>2</vcpu><os><type>hvm</type></os><devices>\
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/top'/>\
    <backingStore type='file'><format type='raw'/><source file='/base'/><backingStore/>\
    </backingStore><target dev='vda'/></disk></devices></domain>\
    <network><name>default</name><bridge name='virbr0'/></network>\
    <pool type='dir'><name>default-pool</name><target><path>/default-pool</path></target></pool>\
    </node>";

/// The UUID that is written there.
const UUID: [u8; 16] = [
    0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19, 0x3f,
];

/// What the host's volumes may hold.
const STORAGE: u64 = 1 << 20;

/// Longer than anything takes that a daemon is asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client does.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// The driver that it opens first.
    pub open: Open,
    /// What it does then, in order.
    pub steps: Vec<Step<'a>>,
}

/// A driver to open.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Open {
    /// None: not everything needs one.
    Nothing,
    /// The test driver.
    Test,
    /// The driver with block jobs.
    Qemu,
}

/// Something that a client does.
#[derive(Debug, Clone, Arbitrary)]
pub enum Step<'a> {
    /// Calls something of `remote`; numbers beyond the last one start again.
    Call(u16, Blob<'a>),
    /// Calls something of `remote` with a domain that exists as its first argument.
    OnDomain(u16, Blob<'a>),
    /// As `OnDomain`, with a disk that exists as the second one.
    OnDisk(u16, Blob<'a>),
    /// Calls something of another program, which need not exist.
    Other(u8, u16, Blob<'a>),
    /// Sends a packet of the stream that a call of this number has opened.
    Stream {
        /// Which of its calls.
        call: u8,
        /// A hole, and not data.
        hole: bool,
        /// More follows, it is over, it failed.
        status: u8,
        /// What it says.
        payload: Blob<'a>,
    },
    /// Sends bytes that may be no packet.
    Bytes(Blob<'a>),
    /// Reads what there is, and lets this many milliseconds pass.
    Wait(u16),
}

/// Each answer is to a call, is the only one, and is of its type; memory is bounded by what the
/// client sent; and the next client is served as if nothing had happened.
pub fn check(input: &Input<'_>) {
    let sent = input.steps.iter().map(Step::len).sum::<usize>();
    let storage = usize::try_from(STORAGE).expect("a small number");
    within((8 << 20) + storage + 256 * sent, || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime = runtime.expect("a runtime without sockets needs nothing");
        runtime.block_on(run(input));
    });
}

async fn run(input: &Input<'_>) {
    let builder = Simulator::builder().storage_limit(STORAGE);
    let simulator = builder.config_xml(HOST).expect("it is in order").start();
    let mut client = Client::new(&simulator);
    client.open(input.open).await;
    for step in &input.steps {
        client.step(step).await;
    }
    let alive = client.listen(PATIENCE).await;
    let orderly = |step| !matches!(step, &Step::Bytes(_) | &Step::Stream { .. });
    if alive && input.steps.iter().all(orderly) {
        client.assert_answered();
    }
    drop(client);

    let mut next = Client::new(&simulator);
    next.open(Open::Test).await;
    let version = remote::ConnectGetLibVersion::NUMBER;
    next.call(remote::PROGRAM, version, b"").await;
    next.listen(PATIENCE).await;
    assert!(
        next.due.values().all(|due| *due == 0),
        "the next client waits"
    );
    assert_eq!(simulator.connections(), 1);
}

/// A client that does not know the rules, and notes what it is owed.
struct Client {
    io: DuplexStream,
    decoder: FrameDecoder,
    calls: Vec<Header>,
    /// Answers that have not come.
    due: HashMap<Route, usize>,
    /// Whether it has sent bytes of which nobody knows what calls they are.
    is_wild: bool,
}

impl Client {
    fn new(simulator: &Simulator) -> Self {
        Self {
            io: simulator.connect(),
            decoder: FrameDecoder::new(),
            calls: Vec::new(),
            due: HashMap::new(),
            is_wild: false,
        }
    }

    async fn open(&mut self, driver: Open) {
        let name = match driver {
            Open::Nothing => return,
            Open::Test => "test:///default",
            Open::Qemu => "qemu:///system",
        };
        let args = remote::ConnectOpenArgs {
            name: Some(Str::from(name)),
            flags: 0,
        };
        let number = remote::ConnectOpen::NUMBER;
        self.call(remote::PROGRAM, number, &encoded(&args)).await;
    }

    async fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Call(number, args) => self.call_remote(number, &[], args).await,
            Step::OnDomain(number, args) => self.call_remote(number, &domain(), args).await,
            Step::OnDisk(number, args) => {
                let first = [domain(), encoded_text("vda")].concat();
                self.call_remote(number, &first, args).await;
            }
            Step::Other(program, number, args) => {
                let programs = [qemu::PROGRAM, lxc::PROGRAM, Program::new(program.into(), 1)];
                let program = programs[usize::from(program) % programs.len()];
                self.call(program, number.into(), args.bytes()).await;
            }
            Step::Stream {
                call,
                hole,
                status,
                payload,
            } => {
                let Some(index) = usize::from(call).checked_rem(self.calls.len()) else {
                    return;
                };
                let kinds = [MessageType::Stream, MessageType::StreamHole];
                let header = Header {
                    kind: kinds[usize::from(hole)],
                    status: Status::from(i32::from(status % 3)),
                    ..self.calls[index]
                };
                // A stream that does not exist, or a hole that is not allowed, is refused by a
                // reply to its call.
                *self.due.entry(Route::of(&header)).or_default() += 1;
                self.send(&header, payload.bytes()).await;
            }
            Step::Bytes(bytes) => {
                self.is_wild = true;
                self.write(bytes.bytes()).await;
            }
            Step::Wait(milliseconds) => {
                self.listen(Duration::from_millis(milliseconds.into()))
                    .await;
            }
        }
    }

    async fn call_remote(&mut self, number: u16, first: &[u8], args: Blob<'_>) {
        let number = i32::from(number % 512);
        let args = [first, args.bytes()].concat();
        self.call(remote::PROGRAM, number, &args).await;
    }

    async fn call(&mut self, program: Program, procedure: i32, args: &[u8]) {
        let serial = u32::try_from(self.calls.len()).expect("few calls");
        let header = Header {
            program,
            procedure,
            kind: MessageType::Call,
            serial: Serial::new(serial),
            status: Status::Ok,
        };
        self.calls.push(header);
        *self.due.entry(Route::of(&header)).or_default() += 1;
        self.send(&header, args).await;
    }

    async fn send(&mut self, header: &Header, payload: &[u8]) {
        let mut packet = BytesMut::new();
        let made = encode_frame(&mut packet, header, |_| Ok(()));
        assert_eq!(made, Ok(()));
        packet.put_slice(payload);
        let length = u32::try_from(packet.len()).expect("payloads are short");
        packet[..4].copy_from_slice(&length.to_be_bytes());
        self.write(&packet).await;
    }

    /// Writes all of it, unless the daemon has hung up or does not read.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.io.write_all(bytes)).await;
    }

    /// Reads for so long; says whether the connection is still there.
    async fn listen(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let read = self.io.read_buf(self.decoder.buffer_mut());
            match timeout_at(deadline, read).await {
                Ok(Ok(count)) if count > 0 => {}
                Ok(_) => return false,
                Err(_) => return true,
            }
            let frame = || self.decoder.next_frame().expect("a daemon sends packets");
            let frames: Vec<_> = std::iter::from_fn(frame).collect();
            for frame in frames {
                self.hear(&frame).await;
            }
        }
    }

    async fn hear(&mut self, frame: &Frame) {
        let header = &frame.header;
        let route = Route::of(header);
        match (header.kind, header.status) {
            (MessageType::Message, _) if header.program == keepalive::PROGRAM => {
                if header.procedure == keepalive::Ping::NUMBER {
                    self.pong().await;
                }
            }
            (MessageType::Message, _) => assert_message(header, &frame.payload),
            (MessageType::Reply, status) => {
                if !self.is_wild {
                    self.answered(route);
                }
                match status {
                    Status::Ok => assert_message(header, &frame.payload),
                    Status::Error => assert!(RemoteError::decode(&frame.payload).is_ok()),
                    status => panic!("an answer has no status {status:?}"),
                }
            }
            (MessageType::Stream, Status::Error) => {
                assert!(RemoteError::decode(&frame.payload).is_ok());
            }
            (MessageType::Stream | MessageType::StreamHole, _) => {}
            (kind, _) => panic!("a daemon sends no {kind:?}"),
        }
    }

    fn assert_answered(&self) {
        let waiting: Vec<_> = self.due.iter().filter(|(_, due)| **due > 0).collect();
        assert!(waiting.is_empty(), "without an answer: {waiting:?}");
    }

    fn answered(&mut self, route: Route) {
        let due = self.due.get_mut(&route);
        let due = due.unwrap_or_else(|| panic!("{route:?} was never called"));
        *due = due.checked_sub(1).expect("a call is answered once");
    }

    async fn pong(&mut self) {
        let header = Header {
            program: keepalive::PROGRAM,
            procedure: keepalive::Pong::NUMBER,
            kind: MessageType::Message,
            serial: Serial::default(),
            status: Status::Ok,
        };
        self.send(&header, b"").await;
    }
}

impl Step<'_> {
    /// The bytes that it brings, with what it takes to note that it happened.
    fn len(&self) -> usize {
        let (Self::Call(_, payload)
        | Self::OnDomain(_, payload)
        | Self::OnDisk(_, payload)
        | Self::Other(_, _, payload)
        | Self::Stream { payload, .. }
        | Self::Bytes(payload)) = self
        else {
            return 64;
        };
        256 + payload.bytes().len()
    }
}

/// What a daemon says must be of the type that the procedure has.
fn assert_message(header: &Header, payload: &[u8]) {
    let is_whole = dispatch::visit(header.program, header.procedure, IsWhole(payload));
    assert_eq!(is_whole, Some(true), "{header:?}");
}

struct IsWhole<'m>(&'m [u8]);

impl Visitor for IsWhole<'_> {
    type Output = bool;

    fn procedure<P: Procedure>(self) -> bool {
        let mut reader = Reader::new(self.0);
        P::Ret::decode(&mut reader).is_ok() && reader.finish().is_ok()
    }

    fn event<E: Event>(self) -> bool {
        let mut reader = Reader::new(self.0);
        E::Msg::decode(&mut reader).is_ok() && reader.finish().is_ok()
    }
}

fn domain() -> Vec<u8> {
    encoded(&remote::NonnullDomain {
        name: Str::from("test"),
        uuid: UUID,
        id: 1,
    })
}

fn encoded_text(text: &str) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer);
    let written = writer.string(&Str::from(text), 255);
    assert_eq!(written, Ok(()));
    buffer.to_vec()
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let written = value.encode(&mut Writer::new(&mut buffer));
    assert_eq!(written, Ok(()));
    buffer.to_vec()
}
