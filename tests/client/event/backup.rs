//! How a backup ended, by what a daemon says of it and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtwire::constants::{
    DomainEventId, DomainEventType, DomainJobOperation, DomainJobType, ErrorCode,
};
use virtwire::remote::{TypedParam, TypedParamValue};
use virtwire::xdr::Str;
use virtwire::{BackupJob, BackupOutcome, Domain, PushBackup, VanishedReason, remote};
use virtwire_protocol::Event as _;
use virtwire_protocol::session::Request;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, Pipe, callback_id, connected, domain, event_header};

type Params = Vec<TypedParam<'static>>;

/// What a daemon has to say of one backup.
#[derive(Default)]
struct Story {
    /// The ends of backups that it tells of before it answers the start.
    early: Vec<Params>,
    /// Whether there is a backup then.
    there: bool,
    /// What it answers to each question for the job, and which ends it tells of before that. To all
    /// others it answers that there is none.
    questions: VecDeque<(Params, Vec<Params>)>,
    /// What it remembers of the last job.
    last: Option<(DomainJobType, Params)>,
    stopped: bool,
    /// Whether an event comes before the last answer that nobody can read.
    loses: bool,
    /// Whether it tells before the first answer that the domain has stopped.
    stops: bool,
    /// What it was asked to end.
    aborted: Arc<AtomicUsize>,
}

fn param(name: &'static str, value: TypedParamValue<'static>) -> TypedParam<'static> {
    TypedParam::new(name, value).unwrap()
}

/// A job of this kind that has taken so many milliseconds.
fn job(operation: DomainJobOperation, elapsed: u64) -> Params {
    vec![
        param("operation", TypedParamValue::Int(operation.0)),
        param("time_elapsed", TypedParamValue::Ullong(elapsed)),
    ]
}

fn backup(elapsed: u64) -> Params {
    job(DomainJobOperation::BACKUP, elapsed)
}

fn ended(elapsed: u64, success: bool) -> Params {
    let mut params = backup(elapsed);
    let success = TypedParamValue::Boolean(success.into());
    params.push(param("success", success));
    let said = TypedParamValue::String(Str::from("Operation canceled"));
    params.push(param("errmsg", said));
    params
}

impl Story {
    async fn answer(&mut self, peer: &mut Peer<Pipe>, request: &Request) {
        if request.is::<remote::DomainBackupBegin>() {
            tell(peer, &self.early).await;
            let done = peer.reply_to::<remote::DomainBackupBegin>(request.route, &());
            done.await.unwrap();
        } else if request.is::<remote::DomainBackupGetXmlDesc>() && self.there {
            let xml = Str::from("<domainbackup mode='push'/>");
            let ret = remote::DomainBackupGetXmlDescRet { xml };
            let said = peer.reply_to::<remote::DomainBackupGetXmlDesc>(request.route, &ret);
            said.await.unwrap();
        } else if request.is::<remote::DomainGetJobStats>() {
            let args = request.args::<remote::DomainGetJobStats>().unwrap();
            let (kind, params) = match args.flags {
                0 => self.next(peer).await,
                3 => self.last.clone().unwrap_or_default(),
                flags => panic!("what others may want to know is taken away by {flags}"),
            };
            let type_ = kind.0;
            let ret = remote::DomainGetJobStatsRet { type_, params };
            let said = peer.reply_to::<remote::DomainGetJobStats>(request.route, &ret);
            said.await.unwrap();
        } else if request.is::<remote::DomainIsActive>() && self.stopped {
            peer.refuse(request, ErrorCode::NO_DOMAIN).await;
        } else if request.is::<remote::DomainGetXmlDesc>() {
            let xml = Str::from(
                "<domain id='1'><devices><disk type='file'><source file='/top'/>\
                 <target dev='vda'/></disk></devices></domain>",
            );
            let ret = remote::DomainGetXmlDescRet { xml };
            let said = peer.reply_to::<remote::DomainGetXmlDesc>(request.route, &ret);
            said.await.unwrap();
        } else if request.is::<remote::DomainGetBlockJobInfo>() {
            let none = remote::DomainGetBlockJobInfoRet::default();
            let said = peer.reply_to::<remote::DomainGetBlockJobInfo>(request.route, &none);
            said.await.unwrap();
        } else if request.is::<remote::DomainAbortJob>() {
            self.aborted.fetch_add(1, Ordering::Relaxed);
            peer.refuse(request, ErrorCode::OPERATION_FAILED).await;
        } else {
            peer.respond(request).await;
        }
    }

