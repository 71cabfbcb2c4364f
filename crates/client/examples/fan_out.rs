//! Lists the domains of many hosts, some hosts at a time: `fan_out URI…`.
//!
//! A host that is down, refuses or hangs costs a line of the output, and none of the others.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::timeout;
use virtwire::constants::ConnectListAllDomainsFlags;
use virtwire::{Connection, ListedDomain};

/// How many hosts are asked at the same time.
const AT_ONCE: usize = 64;

/// How long a host may take, from the connection to the last answer.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    let mut answers = pin!(ask(std::env::args().skip(1), AT_ONCE, DEADLINE));
    while let Some((uri, answer)) = answers.next().await {
        match answer {
            Ok(domains) => print(&uri, &domains),
            Err(error) => {
                println!("{uri}: {}", explain(&*error));
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

/// What each host answers, in the order in which they do.
pub(crate) fn ask(
    uris: impl Iterator<Item = String>,
    at_once: usize,
    deadline: Duration,
) -> impl Stream<Item = (String, Result<Vec<ListedDomain>, Box<dyn Error>>)> {
    stream::iter(uris)
        .map(move |uri| async move {
            let answer = match timeout(deadline, ask_one(&uri)).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(elapsed) => Err(elapsed.into()),
            };
            (uri, answer)
        })
        .buffer_unordered(at_once)
}

async fn ask_one(uri: &str) -> Result<Vec<ListedDomain>, virtwire::Error> {
    let connection = Connection::open(uri).await?;
    let every = ConnectListAllDomainsFlags::empty();
    let domains = connection.list_domains_with_status(every).await?;
    connection.close().await;
    Ok(domains)
}

fn print(uri: &str, domains: &[ListedDomain]) {
    println!("{uri}: {} domains", domains.len());
    for ListedDomain { domain, status, .. } in domains {
        let state = status.and_then(|status| status.state.name());
        println!("  {:30} {}", domain.name(), state.unwrap_or("-"));
    }
}

/// An error with what is behind it.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
