//! Our client and libvirt's own library beside each other.

use serde_json::Value;
use virtwire::Connection;
use virtwire::event::{Event, EventId, EventStream};
use virtwire_lab::Driver;
use virtwire_tests::relay::{Recording, Relay};

use super::seen;
use super::witness::Witness;
use crate::Stage;

/// Both listen to everything that a driver of a private daemon tells.
#[derive(Debug)]
pub(super) struct Pair {
    /// The daemon, and a connection to do things by.
    pub(super) stage: Stage,
    connection: Connection,
    ours: EventStream<Event>,
    ours_heard: Vec<Value>,
    witness: Witness,
    witness_heard: Vec<Value>,
    relay: Relay,
}

impl Pair {
    pub(super) async fn new(driver: Driver) -> Self {
        Self::on(Box::pin(Stage::new(driver)).await, driver).await
    }

    pub(super) async fn on(stage: Stage, driver: Driver) -> Self {
        let uri = stage.uri(driver);
        Box::pin(Self::listening(stage, &uri)).await
    }

    /// Listens at a URI of the stage's daemon.
    pub(super) async fn listening(stage: Stage, uri: &str) -> Self {
        let relay = Relay::start(stage.socket());
        let socket = stage.socket().display().to_string();
        let relayed = uri.replace(&socket, &relay.socket().display().to_string());
        let connection = Connection::open(&relayed).await.unwrap();
        let events = connection.events().all().queue_length(100_000);
        let pair = Self {
            ours: events.subscribe().await.unwrap(),
            connection,
            ours_heard: Vec::new(),
            witness: Witness::start(uri).await,
            witness_heard: Vec::new(),
            relay,
            stage,
        };
        pair.asks_for_as_much();
        pair
    }

    /// We have asked for as many kinds of events as the library, which besides knows how to hear
    /// of a lost connection without asking; and for those that are newer than it, where the daemon
    /// is newer, too.
    fn asks_for_as_much(&self) {
        let refused: Vec<_> = self.ours.refused().map(|(event, _)| event).collect();
        let ours = EventId::known().filter(|id| !refused.contains(id) && !self.is_newer(*id));
        assert_eq!(self.witness.kinds.len() + 1, ours.count());
    }

    /// Whether the library does not know this kind. Each class is numbered in the order in which
    /// its kinds came; only two have grown since 9.0.0.
    fn is_newer(&self, id: EventId) -> bool {
        let class = match id {
            EventId::Domain(_) => "domain ",
            EventId::Network(_) => "network ",
            _ => return false,
        };
        let theirs = self.witness.kinds.iter();
        let theirs = theirs.filter(|kind| kind.starts_with(class)).count();
        usize::try_from(id.number()).is_ok_and(|number| number >= theirs)
    }

    /// What both have heard, up to and including the first event of this name and with these
    /// fields, of all that is told in one order with it. It must be the same.
    pub(super) async fn until(&mut self, name: &str, fields: Value) -> Vec<Value> {
        while !self
            .ours_heard
            .last()
            .is_some_and(|it| is(it, name, &fields))
        {
            let event = self.ours.recv().await.unwrap();
            if !event.id().is_some_and(|id| self.is_newer(id)) {
                self.ours_heard.push(seen::value(&event));
            }
        }
        while !self
            .witness_heard
            .last()
            .is_some_and(|it| is(it, name, &fields))
        {
            let event = self.witness.next().await;
            self.witness_heard.push(event);
        }
        let theirs = take_queue(&mut self.witness_heard);
        let ours = take_queue(&mut self.ours_heard);
        for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(our, their, "event {number}");
        }
        assert_eq!(ours.len(), theirs.len());
        ours
    }

    /// What passed between our client and the daemon.
    pub(super) async fn finish(self) -> Vec<Recording> {
        self.connection.close().await;
        self.relay.finish().await
    }
}

/// Whether the event has this name, as `domain lifecycle`, and at least these fields.
fn is(event: &Value, name: &str, fields: &Value) -> bool {
    let (class, kind) = name.split_once(' ').unwrap();
    let wanted = fields.as_object().unwrap();
    event["class"] == class
        && event["event"] == kind
        && wanted
            .iter()
            .all(|(key, value)| event["fields"][key] == *value)
}

/// Takes those out that are told in one order with the last.
fn take_queue(heard: &mut Vec<Value>) -> Vec<Value> {
    let queue = |event: &Value| match event["class"].as_str().unwrap() {
        // The driver of domains has one queue for both.
        "qemu-monitor" => "domain".to_owned(),
        class => class.to_owned(),
    };
    let last = queue(heard.last().unwrap());
    let all = std::mem::take(heard).into_iter();
    let (taken, left) = all.partition(|event| queue(event) == last);
    *heard = left;
    taken
}

/// There must be an event of this name with at least these fields.
pub(super) fn assert_has(events: &[Value], name: &str, fields: &Value) {
    let found = events.iter().any(|event| is(event, name, fields));
    assert!(found, "no {name} {fields} in {events:#?}");
}

/// The numbers of the lifecycle events of one domain.
pub(super) fn life(events: &[Value], domain: &str) -> Vec<(i64, i64)> {
    let of_it = events.iter().filter(|event| {
        let is_lifecycle = event["class"] == "domain" && event["event"] == "lifecycle";
        is_lifecycle && event["subject"]["name"] == domain
    });
    let number = |event: &Value, field: &str| event["fields"][field].as_i64().unwrap();
    let numbers = of_it.map(|event| (number(event, "event"), number(event, "detail")));
    numbers.collect()
}
