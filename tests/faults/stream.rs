//! The phase in which data streams are open.
//!
//! The client has no streams of its own yet, so its session is driven by hand here.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use virtwire::remote::{self, NonnullStorageVol};
use virtwire::{CloseCause, Procedure, RemoteError};
use virtwire_protocol::frame::FrameDecoder;
use virtwire_protocol::header::{Header, MessageType, Status};
use virtwire_protocol::session::{
    CallFailure, CallRequest, ClientConfig, ClientSession, Delivery, KeepaliveConfig, Output,
    ProtocolError, Reply, Route, StreamBody, StreamEnd, StreamFailure, StreamId, StreamItem,
};
use virtwire_sim::fault::{Faulty, Plan};
use virtwire_tests::peer::{Guest as _, Peer, Pipe, packet};

use crate::cell::alone;
use crate::daemon::Daemon;
use crate::misdeed::{Misdeed, Verdict, for_each_misdeed};
use crate::phase::INTERVAL;

type Ask = remote::ConnectSupportsFeature;
type Download = remote::StorageVolDownload;
type Upload = remote::StorageVolUpload;

/// What a stream holds at most.
const BUFFER: usize = 64 << 10;

/// The calls of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    Ask,
    Download,
    Upload,
}

/// A client session and the byte stream under it.
struct Client {
    io: Faulty<Pipe>,
    decoder: FrameDecoder,
    session: ClientSession<Token>,
    answers: HashMap<Token, Result<Reply, CallFailure>>,
    ended: HashMap<StreamId, Result<StreamEnd, StreamFailure>>,
    downloaded: Vec<u8>,
}

impl Client {
    fn new(io: Faulty<Pipe>) -> Self {
        let mut config = ClientConfig::default();
        config.max_stream_buffer = BUFFER;
        config.keepalive = Some(KeepaliveConfig::new(INTERVAL, 2));
        Self {
            io,
            decoder: FrameDecoder::new(),
            session: ClientSession::new(config, Instant::now().into_std()),
            answers: HashMap::new(),
            ended: HashMap::new(),
            downloaded: Vec::new(),
        }
    }

    fn call<P: Procedure>(&mut self, token: Token, args: &P::Args<'_>) {
        let request = CallRequest::new::<P>(args).unwrap();
        self.session.call(request, token);
    }

    /// The stream that a call has opened.
    fn stream(&self, token: Token) -> StreamId {
        let reply = self.answers[&token].as_ref().unwrap();
        reply.stream.unwrap()
    }

    /// Goes on until this is so, or the connection has ended.
    async fn until(&mut self, reached: impl Fn(&Self) -> bool) {
        self.take_outputs();
        while !reached(self) && self.session.close_cause().is_none() {
            self.step().await;
            self.take_outputs();
        }
    }

    async fn until_closed(&mut self) -> Arc<CloseCause> {
        self.until(|_| false).await;
        Arc::clone(self.session.close_cause().unwrap())
    }

    /// Writes what there is to be written and then reads once or waits until the time has come.
    async fn step(&mut self) {
        while let Some(bytes) = self.session.poll_transmit() {
            // A daemon that takes nothing any more is found out by reading.
            let _ = self.io.write_all(&bytes).await;
        }
        let _ = self.io.flush().await;
        let deadline = self.session.poll_timeout().unwrap();
        tokio::select! {
            biased;
            read = self.io.read_buf(self.decoder.buffer_mut()) => match read {
                Ok(0) => self.session.close(CloseCause::EndOfFile),
                Ok(_) => self.take_frames(),
                Err(error) => self.session.close(CloseCause::Io(error)),
            },
            () = sleep_until(deadline.into()) => {
                self.session.handle_timeout(Instant::now().into_std());
            }
        }
    }

