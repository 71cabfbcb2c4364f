//! Which event goes to whom: registrations on the daemon, shared by their subscribers.

mod delivery;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::RemoteError;
use virtwire_protocol::event::{self, EventClass, EventId, Style};
use virtwire_protocol::session::{CallFailure, CallRequest};

use self::delivery::Held;
use super::queue::{self, End};
use super::registration::{ObjectKey, RegistrationKey};

/// What the driver needs to serve a subscription.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) id: u64,
    pub(crate) registrations: Vec<(RegistrationKey, CallRequest)>,
    /// How many of the registrations were asked for. Those behind them are held, and nothing that
    /// comes for them is wanted.
    pub(crate) asked: usize,
    pub(crate) queue: queue::Sender,
    /// Only events about this object are wanted, though the registrations may bring others.
    pub(crate) only: Option<ObjectKey>,
    /// Registrations that the daemon refuses are done without, unless none is left.
    pub(crate) tolerant: bool,
    /// Events that this version does not know are wanted, whoever has asked for them.
    pub(crate) unknown: bool,
    pub(crate) ready: oneshot::Sender<Result<Vec<Refused>, CallFailure>>,
}

/// An event that the daemon does not have, and what it says of that.
pub(crate) type Refused = (EventId, Arc<RemoteError>);

/// Kept until the daemon has confirmed that nothing more comes; nothing is ever sent.
pub(crate) type Leaving = mpsc::Sender<Infallible>;

/// What the registry wants the driver to call.
#[derive(Debug)]
pub(crate) enum RegistryCall {
    /// Register on the daemon; the answer goes to [`Registry::registered`].
    Register(RegistrationKey, CallRequest),
    /// Give a registration up; the answer goes to [`Registry::deregistered`].
    Deregister(RegistrationKey, CallRequest),
}

/// The table of registrations and subscribers. It belongs to the driver.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    registrations: BTreeMap<RegistrationKey, Registration>,
    by_callback: BTreeMap<(EventClass, i32), RegistrationKey>,
    subscribers: BTreeMap<u64, Subscriber>,
    held: Held,
    calls: VecDeque<RegistryCall>,
    /// There is no daemon now.
    away: bool,
}

#[derive(Debug)]
struct Registration {
    phase: Phase,
    members: Vec<u64>,
    /// To register again.
    request: CallRequest,
    /// Those who left, and wait until the daemon has confirmed it.
    leaving: Vec<Leaving>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    /// The callback ID is zero where there is none.
    Registered {
        callback: i32,
    },
    Deregistering,
}

#[derive(Debug)]
struct Subscriber {
    queue: queue::Sender,
    keys: Vec<RegistrationKey>,
    /// Those of the keys that it did not ask for.
    unasked: Vec<RegistrationKey>,
    only: Option<ObjectKey>,
    tolerant: bool,
    unknown: bool,
    /// Registrations that the daemon has not answered yet.
    waiting: usize,
    refused: Vec<Refused>,
    ready: Option<oneshot::Sender<Result<Vec<Refused>, CallFailure>>>,
}

impl Registry {
    /// What to call next.
    pub(crate) fn next_call(&mut self) -> Option<RegistryCall> {
        self.calls.pop_front()
    }

    /// Whether a registration is under way.
    pub(crate) fn is_registering(&self) -> bool {
        let mut phases = self.registrations.values().map(|one| one.phase);
        phases.any(|phase| phase == Phase::Registering)
    }

    /// Adds a subscriber and registers what is not registered yet.
    pub(crate) fn subscribe(&mut self, subscribe: Subscribe) {
        let id = subscribe.id;
        let keys = subscribe.registrations.iter().map(|(key, _)| key.clone());
        let subscriber = Subscriber {
            queue: subscribe.queue,
            unasked: keys.clone().skip(subscribe.asked).collect(),
            keys: keys.collect(),
            only: subscribe.only,
            tolerant: subscribe.tolerant,
            unknown: subscribe.unknown,
            waiting: subscribe.registrations.len(),
            refused: Vec::new(),
            ready: Some(subscribe.ready),
        };
        self.subscribers.insert(id, subscriber);
        for (key, request) in subscribe.registrations {
            self.join(id, key, request);
        }
    }

