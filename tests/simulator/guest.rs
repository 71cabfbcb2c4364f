//! A simulated guest with a chain of images, and a client that hears everything in its order.

use std::time::Duration;

use bytes::Bytes;
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus as Status, DomainBlockCommitFlags, DomainBlockJobAbortFlags,
    DomainBlockJobInfoFlags, DomainBlockJobType, DomainEventId,
};
use virtwire::remote::{self, NonnullDomain};
use virtwire_protocol::header::MessageType;
use virtwire_protocol::session::Route;
use virtwire_protocol::{Event, Procedure, RemoteError};
use virtwire_sim::{Builder, Image, SimulatedDisk, SimulatedDomain, Simulator};
use virtwire_xdr::{Decode, IntoOwned, Reader, Str};

use crate::raw::Raw;

pub(crate) const MIB: u64 = 1 << 20;

/// What the guest sees of its disk, and what two of its three images hold.
pub(crate) const SIZE: u64 = 1024 * MIB;
pub(crate) const MID: u64 = 256 * MIB;
pub(crate) const TOP: u64 = 64 * MIB;

/// What the simulated hypervisor takes to begin with a job and to end it.
pub(crate) const LATENCY: Duration = Duration::from_millis(5);

/// A second, and a moment that is longer than every latency and shorter than every job.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A running guest, and a client that hears everything in its order.
pub(crate) struct Guest {
    pub(crate) simulator: Simulator,
    pub(crate) dom: NonnullDomain<'static>,
    raw: Raw,
    /// What was heard and not looked at yet, events and answers.
    heard: Vec<String>,
    answers: Vec<(Route, Result<Bytes, RemoteError>)>,
}

/// The images of a guest: `/vda-top` on `/vda-mid` on `/vda-base`, and the same for `vdb`.
pub(crate) fn images(builder: Builder) -> Builder {
    ["vda", "vdb"].iter().fold(builder, |builder, disk| {
        let [base, mid, top] = ["base", "mid", "top"].map(|part| format!("/{disk}-{part}"));
        builder
            .image(&base, Image::qcow2(SIZE).with_data(512 * MIB))
            .image(&mid, Image::qcow2(SIZE).with_data(MID).on(&base))
            .image(&top, Image::qcow2(SIZE).with_data(TOP).on(&mid))
    })
}

/// The XML of a guest with both disks.
pub(crate) fn xml() -> String {
    let disks: String = ["vda", "vdb"]
        .iter()
        .map(|disk| {
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='/{disk}-top'/><target dev='{disk}' bus='virtio'/></disk>"
            )
        })
        .collect();
    format!(
        "<domain type='kvm'><name>guest</name><memory>32768</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices>{disks}</devices></domain>"
    )
}

impl Guest {
    /// A transient one.
    pub(crate) async fn new() -> Self {
        Self::on(images(Simulator::builder()).start(), &xml()).await
    }

    /// One that is defined as well.
    pub(crate) async fn defined() -> Self {
        let mut guest = Self::new().await;
        let args = remote::DomainDefineXmlFlagsArgs {
            xml: Str::from(xml().replace("<memory>", &format!("{}<memory>", guest.uuid()))),
            flags: 0,
        };
        guest.ok::<remote::DomainDefineXmlFlags>(args).await;
        guest.heard.clear();
        guest
    }

    /// One of this XML.
    pub(crate) async fn on(simulator: Simulator, xml: &str) -> Self {
        let raw = Raw::open(&simulator, "qemu:///system").await;
        let mut guest = Self {
            simulator,
            dom: NonnullDomain::default(),
            raw,
            heard: Vec::new(),
            answers: Vec::new(),
        };
        let args = remote::DomainCreateXmlArgs {
            xml_desc: Str::from(xml.to_owned()),
            flags: 0,
        };
        guest.dom = guest.ok::<remote::DomainCreateXml>(args).await.dom;
        guest.listen().await;
        guest
    }

    /// Asks for all events that a block job or what is done to the domain can cause.
    async fn listen(&mut self) {
        for event in [
            DomainEventId::LIFECYCLE,
            DomainEventId::BLOCK_JOB,
            DomainEventId::BLOCK_JOB_2,
            DomainEventId::JOB_COMPLETED,
            DomainEventId::BLOCK_THRESHOLD,
        ] {
            let args = remote::ConnectDomainEventCallbackRegisterAnyArgs {
                event_id: event.0,
                dom: None,
            };
            self.ok::<remote::ConnectDomainEventCallbackRegisterAny>(args)
                .await;
        }
    }

    fn uuid(&self) -> String {
        let hex: String = self
            .dom
            .uuid
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("<uuid>{hex}</uuid>")
    }

    /// The guest seen from inside.
    pub(crate) fn domain(&self) -> SimulatedDomain {
        self.simulator.domain("guest").unwrap()
    }