    fn take_frames(&mut self) {
        let now = Instant::now().into_std();
        self.session.handle_bytes(now);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => match self.session.handle_frame(frame, now) {
                    Ok(()) => self.take_outputs(),
                    Err(_) => return,
                },
                Ok(None) => return,
                Err(error) => return self.session.close(CloseCause::Frame(error)),
            }
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::CallFinished { token, result, .. } => {
                    assert!(self.answers.insert(token, result).is_none());
                }
                Output::StreamReadable(id) => {
                    while let Some(item) = self.session.stream_read(id) {
                        self.keep(item);
                    }
                }
                Output::StreamClosed {
                    id,
                    outcome,
                    unread,
                } => {
                    unread.into_iter().for_each(|item| self.keep(item));
                    assert!(self.ended.insert(id, outcome).is_none());
                }
                _ => {}
            }
        }
    }

    fn keep(&mut self, item: StreamItem) {
        if let StreamItem::Data(bytes) = item {
            self.downloaded.extend_from_slice(&bytes);
        }
    }

    /// Nothing is left of calls and streams.
    fn is_empty_handed(&self) {
        assert_eq!(self.session.calls_in_flight(), 0);
        assert_eq!(self.session.waiting_calls(), 0);
        assert_eq!(self.session.streams(), 0);
        assert_eq!(self.session.pending_bytes(), 0);
    }
}

/// A download and an upload, both under way, and a call beside them.
struct Scene {
    client: Client,
    daemon: Daemon,
    download: Route,
    upload: Route,
}

impl Scene {
    async fn enter(plan: Plan) -> Self {
        let (client, mut peer) = Peer::pair();
        let mut client = Client::new(Faulty::new(client, plan));
        client.call::<Download>(Token::Download, &download_args());
        client.call::<Upload>(Token::Upload, &upload_args());
        client.call::<Ask>(
            Token::Ask,
            &remote::ConnectSupportsFeatureArgs { feature: 7 },
        );
        let open = async {
            let download = peer.expect::<Download>().await.unwrap();
            let upload = peer.expect::<Upload>().await.unwrap();
            let ask = peer.expect::<Ask>().await.unwrap().into_request();
            peer.reply(&download, &()).await.unwrap();
            peer.reply(&upload, &()).await.unwrap();
            let data = Bytes::from_static(b"down");
            peer.stream_data(download.route, &data).await.unwrap();
            (download.route, upload.route, ask)
        };
        let opened = client.until(|client| client.downloaded == b"down");
        let ((), (download, upload, ask)) = tokio::join!(opened, open);
        let into = client.stream(Token::Upload);
        let data = Bytes::from_static(b"up");
        client.session.stream_send(into, data).unwrap();
        Self {
            client,
            daemon: Daemon::new(peer, vec![ask.clone()], ask),
            download,
            upload,
        }
    }

    /// Has the daemon do something, which the client reads meanwhile.
    async fn misbehave(&mut self, misdeed: impl AsyncFnOnce(&mut Daemon)) {
        tokio::select! {
            biased;
            () = misdeed(&mut self.daemon) => {}
            () = self.client.until(|_| false) => {}
        }
    }

    /// Call and streams end by the same cause, which is one of these.
    async fn ends_by(mut self, expected: fn(&CloseCause) -> bool) {
        let (download, upload) = self.streams();
        let cause = self.client.until_closed().await;
        assert!(expected(&cause), "{cause:?}");
        self.client.take_outputs();
        match &self.client.answers[&Token::Ask] {
            Err(CallFailure::ConnectionClosed {
                cause: told,
                delivery,
            }) => {
                assert!(Arc::ptr_eq(told, &cause));
                assert_eq!(*delivery, Delivery::MaybeExecuted);
            }
            answer => panic!("{answer:?}"),
        }
        for stream in [download, upload] {
            match &self.client.ended[&stream] {
                Err(StreamFailure::ConnectionClosed { cause: told }) => {
                    assert!(Arc::ptr_eq(told, &cause));
                }
                end => panic!("{end:?}"),
            }
        }
        self.client.is_empty_handed();
        assert_eq!(self.client.session.poll_timeout(), None);
    }

