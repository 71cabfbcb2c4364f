//! Which event goes to whom: registrations on the daemon, shared by their subscribers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use virtwire_protocol::remote;
use virtwire_protocol::session::{CallFailure, CallRequest, EventPacket};
use virtwire_xdr::Reader;

use super::{RegistrationKey, Subscribe};

/// How many events are kept that came before the answer that says whose they are.
const MAX_HELD: usize = 1024;

/// The longest event that is kept. The real ones are a few hundred bytes, and a hostile daemon
/// must not be able to fill the queues with packets of 32 MiB.
const MAX_EVENT_LEN: usize = 64 << 10;

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
    registrations: HashMap<RegistrationKey, Registration>,
    by_callback: HashMap<i32, RegistrationKey>,
    subscribers: HashMap<u64, Subscriber>,
    /// Events of unknown callback IDs that came while a registration was under way: the daemon
    /// may queue an event before the answer that gives its ID.
    held: VecDeque<EventPacket>,
    calls: VecDeque<RegistryCall>,
}

#[derive(Debug)]
struct Registration {
    phase: Phase,
    subscribers: Vec<u64>,
    /// To register again, should a subscriber come while the daemon is being told to stop.
    request: Option<CallRequest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    Registered { callback: i32 },
    Deregistering,
}

#[derive(Debug)]
struct Subscriber {
    queue: mpsc::Sender<EventPacket>,
    lagged: Arc<AtomicBool>,
    keys: Vec<RegistrationKey>,
    /// Registrations that the daemon has not confirmed yet.
    waiting: usize,
    ready: Option<oneshot::Sender<Result<(), CallFailure>>>,
}

impl Registry {
    /// What to call next.
    pub(crate) fn next_call(&mut self) -> Option<RegistryCall> {
        self.calls.pop_front()
    }

    /// Adds a subscriber and registers what is not registered yet.
    pub(crate) fn subscribe(&mut self, subscribe: Subscribe) {
        let Subscribe {
            id,
            registrations,
            queue,
            lagged,
            ready,
        } = subscribe;
        let keys = registrations.iter().map(|(key, _)| *key).collect();
        let waiting = registrations.len();
        self.subscribers.insert(
            id,
            Subscriber {
                queue,
                lagged,
                keys,
                waiting,
                ready: Some(ready),
            },
        );
        for (key, request) in registrations {
            self.join(id, key, request);
        }
    }

    fn join(&mut self, id: u64, key: RegistrationKey, request: CallRequest) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            self.calls.push_back(RegistryCall::Register(key, request));
            let registration = Registration {
                phase: Phase::Registering,
                subscribers: vec![id],
                request: None,
            };
            self.registrations.insert(key, registration);
            return;
        };
        registration.subscribers.push(id);
        match registration.phase {
            Phase::Registered { .. } => self.confirm(id),
            Phase::Registering => {}
            Phase::Deregistering => registration.request = Some(request),
        }
    }

    /// Removes a subscriber and gives up what nobody else uses.
    pub(crate) fn unsubscribe(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.remove(&id) else {
            return;
        };
        for key in subscriber.keys {
            if let Some(registration) = self.registrations.get_mut(&key) {
                registration.subscribers.retain(|other| *other != id);
            }
            self.give_up_unused(key);
        }
    }

    /// The daemon answered a registration.
    pub(crate) fn registered(&mut self, key: RegistrationKey, answer: Result<i32, CallFailure>) {
        match answer {
            Ok(callback) => self.register_callback(key, callback),
            Err(failure) => self.fail(key, &failure),
        }
        if !self
            .registrations
            .values()
            .any(|r| r.phase == Phase::Registering)
        {
            self.held.clear();
        }
    }

    fn register_callback(&mut self, key: RegistrationKey, callback: i32) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        registration.phase = Phase::Registered { callback };
        let subscribers = registration.subscribers.clone();
        self.by_callback.insert(callback, key);
        subscribers.into_iter().for_each(|id| self.confirm(id));
        for event in std::mem::take(&mut self.held) {
            self.deliver(event);
        }
        self.give_up_unused(key);
    }

    fn fail(&mut self, key: RegistrationKey, failure: &CallFailure) {
        let Some(registration) = self.registrations.remove(&key) else {
            return;
        };
        for id in registration.subscribers {
            let Some(mut subscriber) = self.subscribers.remove(&id) else {
                continue;
            };
            for other in subscriber.keys.into_iter().filter(|other| *other != key) {
                if let Some(registration) = self.registrations.get_mut(&other) {
                    registration.subscribers.retain(|member| *member != id);
                }
                self.give_up_unused(other);
            }
            if let Some(ready) = subscriber.ready.take() {
                let _ = ready.send(Err(failure.clone()));
            }
        }
    }

    /// The daemon answered a deregistration, with success or not.
    pub(crate) fn deregistered(&mut self, key: RegistrationKey) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        let request = registration.request.take();
        match request {
            Some(request) if !registration.subscribers.is_empty() => {
                registration.phase = Phase::Registering;
                self.calls.push_back(RegistryCall::Register(key, request));
            }
            _ => {
                self.registrations.remove(&key);
            }
        }
    }

    /// Hands an event to its subscribers. Nobody is ever waited for.
    pub(crate) fn deliver(&mut self, mut event: EventPacket) {
        let Some(callback) = callback_of(&event) else {
            return;
        };
        // An event that waits must not keep the buffer alive that it was received into.
        event.payload = Bytes::copy_from_slice(&event.payload);
        let Some(key) = self.by_callback.get(&callback) else {
            self.hold(event);
            return;
        };
        let Some(registration) = self.registrations.get(key) else {
            return;
        };
        for id in &registration.subscribers {
            let Some(subscriber) = self.subscribers.get(id) else {
                continue;
            };
            if subscriber.queue.try_send(event.clone()).is_err() {
                subscriber.lagged.store(true, Ordering::Relaxed);
            }
        }
    }

    fn hold(&mut self, event: EventPacket) {
        let registering = self
            .registrations
            .values()
            .any(|r| r.phase == Phase::Registering);
        if registering && self.held.len() < MAX_HELD {
            self.held.push_back(event);
        }
    }

    fn confirm(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.waiting = subscriber.waiting.saturating_sub(1);
        if subscriber.waiting > 0 {
            return;
        }
        if let Some(ready) = subscriber.ready.take() {
            let _ = ready.send(Ok(()));
        }
    }

    fn give_up_unused(&mut self, key: RegistrationKey) {
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        let Phase::Registered { callback } = registration.phase else {
            return;
        };
        if !registration.subscribers.is_empty() || key == RegistrationKey::ANCHOR {
            return;
        }
        registration.phase = Phase::Deregistering;
        self.by_callback.remove(&callback);
        let args = remote::ConnectDomainEventCallbackDeregisterAnyArgs {
            callback_id: callback,
        };
        if let Ok(request) =
            CallRequest::new::<remote::ConnectDomainEventCallbackDeregisterAny>(&args)
        {
            self.calls.push_back(RegistryCall::Deregister(key, request));
        }
    }
}

/// The callback ID that an event starts with; `None` for an event that nobody can ask for here.
fn callback_of(event: &EventPacket) -> Option<i32> {
    let known = event.is::<remote::DomainEventCallbackLifecycle>()
        || event.is::<remote::DomainEventBlockJob2>();
    if known && event.payload.len() <= MAX_EVENT_LEN {
        Reader::new(&event.payload).i32().ok()
    } else {
        None
    }
}

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;
