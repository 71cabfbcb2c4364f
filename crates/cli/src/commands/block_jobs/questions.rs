//! Questions that are under way: each is answered by itself, so that a domain that is stuck holds up
//! nobody but itself, and none is asked again before it is answered.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, Stream};
use virtwire::constants::ConnectListAllDomainsFlags;
use virtwire::{BlockJobInfo, Connection, Disk, Domain, Error, RunningBlockJob, Uuid};

use super::scan;

/// What the daemon said, and when it was asked.
pub(super) enum Answer {
    Domains(Result<Vec<Domain>, Error>),
    Jobs {
        domain: Domain,
        asked: Instant,
        jobs: Result<Vec<RunningBlockJob>, Error>,
    },
    Job {
        disk: Disk,
        asked: Instant,
        info: Result<Option<BlockJobInfo>, Error>,
    },
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Everything,
    Domain(Uuid),
    Disk(Uuid, String),
}

type Question = Pin<Box<dyn Future<Output = (Subject, Answer)>>>;

pub(super) struct Questions {
    connection: Connection,
    only: Option<Domain>,
    asked: FuturesUnordered<Question>,
    open: HashSet<Subject>,
}

impl Questions {
    /// About one domain, or about all that run.
    pub(super) fn new(connection: &Connection, only: Option<Domain>) -> Self {
        Self {
            connection: connection.clone(),
            only,
            asked: FuturesUnordered::new(),
            open: HashSet::new(),
        }
    }

    /// Which domains there are; what is to be asked of them then is another question.
    pub(super) fn ask_all(&mut self) {
        if let Some(domain) = self.only.clone() {
            return self.ask_domains(vec![domain]);
        }
        let connection = self.connection.clone();
        self.ask(Subject::Everything, async move {
            let running = ConnectListAllDomainsFlags::ACTIVE;
            Answer::Domains(connection.list_domains(running).await)
        });
    }

    /// Which jobs there are.
    pub(super) fn ask_domains(&mut self, domains: Vec<Domain>) {
        for domain in domains {
            self.ask(Subject::Domain(domain.uuid()), async move {
                let asked = Instant::now();
                let jobs = domain.block_jobs().await;
                Answer::Jobs {
                    domain,
                    asked,
                    jobs,
                }
            });
        }
    }

    /// How far jobs are.
    pub(super) fn ask_about(&mut self, disks: Vec<Disk>) {
        for disk in disks {
            let subject = Subject::Disk(disk.domain().uuid(), disk.path().to_owned());
            self.ask(subject, async move {
                let asked = Instant::now();
                let info = scan::job(&disk).await;
                Answer::Job { disk, asked, info }
            });
        }
    }

    fn ask(&mut self, subject: Subject, question: impl Future<Output = Answer> + 'static) {
        if self.open.insert(subject.clone()) {
            self.asked
                .push(Box::pin(async move { (subject, question.await) }));
        }
    }
}

/// The answers, in the order in which they come; `None` while nothing is asked.
impl Stream for Questions {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let next = Pin::new(&mut self.asked).poll_next(context);
        next.map(|next| {
            let (subject, answer) = next?;
            self.open.remove(&subject);
            Some(answer)
        })
    }
}