    /// The call is answered, or fails because it was answered wrongly; the streams that are still
    /// open go on to their ends, and another call works.
    async fn goes_on(mut self, wronged: bool) {
        let (download, upload) = self.streams();
        let Self {
            client,
            daemon,
            download: from,
            upload: into,
        } = &mut self;
        for stream in [download, upload] {
            if !client.ended.contains_key(&stream) {
                client.session.stream_finish(stream).unwrap();
            }
        }
        let finish = async {
            daemon.pay().await;
            let peer = daemon.peer();
            peer.stream_data(*from, b"more").await.unwrap();
            peer.stream_data(*from, b"").await.unwrap();
            finish_streams(peer, [*from, *into]).await;
        };
        let ended = client.until(|client| {
            client.session.streams() == 0 && client.answers.contains_key(&Token::Ask)
        });
        tokio::join!(ended, finish);
        match client.answers.remove(&Token::Ask).unwrap() {
            Ok(_) => assert!(!wronged),
            Err(CallFailure::BadReply(_)) => assert!(wronged),
            answer => panic!("{answer:?}"),
        }
        let args = remote::ConnectSupportsFeatureArgs { feature: 9 };
        client.call::<Ask>(Token::Ask, &args);
        let answered = client.until(|client| client.answers.contains_key(&Token::Ask));
        tokio::join!(answered, daemon.peer().until::<Ask>());
        let reply = client.answers[&Token::Ask].as_ref().unwrap();
        assert_eq!(reply.ret::<Ask>().unwrap().supported, 9);
        client.is_empty_handed();
    }

    fn streams(&self) -> (StreamId, StreamId) {
        let client = &self.client;
        (client.stream(Token::Download), client.stream(Token::Upload))
    }
}

/// Confirms whatever the client finishes or aborts, until it has ended both streams or, since a
/// stream that the daemon failed is not ended by the client, has nothing more to say on them.
async fn finish_streams(peer: &mut Peer, streams: [Route; 2]) {
    for _ in streams {
        loop {
            let packet = tokio::time::timeout(INTERVAL / 2, peer.next()).await;
            let Ok(packet) = packet else { return };
            let Some(virtwire_sim::script::Heard::Stream(packet)) = packet.unwrap() else {
                panic!("the client has only streams to speak of");
            };
            if matches!(packet.body, StreamBody::Finish | StreamBody::Abort) {
                peer.stream_confirm(packet.route).await.unwrap();
                break;
            }
        }
    }
}

fn volume() -> NonnullStorageVol<'static> {
    NonnullStorageVol {
        pool: "pool".into(),
        name: "volume".into(),
        key: "/volume".into(),
    }
}

fn download_args() -> remote::StorageVolDownloadArgs<'static> {
    remote::StorageVolDownloadArgs {
        vol: volume(),
        offset: 0,
        length: 0,
        flags: 0,
    }
}

fn upload_args() -> remote::StorageVolUploadArgs<'static> {
    remote::StorageVolUploadArgs {
        vol: volume(),
        offset: 0,
        length: 0,
        flags: 0,
    }
}

/// Runs a cell.
fn check(misdeed: Misdeed) {
    alone(async {
        let mut scene = Scene::enter(misdeed.plan()).await;
        let before = Instant::now();
        scene
            .misbehave(async |daemon| misdeed.commit(daemon).await)
            .await;
        match misdeed.verdict() {
            Verdict::Fatal(expected) => {
                scene.ends_by(expected).await;
                assert!(before.elapsed().is_zero(), "nobody waits for anything");
            }
            Verdict::Silence => {
                scene
                    .ends_by(|cause| matches!(cause, CloseCause::KeepaliveTimeout(_)))
                    .await;
                assert!(before.elapsed() <= 3 * INTERVAL);
            }
            Verdict::CallFails => scene.goes_on(true).await,
            Verdict::Harmless => scene.goes_on(false).await,
        }
    });
}

/// What the daemon does on the download or the upload, and how each of them ends then.
fn check_stream(misdeed: impl AsyncFnOnce(&mut Peer, Route, Route), ends: impl FnOnce(End, End)) {
    alone(async {
        let mut scene = Scene::enter(Plan::default()).await;
        let (download, upload) = scene.streams();
        let (from, into) = (scene.download, scene.upload);
        scene
            .misbehave(async |daemon| misdeed(daemon.peer(), from, into).await)
            .await;
        // What was said has arrived when the client has answered this.
        let pongs = scene.daemon.peer().seen().pongs;
        scene
            .misbehave(async |daemon| {
                daemon.peer().ping().await.unwrap();
                daemon.peer().expect_pongs(pongs + 1).await.unwrap();
            })
            .await;
        let end = |stream| scene.client.ended.get(&stream).cloned();
        ends(end(download), end(upload));
        scene.goes_on(false).await;
    });
}

