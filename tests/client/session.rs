//! A whole session, with a fault at every byte and every packet of it, in both directions.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use virtwire::constants::{
    ConnectDomainEventBlockJobStatus, ConnectListAllDomainsFlags, DomainBlockJobType, DomainEventId,
};
use virtwire::{CloseCause, Error, ErrorKind, Outcome, remote};
use virtwire_sim::fault::{At, Fault, Faulty, Plan, Record, Recorder, Trace};
use virtwire_tests::peer::{Guest as _, Peer, Pipe, builder, callback_id, domain};
use virtwire_tests::{paused_deadline, task};

use crate::{ask, start_pull};

/// No session takes longer: a minute is waited for the end of the job, and three silences of the
/// daemon each cost no more than the deadline of a call.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the client makes of the session.
#[derive(Debug, PartialEq)]
struct Transcript {
    domains: usize,
    answers: [i32; 3],
    outcome: Option<Outcome>,
    /// Whether the connection ended because the client closed it.
    closed_in_order: bool,
}

fn whole() -> Transcript {
    Transcript {
        domains: 3,
        answers: [1, 2, 3],
        outcome: Some(Outcome::Completed),
        closed_in_order: true,
    }
}

/// Opens, lists, asks, asks twice at once, follows a job to its end, closes. Afterwards nothing of
/// it is left.
async fn session(plan: Plan) -> (Result<Transcript, Error>, Record) {
    let (client, peer) = Peer::pair();
    let recorder = Recorder::default();
    let started = Instant::now();
    tokio::spawn(serve(peer));
    let transcript = talk(Faulty::new(client, plan).recorded_by(&recorder)).await;
    assert!(started.elapsed() < PATIENCE);
    task::none_left().await;
    let record = recorder.record().expect("the byte stream was dropped");
    (transcript, record.clone())
}

async fn talk(io: Faulty<Pipe>) -> Result<Transcript, Error> {
    let builder = builder()
        .keepalive(Duration::from_secs(5), 2)
        .call_deadline(Duration::from_secs(20));
    let (connection, driver) = builder.connect_with_io(io).await?;
    tokio::spawn(driver);
    let every = ConnectListAllDomainsFlags::empty();
    let domains = connection.list_domains(every).await?.len();
    let first = ask(&connection, 1).await?;
    let (second, third) = tokio::join!(ask(&connection, 2), ask(&connection, 3));
    let answers = [first, second?, third?];
    let job = start_pull(&connection).await?;
    let outcome = timeout(Duration::from_secs(60), job.wait()).await.ok();
    connection.clone().close().await;
    let cause: Arc<CloseCause> = connection.closed().await;
    let closed_in_order = matches!(*cause, CloseCause::Requested);
    Ok(Transcript {
        domains,
        answers,
        outcome,
        closed_in_order,
    })
}

/// The daemon's part: the job is over as soon as it has begun. A client that breaks the protocol is
/// hung up on.
async fn serve(mut peer: Peer) {
    let mut over = false;
    while let Ok(Some(request)) = peer.request().await {
        if over && request.is::<remote::DomainGetBlockJobInfo>() {
            let none = remote::DomainGetBlockJobInfoRet::default();
            peer.reply_to::<remote::DomainGetBlockJobInfo>(request.route, &none)
                .await
                .unwrap();
            continue;
        }
        peer.respond(&request).await;
        if request.is::<remote::DomainBlockPull>() {
            over = true;
            peer.event::<remote::DomainEventBlockJob2>(&completed())
                .await
                .unwrap();
        }
    }
}

fn completed() -> remote::DomainEventBlockJob2Msg<'static> {
    remote::DomainEventBlockJob2Msg {
        callback_id: callback_id(DomainEventId::BLOCK_JOB_2.0),
        dom: domain(),
        dst: "vda".into(),
        type_: DomainBlockJobType::PULL.0,
        status: ConnectDomainEventBlockJobStatus::COMPLETED.0,
    }
}

/// A direction of the session: what has a fault added to it, and which trace it leaves.
#[derive(Clone, Copy)]
struct Direction {
    plan: fn(Plan, Fault) -> Plan,
    trace: fn(Record) -> Trace,
}

const TO_CLIENT: Direction = Direction {
    plan: Plan::to_client,
    trace: |record| record.to_client,
};