    /// Its first disk seen from inside.
    pub(crate) fn disk(&self) -> SimulatedDisk {
        self.domain().disk("vda")
    }

    /// Another connection, as after a restart of the daemon; what was heard stays.
    pub(crate) async fn reconnect(&mut self) {
        self.raw = Raw::open(&self.simulator, "qemu:///system").await;
        self.listen().await;
    }
}

/// Calling.
impl Guest {
    /// Calls and waits for the answer.
    pub(crate) async fn call<P: Procedure>(
        &mut self,
        args: P::Args<'static>,
    ) -> Result<P::Ret<'static>, RemoteError> {
        let route = self.raw.start::<P>(&args).await;
        self.answer::<P>(route).await
    }

    /// Calls and waits for the answer, which must be a good one.
    pub(crate) async fn ok<P: Procedure>(&mut self, args: P::Args<'static>) -> P::Ret<'static> {
        let answer = self.call::<P>(args).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", P::NAME))
    }

    /// Calls and does not wait.
    pub(crate) async fn start<P: Procedure>(&mut self, args: P::Args<'static>) -> Route {
        self.raw.start::<P>(&args).await
    }

    /// Waits for the answer to a call.
    pub(crate) async fn answer<P: Procedure>(
        &mut self,
        route: Route,
    ) -> Result<P::Ret<'static>, RemoteError> {
        loop {
            let place = self.answers.iter().position(|(one, _)| *one == route);
            if let Some(place) = place {
                let payload = self.answers.remove(place).1?;
                let ret = P::Ret::decode(&mut Reader::new(&payload)).unwrap();
                return Ok(ret.into_owned());
            }
            assert!(self.hear().await, "the connection is open");
        }
    }

    async fn hear(&mut self) -> bool {
        let Some(frame) = self.raw.next().await else {
            return false;
        };
        let header = frame.header;
        let route = Route::new(header.program, header.procedure, header.serial);
        if header.kind == MessageType::Message {
            self.heard.extend(tell(header.procedure, &frame.payload));
            return true;
        }
        self.heard.push(String::from("answer"));
        let failed = header.status == virtwire_protocol::header::Status::Error;
        let answer = if failed {
            Err(RemoteError::decode(&frame.payload).unwrap())
        } else {
            Ok(frame.payload)
        };
        self.answers.push((route, answer));
        true
    }

    /// Hears for so long.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let hearing = async { while self.hear().await {} };
        let _ = tokio::time::timeout(time, hearing).await;
    }

    /// What was heard since the last time, answers left out.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let mut heard = std::mem::take(&mut self.heard);
        heard.retain(|line| line != "answer");
        heard
    }

    /// What was heard since the last time, in its order; `answer` stands for every answer.
    pub(crate) fn everything(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }
}

/// What an event says.
fn tell(number: i32, payload: &Bytes) -> Option<String> {
    fn read<E: Event>(payload: &Bytes) -> E::Msg<'static> {
        E::Msg::decode(&mut Reader::new(payload))
            .unwrap()
            .into_owned()
    }
    if number == remote::DomainEventCallbackBlockJob::NUMBER {
        let msg = read::<remote::DomainEventCallbackBlockJob>(payload).msg;
        return Some(line(&msg.path, msg.type_, msg.status));
    }
    if number == remote::DomainEventBlockJob2::NUMBER {
        let msg = read::<remote::DomainEventBlockJob2>(payload);
        return Some(line(&msg.dst, msg.type_, msg.status));
    }
    if number == remote::DomainEventCallbackLifecycle::NUMBER {
        let msg = read::<remote::DomainEventCallbackLifecycle>(payload).msg;
        return Some(format!("lifecycle {} {}", msg.event, msg.detail));
    }
    if number == remote::DomainEventCallbackJobCompleted::NUMBER {
        let msg = read::<remote::DomainEventCallbackJobCompleted>(payload);
        let params = msg
            .params
            .iter()
            .filter(|param| param.field != *"time_elapsed");
        let params =
            params.map(|param| format!("{}={:?}", param.field.to_string_lossy(), param.value));
        return Some(format!("job {}", params.collect::<Vec<_>>().join(" ")));
    }
    if number == remote::DomainEventBlockThreshold::NUMBER {
        let msg = read::<remote::DomainEventBlockThreshold>(payload);
        let path = msg.path.map(|path| path.to_string_lossy().into_owned());
        let dev = msg.dev.to_string_lossy();
        return Some(format!("threshold {dev} {} {path:?}", msg.threshold));
    }
    None
}

fn line(disk: &Str<'_>, kind: i32, status: i32) -> String {
    let kind = DomainBlockJobType(kind).name().unwrap();
    let status = Status(status).name().unwrap();
    format!("{} {kind} {status}", disk.to_string_lossy())
}