/// How a stream has ended; `None` when it has not.
type End = Option<Result<StreamEnd, StreamFailure>>;

/// The daemon does something on a stream that no daemon may do.
fn is_fatal(packet: impl FnOnce(Route) -> Header, expected: fn(&CloseCause) -> bool) {
    alone(async {
        let mut scene = Scene::enter(Plan::default()).await;
        let header = packet(scene.download);
        scene
            .misbehave(async |daemon| daemon.peer().send(&header, b"").await.unwrap())
            .await;
        scene.ends_by(expected).await;
    });
}

#[test]
fn confirmation_that_nobody_asked_for() {
    is_fatal(
        |route| route.header(MessageType::Stream, Status::Ok),
        |cause| {
            let expected = |error| matches!(error, ProtocolError::UnexpectedStreamEnd(_));
            matches!(cause, CloseCause::Protocol(error) if expected(*error))
        },
    );
}

#[test]
fn packet_of_unknown_status() {
    is_fatal(
        |route| route.header(MessageType::Stream, Status::Unknown(3)),
        |cause| {
            let expected = |error| matches!(error, ProtocolError::UnknownStreamStatus { .. });
            matches!(cause, CloseCause::Protocol(error) if expected(*error))
        },
    );
}

#[test]
fn hole_that_makes_no_sense() {
    check_stream(
        async |peer, download, _| peer.stream_hole(download, -1).await.unwrap(),
        |download, upload| {
            assert!(matches!(download, Some(Err(StreamFailure::BadHole))));
            assert!(upload.is_none());
        },
    );
}

#[test]
fn error_on_a_stream() {
    use virtwire::constants::{ErrorCode, ErrorDomain};
    check_stream(
        async |peer, download, upload| {
            let error = RemoteError::new(ErrorCode::SYSTEM_ERROR, ErrorDomain::STREAMS, "full");
            peer.stream_error(upload, &error).await.unwrap();
            // A daemon refuses a hole by a reply with the serial of the stream.
            peer.error(download, &error).await.unwrap();
        },
        |download, upload| {
            assert!(matches!(download, Some(Err(StreamFailure::Remote(_)))));
            assert!(matches!(upload, Some(Err(StreamFailure::Remote(_)))));
        },
    );
}

#[test]
fn undecodable_error_on_a_stream() {
    check_stream(
        async |peer, _, upload| {
            let header = upload.header(MessageType::Stream, Status::Error);
            peer.send(&header, &[0; 7]).await.unwrap();
        },
        |download, upload| {
            assert!(download.is_none());
            let failure = upload.unwrap().unwrap_err();
            assert!(matches!(failure, StreamFailure::UndecodableError(_)));
        },
    );
}

#[test]
fn flood_of_empty_packets_after_the_end_of_the_data() {
    check_stream(
        async |peer, download, _| {
            let header = download.header(MessageType::Stream, Status::Continue);
            let packets = packet(&header, b"").repeat(1000);
            for _ in 0..10 {
                peer.send_raw(&packets).await.unwrap();
            }
        },
        |download, upload| assert!(download.is_none() && upload.is_none()),
    );
}

#[test]
fn data_on_an_upload() {
    check_stream(
        async |peer, _, upload| peer.stream_data(upload, b"unasked").await.unwrap(),
        |download, upload| assert!(download.is_none() && upload.is_none()),
    );
}

/// A module with a test for each misdeed.
macro_rules! cells {
    ({$($misdeed:ident $Misdeed:ident)*}) => {
        $(#[test]
        fn $misdeed() {
            check(Misdeed::$Misdeed);
        })*
    };
}

for_each_misdeed! { cells! }