    async fn next(&mut self, peer: &mut Peer<Pipe>) -> (DomainJobType, Params) {
        let Some((params, ends)) = self.questions.pop_front() else {
            return (DomainJobType::NONE, Vec::new());
        };
        if std::mem::take(&mut self.stops) {
            stop(peer).await;
        }
        if self.loses && self.questions.is_empty() {
            type Completed = remote::DomainEventCallbackJobCompleted;
            let header = event_header(Completed::PROGRAM, Completed::NUMBER);
            let callback = callback_id(DomainEventId::JOB_COMPLETED.0).to_be_bytes();
            peer.send(&header, &callback).await.unwrap();
        }
        tell(peer, &ends).await;
        (DomainJobType::UNBOUNDED, params)
    }

    /// How the client says that it ended.
    async fn outcome(self) -> BackupOutcome {
        self.started().await.wait().await
    }

    async fn started(self) -> BackupJob {
        let guest = self.guest().await;
        let started = guest.backup(PushBackup::new()).start().await;
        started.unwrap()
    }

    /// The guest, for a client of this daemon.
    async fn guest(mut self) -> Domain {
        let (connection, mut peer) = connected().await;
        let daemon = async move {
            while let Some(request) = peer.request().await.unwrap() {
                self.answer(&mut peer, &request).await;
            }
        };
        tokio::spawn(daemon);
        connection.lookup_domain_by_name("guest").await.unwrap()
    }
}

async fn stop(peer: &mut Peer<Pipe>) {
    let msg = remote::DomainEventLifecycleMsg {
        dom: domain(),
        event: DomainEventType::STOPPED.0,
        detail: 0,
    };
    let callback_id = callback_id(DomainEventId::LIFECYCLE.0);
    let message = remote::DomainEventCallbackLifecycleMsg { callback_id, msg };
    let told = peer.event::<remote::DomainEventCallbackLifecycle>(&message);
    told.await.unwrap();
}

