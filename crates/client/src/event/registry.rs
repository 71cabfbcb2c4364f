//! Which event goes to whom: registrations on the daemon, shared by their subscribers.

mod delivery;
mod held;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::event::{EventClass, Style};
use virtwire_protocol::session::{CallFailure, CallRequest};

use self::held::{Held, Moment};
use super::queue::{self, End};
use super::registration::{ObjectKey, RegistrationKey};
use crate::error::{Cause, Error};

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
    pub(crate) ready: oneshot::Sender<Beginning>,
}

/// That everything is registered, or which registration has failed, and how.
pub(crate) type Beginning = Result<(), (RegistrationKey, CallFailure)>;

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
    /// What those had registered who are not served any more and have not left yet.
    retired: BTreeMap<u64, Vec<RegistrationKey>>,
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
    /// Registrations that the daemon has not answered yet. Until it has, events are held.
    waiting: usize,
    /// From when on events are for it.
    since: Moment,
    /// The connection was lost, which it was not told yet.
    gap: bool,
    ready: Option<oneshot::Sender<Beginning>>,
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
            since: self.held.now(),
            gap: false,
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
                Phase::Registered { .. } => self.confirm(id),
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
        let served = self.subscribers.remove(&id).map(|one| one.keys);
        let keys = served.or_else(|| self.retired.remove(&id));
        for key in keys.into_iter().flatten() {
            self.leave(id, key, leaving);
        }
        self.forget_held();
    }

    /// Serves a subscriber no more. What it had is given up now, not only when it leaves.
    fn retire(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.remove(&id) else {
            return;
        };
        for key in &subscriber.keys {
            self.leave(id, key.clone(), None);
        }
        self.retired.insert(id, subscriber.keys);
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
        self.forget_held();
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
        for id in members {
            self.confirm(id);
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
                    self.confirm(id);
                }
                CallFailure::Remote(error) if subscriber.tolerant && subscriber.has_events() => {
                    let error = Arc::new((**error).clone());
                    subscriber.queue.refuse(key.event, error);
                    self.confirm(id);
                }
                _ => self.expel(id, key, failure),
            }
        }
    }

    /// Ends a subscription that cannot be served.
    fn expel(&mut self, id: u64, key: &RegistrationKey, failure: &CallFailure) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.tell_gap();
        subscriber.queue.end(match failure {
            CallFailure::Remote(error) => End::Refused(Arc::new((**error).clone())),
            other => End::Failed(Arc::new(Error::new(Cause::from(other.clone())))),
        });
        if let Some(ready) = subscriber.ready.take() {
            let _ = ready.send(Err((key.clone(), failure.clone())));
        }
        self.retire(id);
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
        self.held.clear();
        self.retired.clear();
        self.registrations
            .retain(|_, registration| !registration.members.is_empty());
        for registration in self.registrations.values_mut() {
            registration.phase = Phase::Registering;
            registration.leaving.clear();
        }
    }

    /// The connection is open again: registers everything anew. Everybody is told behind that.
    pub(crate) fn restart(&mut self) {
        self.away = false;
        let registrations = self.registrations.iter();
        let calls = registrations
            .map(|(key, one)| RegistryCall::Register(key.clone(), one.request.clone()));
        self.calls = calls.collect();
        for subscriber in self.subscribers.values_mut() {
            subscriber.waiting = subscriber.keys.len();
            subscriber.since = self.held.now();
            subscriber.gap = subscriber.ready.is_none();
        }
    }

    /// One more registration is answered.
    fn confirm(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.waiting = subscriber.waiting.saturating_sub(1);
        if subscriber.waiting == 0 {
            self.catch_up(id);
        }
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

    fn tell_gap(&mut self) {
        if std::mem::take(&mut self.gap) {
            self.queue.gap();
        }
    }
}

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;