const TO_DAEMON: Direction = Direction {
    plan: Plan::to_daemon,
    trace: |record| record.to_daemon,
};

impl Direction {
    /// What passes in a session without a fault.
    async fn recorded(self) -> Trace {
        let (transcript, record) = session(Plan::default()).await;
        assert_eq!(transcript.unwrap(), whole());
        (self.trace)(record)
    }

    async fn with(self, fault: Fault) -> Result<Transcript, Error> {
        session((self.plan)(Plan::default(), fault)).await.0
    }

    /// Each of these faults leaves the session as it is.
    async fn unharmed_by(self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            let transcript = self.with(fault).await;
            assert_eq!(transcript.unwrap(), whole(), "{fault:?}");
        }
    }

    /// Each of these faults ends the session, or what is under way in it, by a typed cause; none
    /// goes unnoticed.
    async fn stopped_by(self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            match self.with(fault).await {
                Ok(transcript) => assert_ne!(transcript, whole(), "{fault:?}"),
                Err(error) => assert!(error.is_closed() || error.is_timeout(), "{error:?}"),
            }
        }
    }

    /// Each of these faults has some end. What it is depends on the byte.
    async fn survived_by(self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            if let Err(error) = self.with(fault).await {
                let kind = error.kind();
                let known = [
                    ErrorKind::Auth,
                    ErrorKind::Closed,
                    ErrorKind::Protocol,
                    ErrorKind::Remote,
                    ErrorKind::Timeout,
                    ErrorKind::Unsupported,
                ];
                assert!(known.contains(&kind), "{fault:?}: {error:?}");
            }
        }
    }

    async fn every_byte(self, fault: impl Fn(At) -> Fault) -> Vec<Fault> {
        let bytes = 0..self.recorded().await.bytes;
        bytes.map(|byte| fault(At::Byte(byte))).collect()
    }

    async fn every_packet(self, fault: impl Fn(u64) -> Fault) -> Vec<Fault> {
        let packets = self.recorded().await.packets;
        (0..)
            .zip(packets)
            .map(|(number, _)| fault(number))
            .collect()
    }
}

/// A test for either direction.
macro_rules! both_ways {
    ($($name:ident($way:ident) $test:block)*) => {
        mod to_client {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                let $way = TO_CLIENT;
                paused_deadline(async $test).await;
            })*
        }

        mod to_daemon {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                let $way = TO_DAEMON;
                paused_deadline(async $test).await;
            })*
        }
    };
}

both_ways! {
    bytes_that_come_one_by_one_make_the_same_session(way) {
        way.unharmed_by([Fault::OneByOne]).await;
    }
    split_at_any_byte_makes_the_same_session(way) {
        way.unharmed_by(way.every_byte(Fault::Split).await).await;
    }
    delay_at_any_byte_makes_the_same_session(way) {
        let delay = |at| Fault::Delay(at, Duration::from_secs(3));
        way.unharmed_by(way.every_byte(delay).await).await;
    }
    end_of_file_at_any_byte_ends_the_session(way) {
        way.stopped_by(way.every_byte(Fault::End).await).await;
    }
    reset_at_any_byte_ends_the_session(way) {
        way.stopped_by(way.every_byte(Fault::Reset).await).await;
    }
    half_close_at_any_byte_ends_the_session(way) {
        way.stopped_by(way.every_byte(Fault::HalfClose).await).await;
    }
    stall_at_any_byte_ends_the_session(way) {
        way.survived_by(way.every_byte(Fault::Stall).await).await;
    }
    wrong_bit_in_any_byte_neither_hangs_nor_panics(way) {
        for bit in [0, 7] {
            way.survived_by(way.every_byte(|at| Fault::Flip(at, bit)).await).await;
        }
    }
    any_lost_packet_has_a_typed_end(way) {
        way.survived_by(way.every_packet(Fault::Lose).await).await;
    }
    any_packet_twice_has_a_typed_end(way) {
        way.survived_by(way.every_packet(Fault::Duplicate).await).await;
    }
    any_packet_behind_the_next_has_a_typed_end(way) {
        let hold_back = |packet| Fault::HoldBack { packet, behind: 1 };
        way.survived_by(way.every_packet(hold_back).await).await;
    }
}