async fn tell(peer: &mut Peer<Pipe>, ends: &[Params]) {
    for params in ends {
        let message = remote::DomainEventCallbackJobCompletedMsg {
            callback_id: callback_id(DomainEventId::JOB_COMPLETED.0),
            dom: domain(),
            params: params.clone(),
        };
        let told = peer.event::<remote::DomainEventCallbackJobCompleted>(&message);
        told.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn success_counts_and_the_words_do_not() {
    paused_deadline(async {
        let story = Story {
            questions: VecDeque::from([(backup(100), vec![ended(200, true)])]),
            ..Story::default()
        };
        assert_eq!(story.outcome().await, BackupOutcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_and_failed_are_told_apart_by_the_record() {
    paused_deadline(async {
        for (kind, stopped) in [
            (DomainJobType::CANCELLED, false),
            (DomainJobType::CANCELLED, true),
            (DomainJobType::FAILED, false),
        ] {
            let story = Story {
                questions: VecDeque::from([(backup(100), vec![ended(200, false)])]),
                last: Some((kind, ended(200, false))),
                stopped,
                ..Story::default()
            };
            match story.outcome().await {
                BackupOutcome::Cancelled => assert!(kind == DomainJobType::CANCELLED && !stopped),
                BackupOutcome::Failed(failure) => {
                    assert_eq!(failure.domain_stopped, stopped);
                    assert_eq!(failure.message.as_deref(), Some("Operation canceled"));
                    assert!(stopped || kind == DomainJobType::FAILED);
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn end_before_the_answer_is_that_of_a_backup_that_is_gone() {
    paused_deadline(async {
        let story = Story {
            early: vec![ended(900, false), ended(5, true)],
            ..Story::default()
        };
        assert_eq!(story.outcome().await, BackupOutcome::Completed);

        // Here it was that of an earlier one, and ours goes on.
        let story = Story {
            early: vec![ended(900, true)],
            there: true,
            questions: VecDeque::from([(backup(100), vec![ended(200, false)])]),
            last: Some((DomainJobType::CANCELLED, ended(200, false))),
            ..Story::default()
        };
        assert_eq!(story.outcome().await, BackupOutcome::Cancelled);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ends_of_other_jobs_are_none_of_ours() {
    paused_deadline(async {
        let mut dump = job(DomainJobOperation::DUMP, 100);
        dump.push(param("success", TypedParamValue::Boolean(1)));
        let story = Story {
            early: vec![dump.clone(), Vec::new()],
            questions: VecDeque::from([
                (backup(100), vec![dump]),
                (backup(200), vec![ended(300, false)]),
            ]),
            last: Some((DomainJobType::FAILED, ended(300, false))),
            ..Story::default()
        };
        let outcome = story.outcome().await;
        assert!(matches!(outcome, BackupOutcome::Failed(_)), "{outcome:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn record_stands_in_for_an_event_that_was_lost() {
    paused_deadline(async {
        for (success, outcome) in [
            (true, BackupOutcome::Completed),
            (false, BackupOutcome::Cancelled),
        ] {
            let kind = match success {
                true => DomainJobType::COMPLETED,
                false => DomainJobType::CANCELLED,
            };
            let story = Story {
                questions: VecDeque::from([(backup(1000), Vec::new())]),
                last: Some((kind, ended(1500, success))),
                ..Story::default()
            };
            assert_eq!(story.outcome().await, outcome);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_whose_end_nobody_knows_vanishes() {
    paused_deadline(async {
        let other = (DomainJobType::COMPLETED, ended(500, true));
        let longer = (DomainJobType::COMPLETED, ended(3_600_000, true));
        let dump = job(DomainJobOperation::DUMP, 1500);
        for last in [
            None,
            // A backup that took less time than ours had when it was last seen.
            Some(other),
            // One that had begun before ours.
            Some(longer),
            Some((DomainJobType::COMPLETED, dump)),
        ] {
            let is_backup = last
                .as_ref()
                .is_some_and(|(_, params)| params[0].value == TypedParamValue::Int(9));
            let story = Story {
                questions: VecDeque::from([(backup(1000), Vec::new())]),
                last,
                ..Story::default()
            };
            match story.outcome().await {
                BackupOutcome::Vanished(evidence) => {
                    assert_eq!(evidence.reason, VanishedReason::NoEvent);
                    assert!(evidence.last_stats.is_some() && evidence.domain.is_some());
                    assert_eq!(evidence.other.is_some(), is_backup);
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_in_the_place_of_ours_is_not_taken_for_it() {
    paused_deadline(async {
        let story = |loses, then, end| Story {
            questions: VecDeque::from([
                (backup(1000), Vec::new()),
                (backup(then), vec![ended(end, true)]),
            ]),
            loses,
            ..Story::default()
        };
        // Nothing was lost, so the daemon's clock was set.
        let outcome = story(false, 20, 30).outcome().await;
        assert_eq!(outcome, BackupOutcome::Completed);
        let outcome = story(true, 20, 30).outcome().await;
        assert!(matches!(outcome, BackupOutcome::Vanished(_)), "{outcome:?}");
        // What was lost was not the end.
        let outcome = story(true, 3000, 3010).outcome().await;
        assert_eq!(outcome, BackupOutcome::Completed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn end_without_a_word_about_success_is_what_the_record_says() {
    paused_deadline(async {
        let story = |last| Story {
            questions: VecDeque::from([(backup(100), vec![backup(200)])]),
            last,
            ..Story::default()
        };
        let completed = (DomainJobType::COMPLETED, backup(200));
        assert_eq!(
            story(Some(completed)).outcome().await,
            BackupOutcome::Completed
        );
        let outcome = story(None).outcome().await;
        assert!(matches!(outcome, BackupOutcome::Vanished(_)), "{outcome:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stop_is_that_of_an_earlier_run_while_there_is_a_backup() {
    paused_deadline(async {
        for there in [true, false] {
            let story = Story {
                there,
                stops: true,
                questions: VecDeque::from([
                    (backup(2000), Vec::new()),
                    (backup(4000), vec![ended(4010, true)]),
                ]),
                ..Story::default()
            };
            match story.outcome().await {
                BackupOutcome::Completed => assert!(there),
                BackupOutcome::Vanished(evidence) => {
                    let stopped = matches!(evidence.reason, VanishedReason::DomainStopped { .. });
                    assert!(!there && stopped);
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn job_in_the_place_of_a_backup_that_is_gone_is_not_ended() {
    paused_deadline(async {
        let story = Story::default();
        let aborted = Arc::clone(&story.aborted);
        let job = story.started().await;
        // The daemon has said that it is gone; its event may still come.
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(job.outcome(), None);
        let outcome = job.cancel().await.unwrap();
        assert!(matches!(outcome, BackupOutcome::Vanished(_)), "{outcome:?}");
        assert_eq!(aborted.load(Ordering::Relaxed), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn backup_that_was_found_and_has_no_disk_at_work_vanishes() {
    paused_deadline(async {
        let questions = (1..60).map(|second| (backup(1000 * second), Vec::new()));
        let story = Story {
            there: true,
            questions: questions.collect(),
            ..Story::default()
        };
        let job = story.guest().await.backup_job().await.unwrap().unwrap();
        let before = Instant::now();
        let BackupOutcome::Vanished(evidence) = job.wait().await else {
            panic!("nothing was at work");
        };
        assert_eq!(evidence.reason, VanishedReason::HalfStarted);
        assert!(before.elapsed() < Duration::from_secs(30));
    })
    .await;
}