/// The calls about block jobs, on `vda` unless it says otherwise.
impl Guest {
    pub(crate) fn pull_args(&self, bandwidth: u64) -> remote::DomainBlockPullArgs<'static> {
        remote::DomainBlockPullArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            bandwidth,
            flags: 0,
        }
    }

    /// Starts a pull, limited to so many MiB a second.
    pub(crate) async fn pull(&mut self, bandwidth: u64) -> Result<(), RemoteError> {
        let args = self.pull_args(bandwidth);
        self.call::<remote::DomainBlockPull>(args).await
    }

    pub(crate) fn commit_args(
        &self,
        flags: DomainBlockCommitFlags,
        bandwidth: u64,
    ) -> remote::DomainBlockCommitArgs<'static> {
        remote::DomainBlockCommitArgs {
            dom: self.dom.clone(),
            disk: Str::from("vda"),
            base: None,
            top: None,
            bandwidth,
            flags: flags.bits(),
        }
    }

    /// Starts an active commit, limited to so many MiB a second.
    pub(crate) async fn active_commit(&mut self, bandwidth: u64) -> Result<(), RemoteError> {
        let args = self.commit_args(DomainBlockCommitFlags::ACTIVE, bandwidth);
        self.call::<remote::DomainBlockCommit>(args).await
    }

    pub(crate) fn copy_args(&self, to: &str, flags: u32) -> remote::DomainBlockCopyArgs<'static> {
        let xml = format!("<disk type='file'><driver type='qcow2'/><source file='{to}'/></disk>");
        remote::DomainBlockCopyArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            destxml: Str::from(xml),
            params: Vec::new(),
            flags,
        }
    }

    /// Starts a copy to `/copy`.
    pub(crate) async fn copy(&mut self, flags: u32) -> Result<(), RemoteError> {
        let args = self.copy_args("/copy", flags);
        self.call::<remote::DomainBlockCopy>(args).await
    }

    pub(crate) fn abort_args(
        &self,
        flags: DomainBlockJobAbortFlags,
    ) -> remote::DomainBlockJobAbortArgs<'static> {
        remote::DomainBlockJobAbortArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            flags: flags.bits(),
        }
    }

    /// Ends the job.
    pub(crate) async fn abort(
        &mut self,
        flags: DomainBlockJobAbortFlags,
    ) -> Result<(), RemoteError> {
        let args = self.abort_args(flags);
        self.call::<remote::DomainBlockJobAbort>(args).await
    }

    pub(crate) fn info_args(&self) -> remote::DomainGetBlockJobInfoArgs<'static> {
        remote::DomainGetBlockJobInfoArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            flags: DomainBlockJobInfoFlags::BANDWIDTH_BYTES.bits(),
        }
    }

    /// What the job says of itself.
    pub(crate) async fn info(&mut self) -> remote::DomainGetBlockJobInfoRet {
        let args = self.info_args();
        self.ok::<remote::DomainGetBlockJobInfo>(args).await
    }

    /// How far the job is.
    pub(crate) async fn figures(&mut self) -> (u64, u64) {
        let info = self.info().await;
        assert_eq!(info.found, 1);
        (info.cur, info.end)
    }

    pub(crate) async fn set_speed(&mut self, bandwidth: u64) -> Result<(), RemoteError> {
        let args = remote::DomainBlockJobSetSpeedArgs {
            dom: self.dom.clone(),
            path: Str::from("vda"),
            bandwidth,
            flags: 0,
        };
        self.call::<remote::DomainBlockJobSetSpeed>(args).await
    }

    /// The XML of the domain, live or inactive.
    pub(crate) async fn xml(&mut self, flags: u32) -> String {
        let args = remote::DomainGetXmlDescArgs {
            dom: self.dom.clone(),
            flags,
        };
        let ret = self.ok::<remote::DomainGetXmlDesc>(args).await;
        ret.xml.to_string_lossy().into_owned()
    }

    /// The images of `vda`, from the top to the bottom, as the XML names them.
    pub(crate) async fn chain(&mut self, flags: u32) -> Vec<String> {
        let xml = self.xml(flags).await;
        let disk = xml.split("<disk ").nth(1).unwrap();
        let disk = disk.split("<target").next().unwrap();
        // What a mirror is made of does not belong to the chain.
        let disk = disk.split("<mirror").next().unwrap();
        let sources = disk.split("<source file='").skip(1);
        sources
            .map(|source| source.split('\'').next().unwrap().to_owned())
            .collect()
    }

    /// `<mirror …>`, if there is one.
    pub(crate) async fn mirror(&mut self) -> Option<String> {
        let xml = self.xml(0).await;
        let at = xml.find("<mirror")?;
        let end = xml[at..].find('>')? + at;
        Some(xml[at..=end].to_owned())
    }

    /// Destroys it.
    pub(crate) async fn destroy(&mut self) {
        let args = remote::DomainDestroyFlagsArgs {
            dom: self.dom.clone(),
            flags: 0,
        };
        self.ok::<remote::DomainDestroyFlags>(args).await;
    }
}