    fn join(&mut self, id: u64, key: RegistrationKey, request: CallRequest) {
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.members.push(id);
            match registration.phase {
                // Those who left it unused need not wait for its end any more.
                Phase::Registering => registration.leaving.clear(),
                Phase::Registered { .. } => self.confirm(id, 0),
                Phase::Deregistering => {}
            }
            return;
        }
        if !self.away {
            let call = RegistryCall::Register(key.clone(), request.clone());
            self.calls.push_back(call);
        }
        let registration = Registration {
            phase: Phase::Registering,
            members: vec![id],
            request,
            leaving: Vec::new(),
        };
        self.registrations.insert(key, registration);
    }

    /// Removes a subscriber and gives up what nobody else uses. `leaving` is dropped when the
    /// daemon has confirmed all of it.
    pub(crate) fn unsubscribe(&mut self, id: u64, leaving: Option<&Leaving>) {
        let Some(subscriber) = self.subscribers.remove(&id) else {
            return;
        };
        for key in subscriber.keys {
            self.leave(id, key, leaving);
        }
    }

    fn leave(&mut self, id: u64, key: RegistrationKey, leaving: Option<&Leaving>) {
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.members.retain(|other| *other != id);
            if registration.members.is_empty() && !key.is_anchor() {
                registration.leaving.extend(leaving.cloned());
            }
        }
        self.give_up_unused(key);
    }

    /// The daemon answered a registration: with a callback ID, or zero where there is none.
    pub(crate) fn registered(&mut self, key: RegistrationKey, answer: Result<i32, CallFailure>) {
        match answer {
            Ok(callback) => self.register_callback(key, callback),
            Err(failure) => self.fail(&key, &failure),
        }
        if !self.is_registering() {
            self.held = Held::default();
        }
    }

    fn register_callback(&mut self, key: RegistrationKey, callback: i32) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        registration.phase = Phase::Registered { callback };
        let members = registration.members.clone();
        if key.style == Style::Callback {
            let route = (key.event.class(), callback);
            self.by_callback.insert(route, key.clone());
        }
        let held = std::mem::take(&mut self.held);
        self.held.lost = held.lost;
        for event in held.events {
            let route = event::route(event.program, event.procedure);
            self.deliver_to_members(event, route);
        }
        for id in members {
            self.confirm(id, held.lost);
        }
        self.give_up_unused(key);
    }

    fn fail(&mut self, key: &RegistrationKey, failure: &CallFailure) {
        let Some(registration) = self.registrations.remove(key) else {
            return;
        };
        for id in registration.members {
            let Some(subscriber) = self.subscribers.get_mut(&id) else {
                continue;
            };
            subscriber.keys.retain(|other| other != key);
            match failure {
                // The events are refused as well, or come without it.
                CallFailure::Remote(_) if subscriber.unasked.contains(key) => {
                    self.confirm(id, self.held.lost);
                }
                CallFailure::Remote(error) if subscriber.tolerant && subscriber.has_events() => {
                    let error = Arc::new((**error).clone());
                    subscriber.refused.push((key.event, error));
                    self.confirm(id, self.held.lost);
                }
                _ => self.expel(id, failure),
            }
        }
    }

    /// Ends a subscription that cannot be served.
    fn expel(&mut self, id: u64, failure: &CallFailure) {
        let Some(mut subscriber) = self.subscribers.remove(&id) else {
            return;
        };
        if let CallFailure::Remote(error) = failure {
            let error = Arc::new((**error).clone());
            subscriber.queue.end(End::Refused(error));
        }
        if let Some(ready) = subscriber.ready.take() {
            let _ = ready.send(Err(failure.clone()));
        }
        for key in subscriber.keys {
            self.leave(id, key, None);
        }
    }

    /// The daemon answered a deregistration, with success or not.
    pub(crate) fn deregistered(&mut self, key: RegistrationKey) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        registration.leaving.clear();
        if registration.members.is_empty() {
            self.registrations.remove(&key);
        } else {
            // Somebody came while the daemon was being told to stop.
            registration.phase = Phase::Registering;
            let request = registration.request.clone();
            self.calls.push_back(RegistryCall::Register(key, request));
        }
    }

    /// The connection was lost, and the daemon has nothing registered any more.
    pub(crate) fn lost(&mut self) {
        self.away = true;
        self.calls.clear();
        self.by_callback.clear();
        self.held = Held::default();
        self.registrations
            .retain(|_, registration| !registration.members.is_empty());
        for registration in self.registrations.values_mut() {
            registration.phase = Phase::Registering;
            registration.leaving.clear();
        }
    }

    /// The connection is open again: registers everything anew and tells everybody.
    pub(crate) fn restart(&mut self) {
        self.away = false;
        let registrations = self.registrations.iter();
        let calls = registrations
            .map(|(key, one)| RegistryCall::Register(key.clone(), one.request.clone()));
        self.calls = calls.collect();
        for subscriber in self.subscribers.values_mut() {
            subscriber.waiting = subscriber.keys.len();
            if subscriber.ready.is_none() {
                subscriber.queue.gap();
            }
        }
    }

    /// One more registration is answered. Behind the last stands what was `lost` meanwhile: it
    /// may have been for any of them, and came behind what was held.
    fn confirm(&mut self, id: u64, lost: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.waiting = subscriber.waiting.saturating_sub(1);
        if subscriber.waiting > 0 {
            return;
        }
        if lost > 0 {
            subscriber.queue.lag(lost);
        }
        subscriber.become_ready();
    }

    fn give_up_unused(&mut self, key: RegistrationKey) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        if self.away && registration.members.is_empty() {
            self.registrations.remove(&key);
            return;
        }
        let Phase::Registered { callback } = registration.phase else {
            return;
        };
        if !registration.members.is_empty() || key.is_anchor() {
            return;
        }
        registration.phase = Phase::Deregistering;
        let route = (key.event.class(), callback);
        if self.by_callback.get(&route) == Some(&key) {
            self.by_callback.remove(&route);
        }
        // It has no string that could be too long.
        if let Ok(request) = key.deregister(callback) {
            self.calls.push_back(RegistryCall::Deregister(key, request));
        }
    }
}

impl Subscriber {
    /// Whether there is an event left that it wants.
    fn has_events(&self) -> bool {
        self.keys.iter().any(|key| !self.unasked.contains(key))
    }

    /// Says so to whoever waits for that.
    fn become_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(std::mem::take(&mut self.refused)));
        }
    }
}

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;
