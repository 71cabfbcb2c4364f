//! A daemon with one guest, whose words a test sets.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use virtwire::constants::{DomainBlockJobType, DomainEventId, DomainXmlFlags, ErrorCode};
use virtwire::event::DomainEventKind;
use virtwire::remote;
use virtwire::xdr::{IntoOwned as _, Str};
use virtwire::{Connection, Disk, Procedure};
use virtwire_protocol::event::Message;
use virtwire_protocol::session::Request;
use virtwire_tests::peer::{Guest as _, Peer, callback_id, connected, domain, event_header};

type Register = remote::ConnectDomainEventCallbackRegisterAny;
pub(super) type Info = remote::DomainGetBlockJobInfoRet;

/// What the daemon says when it is asked.
pub(super) struct Words {
    /// The XML of the running domain, and that of its definition.
    pub(super) live: String,
    pub(super) definition: String,
    pub(super) info: Info,
    /// The daemon does not know `BLOCK_JOB_2`.
    pub(super) lacks_second: bool,
    /// It refuses to end a job.
    pub(super) refusal: Option<ErrorCode>,
    calls: Vec<Request>,
}

/// The daemon, and a client of it.
pub(super) struct Host {
    pub(super) connection: Connection,
    words: Arc<Mutex<Words>>,
    events: mpsc::UnboundedSender<DomainEventKind>,
}

/// The XML of a guest whose disk has these images, and what else there is in the disk's element.
pub(super) fn xml(chain: &[&str], more: &str) -> String {
    let below = chain.iter().enumerate().skip(1).rev();
    let backing = below.fold("<backingStore/>".to_owned(), |inner, (index, image)| {
        format!(
            "<backingStore type='file' index='{index}'><source file='{image}'/>{inner}</backingStore>"
        )
    });
    format!(
        "<domain type='kvm' id='1'><name>guest</name><devices>\
         <disk type='file' device='disk'><driver type='qcow2'/><source file='{}'/>{backing}{more}\
         <target dev='vda'/></disk></devices></domain>",
        chain[0]
    )
}

/// What the daemon says of a job that is so far of a hundred.
pub(super) fn info(kind: DomainBlockJobType, cur: u64) -> Info {
    Info {
        found: 1,
        type_: kind.0,
        bandwidth: 0,
        cur,
        end: 100,
    }
}

impl Host {
    pub(super) async fn connected() -> Self {
        let (connection, peer) = connected().await;
        let chain = xml(&["/top", "/mid", "/base"], "");
        let words = Words {
            live: chain.clone(),
            definition: chain,
            info: Info::default(),
            lacks_second: false,
            refusal: None,
            calls: Vec::new(),
        };
        let words = Arc::new(Mutex::new(words));
        let (events, told) = mpsc::unbounded_channel();
        tokio::spawn(serve(peer, Arc::clone(&words), told));
        Self {
            connection,
            words,
            events,
        }
    }

    pub(super) fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap()
    }

    pub(super) async fn disk(&self) -> Disk {
        self.disk_named("vda").await
    }

    pub(super) async fn disk_named(&self, path: &str) -> Disk {
        let guest = self.connection.lookup_domain_by_name("guest").await;
        guest.unwrap().disk(path)
    }

    /// Tells what has happened to whoever has asked for it.
    pub(super) fn tell(&self, event: DomainEventKind) {
        self.events.send(event).unwrap();
    }

    /// The arguments of the calls of `P` since this was asked last.
    pub(super) fn taken<P: Procedure>(&self) -> Vec<P::Args<'static>> {
        let calls = std::mem::take(&mut self.words().calls);
        let (ours, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(Request::is::<P>);
        self.words().calls = others;
        let args = |call: &Request| call.args::<P>().unwrap().into_owned();
        ours.iter().map(args).collect()
    }
}

async fn serve(
    mut peer: Peer,
    words: Arc<Mutex<Words>>,
    mut told: mpsc::UnboundedReceiver<DomainEventKind>,
) {
    let mut wanted = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(event) = told.recv() => {
                let id = event.id().0;
                if !wanted.contains(&id) {
                    continue;
                }
                let message = Message::new(Some(callback_id(id)), domain(), event);
                let packet = message.encode().unwrap();
                let header = event_header(packet.program, packet.procedure);
                peer.send(&header, &packet.payload).await.unwrap();
            }
            request = peer.request() => {
                let Some(request) = request.unwrap() else { return };
                answer(&mut peer, &words, &request, &mut wanted).await;
            }
        }
    }
}

async fn answer(peer: &mut Peer, words: &Mutex<Words>, request: &Request, wanted: &mut Vec<i32>) {
    words.lock().unwrap().calls.push(request.clone());
    if request.is::<Register>() {
        let event = request.args::<Register>().unwrap().event_id;
        let lacks_second = words.lock().unwrap().lacks_second;
        if event == DomainEventId::BLOCK_JOB_2.0 && lacks_second {
            return peer.refuse(request, ErrorCode::INTERNAL_ERROR).await;
        }
        wanted.push(event);
    }
    let refusal = words.lock().unwrap().refusal;
    if let Some(code) = refusal.filter(|_| request.is::<remote::DomainBlockJobAbort>()) {
        return peer.refuse(request, code).await;
    }
    if request.is::<remote::DomainGetBlockJobInfo>() {
        let info = words.lock().unwrap().info.clone();
        let said = peer.reply_to::<remote::DomainGetBlockJobInfo>(request.route, &info);
        return said.await.unwrap();
    }
    if request.is::<remote::DomainGetXmlDesc>() {
        let args = request.args::<remote::DomainGetXmlDesc>().unwrap();
        let xml = {
            let words = words.lock().unwrap();
            match args.flags & DomainXmlFlags::INACTIVE.bits() {
                0 => words.live.clone(),
                _ => words.definition.clone(),
            }
        };
        let ret = remote::DomainGetXmlDescRet {
            xml: Str::from(&xml),
        };
        let said = peer.reply_to::<remote::DomainGetXmlDesc>(request.route, &ret);
        return said.await.unwrap();
    }
    if request.is::<remote::DomainBlockCommit>() || request.is::<remote::DomainBlockCopy>() {
        // These, too, return nothing.
        let said = peer.reply_to::<remote::DomainBlockJobAbort>(request.route, &());
        return said.await.unwrap();
    }
    peer.respond(request).await;
}
