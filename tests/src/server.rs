//! A peer that answers while a test does something else.

use std::future::Future;
use std::pin::pin;

use virtwire::{Connection, remote};
use virtwire_protocol::session::Request;

use crate::peer::{Guest as _, Peer};
use crate::question::{PLACES, asker};

/// A peer that answers whatever is asked as a daemon with one running guest.
#[derive(Debug)]
pub struct Server {
    peer: Peer,
    given_up: usize,
}

impl Server {
    /// Nothing is answered yet.
    #[must_use]
    pub fn new(peer: Peer) -> Self {
        Self { peer, given_up: 0 }
    }

    /// How many registrations for events the client has given up.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.given_up
    }

    /// The peer, which then answers no more.
    #[must_use]
    pub fn into_peer(self) -> Peer {
        self.peer
    }

    /// Answers while the work is done.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.during_with(work, async |_, _| {}).await
    }

    /// Answers while the work is done, and does something after each answer.
    ///
    /// # Panics
    ///
    /// When the client breaks the protocol.
    pub async fn during_with<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut then: impl AsyncFnMut(&mut Peer, &Request),
    ) -> T {
        let mut work = pin!(work);
        loop {
            let request = tokio::select! {
                biased;
                done = &mut work => return done,
                request = self.peer.request() => request.expect("the client makes calls"),
            };
            let Some(request) = request else {
                return work.await;
            };
            let given_up = request.is::<remote::ConnectDomainEventCallbackDeregisterAny>();
            self.given_up += usize::from(given_up);
            self.peer.respond(&request).await;
            then(&mut self.peer, &request).await;
        }
    }

    /// Checks that as many calls as ever are in flight at once, and that each gets its answer.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub async fn every_place_is_free(&mut self, connection: &Connection) {
        let askers: Vec<_> = (0..).take(PLACES).map(|n| asker(connection, n)).collect();
        let mut calls = Vec::new();
        while calls.len() < askers.len() {
            let call = self.peer.find::<remote::ConnectSupportsFeature>().await;
            calls.push(call.expect("the client asks"));
        }
        for call in &calls {
            self.peer.echo(call).await;
        }
        for (number, asker) in (0..).zip(askers) {
            let answer = asker.await.expect("the asker goes on");
            assert_eq!(answer.expect("there is an answer"), number);
        }
    }
}
