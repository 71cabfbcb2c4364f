//! A daemon in front of the world: it takes calls and answers them in its own time.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, DomainBlockJobAbortFlags, DomainEventId,
    DomainEventStartedDetailType, DomainEventStoppedDetailType, DomainState, DomainXmlFlags,
    ErrorCode, ErrorDomain,
};
use virtwire::xdr::{Encode as _, Str, Writer};
use virtwire::{Procedure, RemoteError, remote};
use virtwire_protocol::event::{DomainEventKind, Lifecycle};
use virtwire_protocol::generated::dispatch;
use virtwire_protocol::header::{MessageType, Status};
use virtwire_protocol::procedure::Visitor;
use virtwire_protocol::session::Request;
use virtwire_sim::script::{Heard, Peer, Pipe, ScriptError};

use crate::chance::millis;
use crate::link::{Link, News, Say, Severed, domain};
use crate::world::{Phase, Refused, Shared, World};

/// Connects a client, if the daemon is there.
pub(crate) async fn connect(shared: Shared) -> io::Result<Pipe> {
    if shared.lock().is_unreachable() {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let (client, peer) = Peer::pair();
    let (out, say) = mpsc::unbounded_channel();
    let (number, severed, pump) = {
        let mut world = shared.lock();
        world.connections += 1;
        let number = world.connections;
        let (link, severed, pump) = Link::new(number, out.clone());
        world.note(format!("* connection {number}"));
        world.links.push(link);
        (number, severed, pump)
    };
    tokio::spawn(pump);
    tokio::spawn(
        Serve {
            shared,
            number,
            out,
            severed,
        }
        .run(peer, say),
    );
    Ok(client)
}

struct Serve {
    shared: Shared,
    number: usize,
    out: mpsc::UnboundedSender<Say>,
    severed: watch::Receiver<Option<Severed>>,
}

impl Serve {
    async fn run(self, mut peer: Peer, mut say: mpsc::UnboundedReceiver<Say>) {
        let mut severed = self.severed.clone();
        let cut = tokio::select! {
            biased;
            cut = severed.wait_for(Option::is_some) => cut.ok().and_then(|cut| *cut),
            talked = self.talk(&mut peer, &mut say) => {
                if let Err(error) = talked {
                    self.shared.complain(format!("the client said something strange: {error}"));
                }
                None
            }
        };
        self.shared
            .lock()
            .links
            .retain(|link| link.number != self.number);
        if let Some(cut) = cut {
            if cut.reset {
                peer.reset();
            } else {
                peer.close().await;
            }
        }
    }

    async fn talk(
        &self,
        peer: &mut Peer,
        say: &mut mpsc::UnboundedReceiver<Say>,
    ) -> Result<(), ScriptError> {
        let slowness = self.shared.lock().chance.latency();
        sleep(slowness).await;
        match peer.shake_hands().await {
            Err(ScriptError::HungUp { .. }) => return Ok(()),
            shaken => shaken?,
        }
        loop {
            tokio::select! {
                biased;
                Some(say) = say.recv() => self.say(peer, say).await?,
                heard = peer.next() => match heard? {
                    Some(Heard::Call(request)) => self.take(request),
                    Some(_) => self.shared.complain("the client spoke of streams"),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn say(&self, peer: &mut Peer, say: Say) -> Result<(), ScriptError> {
        match say {
            Say::Packet(header, body) => peer.send(&header, &body).await,
            Say::Error(route, error) => peer.error(route, &error).await,
            Say::Event(header, body, text, news) => {
                peer.send(&header, &body).await?;
                let mut world = self.shared.lock();
                if !text.contains("Resumed") {
                    world.note(format!("  <- event on {}: {text}", self.number));
                }
                if news == Some(News::Ended) {
                    world.truth.told.get_or_insert_with(Instant::now);
                }
                Ok(())
            }
        }
    }

    /// Answers a call, later.
    fn take(&self, request: Request) {
        let (before, after) = {
            let mut world = self.shared.lock();
            world.check(&request);
            (world.chance.latency(), world.chance.latency())
        };
        let (shared, out, number) = (self.shared.clone(), self.out.clone(), self.number);
        let severed = self.severed.clone();
        let answer = async move {
            sleep(before).await;
            let unheard = matches!(*severed.borrow(), Some(cut) if !cut.heard);
            if unheard {
                return;
            }
            loop {
                let frozen = shared
                    .lock()
                    .frozen_until()
                    .filter(|_| asks_guest(&request));
                match frozen {
                    Some(until) => sleep_until(until).await,
                    None => break,
                }
            }
            let said = answered(&shared, number, &request);
            sleep(after).await;
            let _ = out.send(said);
        };
        tokio::spawn(answer);
    }
}

fn asks_guest(request: &Request) -> bool {
    request.is::<remote::DomainGetBlockJobInfo>()
        || request.is::<remote::DomainBlockJobAbort>()
        || request.is::<remote::DomainBlockJobSetSpeed>()
        || is_start(request)
}

fn is_start(request: &Request) -> bool {
    request.is::<remote::DomainBlockPull>()
        || request.is::<remote::DomainBlockRebase>()
        || request.is::<remote::DomainBlockCommit>()
        || request.is::<remote::DomainBlockCopy>()
}

fn answered(shared: &Shared, number: usize, request: &Request) -> Say {
    let name = name_of(request);
    match answer(shared, number, request) {
        Ok((body, text)) => {
            shared.note(format!("  {name} on {number} -> {text}"));
            let header = request.route.header(MessageType::Reply, Status::Ok);
            Say::Packet(header, body)
        }
        Err((code, text)) => {
            shared.note(format!(
                "  {name} on {number} -> refused, {}: {text}",
                code.0
            ));
            let error = RemoteError::new(code, ErrorDomain::QEMU, text);
            Say::Error(request.route, error)
        }
    }
}

/// The name of what is asked.
fn name_of(request: &Request) -> &'static str {
    struct Name;
    impl Visitor for Name {
        type Output = &'static str;
        fn procedure<P: Procedure>(self) -> &'static str {
            P::NAME
        }
        fn event<E: virtwire_protocol::Event>(self) -> &'static str {
            E::NAME
        }
    }
    let route = request.route;
    dispatch::visit(route.program, route.procedure, Name).unwrap_or("unknown")
}

type Answer = Result<(Bytes, String), Refused>;

fn body<P: Procedure>(ret: &P::Ret<'_>, text: impl Into<String>) -> Answer {
    let mut bytes = BytesMut::new();
    ret.encode(&mut Writer::new(&mut bytes)).unwrap();
    Ok((bytes.freeze(), text.into()))
}

fn done() -> Answer {
    body::<remote::ConnectClose>(&(), "done")
}

fn answer(shared: &Shared, number: usize, request: &Request) -> Answer {
    if is_start(request) {
        return start(shared);
    }
    if request.is::<remote::DomainBlockJobAbort>() {
        let args = request.args::<remote::DomainBlockJobAbort>().unwrap();
        let pivot = args.flags & DomainBlockJobAbortFlags::PIVOT.bits() != 0;
        shared.note(format!("  asked to end it, pivot: {pivot}"));
        shared.request_end(pivot, true)?;
        return done();
    }
    let mut world = shared.lock();
    if request.is::<remote::ConnectDomainEventCallbackRegisterAny>() {
        return world.register(number, request);
    }
    if request.is::<remote::ConnectDomainEventCallbackDeregisterAny>() {
        type Deregister = remote::ConnectDomainEventCallbackDeregisterAny;
        let args = request.args::<Deregister>().unwrap();
        if let Some(link) = world.links.iter_mut().find(|link| link.number == number) {
            link.deregister(args.callback_id);
        }
        return done();
    }
    world.answer(request)
}

fn start(shared: &Shared) -> Answer {
    let work = {
        let mut world = shared.lock();
        world.tell_old_news();
        world.story.work
    };
    shared.start_job(true, work)?;
    done()
}

impl World {
    /// Notes what no client may ask.
    fn check(&mut self, request: &Request) {
        if !request.is::<remote::DomainBlockJobAbort>() {
            return;
        }
        let args = request.args::<remote::DomainBlockJobAbort>().unwrap();
        let flags = DomainBlockJobAbortFlags::from_bits_retain(args.flags);
        let pivot = flags.contains(DomainBlockJobAbortFlags::PIVOT);
        if !flags.contains(DomainBlockJobAbortFlags::ASYNC) {
            self.complaints
                .push("a request that holds the domain".to_owned());
        }
        if pivot && self.truth.ready.is_none() && self.truth.stranger.is_none() {
            self.complaints
                .push("a pivot of a job that was never ready".to_owned());
        }
        let told = self.truth.told.is_some_and(|told| told < Instant::now());
        // A handle that has just found the job may not have heard, nor one that is just made.
        let news = self
            .truth
            .handled
            .is_some_and(|handled| self.truth.told > Some(handled));
        if told && news && self.story.is_simple() && self.truth.stranger.is_none() {
            let what = if pivot { "pivot" } else { "cancellation" };
            self.complaints
                .push(format!("a {what} of a job whose end was told"));
        }
        if pivot {
            self.truth.pivots_heard += 1;
        }
        self.truth.aborts_heard += 1;
        self.note(format!("  -> abort read, pivot: {pivot}"));
    }

    /// What is told late of what was before the job: with the answer to its start, at the latest.
    fn tell_old_news(&mut self) {
        if self.story.strange_news.is_some() || self.story.storm.is_some() {
            // It would come behind these, and too late.
            return;
        }
        let delay = std::mem::take(&mut self.story.event_delay);
        if self.story.stale_stop && self.id.is_some() {
            let stop = Lifecycle::Stopped(DomainEventStoppedDetailType::SHUTDOWN);
            let start = Lifecycle::Started(DomainEventStartedDetailType::BOOTED);
            self.emit(&DomainEventKind::Lifecycle(stop), None);
            self.emit(&DomainEventKind::Lifecycle(start), None);
        }
        if self.story.earlier {
            let kind = self.story.work.kind();
            self.tell(
                kind,
                ConnectDomainEventBlockJobStatus::CANCELED,
                self.live[0],
                None,
            );
        }
        self.story.event_delay = delay;
    }

    fn register(&mut self, number: usize, request: &Request) -> Answer {
        type Register = remote::ConnectDomainEventCallbackRegisterAny;
        let args = request.args::<Register>().unwrap();
        let second = args.event_id == DomainEventId::BLOCK_JOB_2.0;
        if self.story.lacks_second && second {
            return Err((ErrorCode::INTERNAL_ERROR, "unsupported event ID"));
        }
        let for_guest = args.dom.as_ref().is_some_and(|dom| dom.uuid == [7; 16]);
        let link = self.links.iter_mut().find(|link| link.number == number);
        let callback_id = link.map_or(0, |link| link.register(args.event_id, for_guest));
        let ret = remote::ConnectDomainEventCallbackRegisterAnyRet { callback_id };
        body::<Register>(&ret, format!("event {}", args.event_id))
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if request.is::<remote::ConnectSupportsFeature>() {
            let ret = remote::ConnectSupportsFeatureRet { supported: 1 };
            return body::<remote::ConnectSupportsFeature>(&ret, "yes");
        }
        if request.is::<remote::ConnectClose>() {
            return done();
        }
        if self.id.is_none() && self.definition.is_none() {
            return Err((ErrorCode::NO_DOMAIN, "no domain with matching uuid"));
        }
        if request.is::<remote::DomainLookupByName>() {
            let dom = domain(self.id.unwrap_or(-1));
            let ret = remote::DomainLookupByNameRet { dom };
            return body::<remote::DomainLookupByName>(&ret, "guest");
        }
        if request.is::<remote::DomainGetState>() {
            let state = match self.id {
                Some(_) => DomainState::RUNNING.0,
                None => DomainState::SHUTOFF.0,
            };
            let ret = remote::DomainGetStateRet { state, reason: 1 };
            return body::<remote::DomainGetState>(&ret, format!("{state}"));
        }
        if request.is::<remote::DomainIsPersistent>() {
            let persistent = i32::from(self.definition.is_some());
            let ret = remote::DomainIsPersistentRet { persistent };
            return body::<remote::DomainIsPersistent>(&ret, format!("{persistent}"));
        }
        if request.is::<remote::DomainGetXmlDesc>() {
            let args = request.args::<remote::DomainGetXmlDesc>().unwrap();
            let inactive = args.flags & DomainXmlFlags::INACTIVE.bits() != 0;
            let xml = if inactive {
                self.inactive_xml()
            } else {
                self.live_xml()
            };
            let xml = xml.unwrap();
            let ret = remote::DomainGetXmlDescRet {
                xml: Str::from(&xml),
            };
            let said = format!("{:?}, inactive: {inactive}, {}", self.live, mirror_of(&xml));
            return body::<remote::DomainGetXmlDesc>(&ret, said);
        }
        if request.is::<remote::DomainGetBlockJobInfo>() {
            let info = self.info()?;
            return body::<remote::DomainGetBlockJobInfo>(&info, format!("{info:?}"));
        }
        if request.is::<remote::DomainBlockJobSetSpeed>() {
            return match self.job {
                _ if self.id.is_none() => Err((ErrorCode::OPERATION_INVALID, "not running")),
                Some(_) => done(),
                None => Err((ErrorCode::INVALID_ARG, "no active block job")),
            };
        }
        Err((ErrorCode::NO_SUPPORT, "the model does not know it"))
    }

    fn info(&mut self) -> Result<remote::DomainGetBlockJobInfoRet, Refused> {
        if self.id.is_none() {
            return Err((ErrorCode::OPERATION_INVALID, "domain is not running"));
        }
        if self.is_unplugged {
            return Err((ErrorCode::INVALID_ARG, "disk not found in domain"));
        }
        let none = remote::DomainGetBlockJobInfoRet::default();
        let Some(job) = &self.job else {
            return Ok(none);
        };
        if job.over.is_some() && self.story.gone_early {
            return Ok(none);
        }
        let whole = 1_u64 << 30;
        let (cur, end) = match (job.over, job.phase) {
            (Some(_), _) => (0, 1),
            (_, Phase::Ready | Phase::Ending { .. }) => (whole, whole),
            (_, Phase::Running) if job.began == Instant::now() => self.story.begins_with,
            (_, Phase::Running) => {
                let part = millis(job.began.elapsed());
                let all = millis(self.story.works_for).max(1);
                let done = whole / all.max(part) * part;
                // The last part takes as long as it takes.
                let equal = part * 4 >= all * 3 && !self.story.fudges;
                (if equal { whole } else { done.min(whole - 1) }, whole)
            }
        };
        Ok(remote::DomainGetBlockJobInfoRet {
            found: 1,
            type_: job.work.kind().0,
            bandwidth: 0,
            cur,
            end,
        })
    }
}

fn mirror_of(xml: &str) -> String {
    let found = xml.split("<mirror").nth(1);
    found.map_or_else(String::new, |rest| {
        format!("mirror{}", rest.split('>').next().unwrap_or_default())
    })
}
