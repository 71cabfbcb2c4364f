//! Which event goes to whom.

mod delivery;
mod model;
mod packet;
mod stream;
mod subscribed;

use arbitrary::Arbitrary;
use virtwire::event::{CoalesceKey, Overflow};
use virtwire::fuzzing::{MAX_EVENT_LEN, MAX_HELD_BYTES};

use crate::blob::Blob;
use crate::budget::within;
use model::Model;

/// What happens to a registry.
#[derive(Debug, Arbitrary)]
pub struct Input<'a> {
    /// Whether the daemon is one that tells events of domains without callback IDs.
    pub legacy: bool,
    /// In this order.
    pub actions: Vec<Action<'a>>,
}

/// What a subscriber, the daemon or the network does. Numbers that choose among subscribers,
/// wishes or registrations wrap around.
#[derive(Debug, Clone, Arbitrary)]
pub enum Action<'a> {
    /// Somebody subscribes.
    Subscribe(Subscription),
    /// Somebody leaves.
    Unsubscribe(u8),
    /// The daemon does what it was asked to do.
    Grant(u8),
    /// The daemon does not.
    Refuse(u8),
    /// The daemon answers something that makes no sense.
    Nonsense(u8),
    /// The daemon sends events of a registration that it has granted, is about to, or had.
    Event(u8, Burst),
    /// The daemon sends an event that may not even be one.
    Garbage(bool, i16, Blob<'a>),
    /// Somebody reads so much.
    Read(u8, u8),
    /// The connection is lost.
    Lose,
    /// It is open again.
    Restart,
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Subscription {
    /// Which kinds of events, bit by bit: see [`packet::KINDS`].
    pub kinds: u16,
    /// The object that they are about, or all of them.
    pub object: u8,
    /// For how many events there is room.
    pub room: u8,
    /// What becomes of the others.
    pub overflow: Policy,
    /// Whether it holds the anchors of its classes, as everybody does.
    pub anchored: bool,
    /// Whether it does without what is refused.
    pub tolerant: bool,
    /// Whether it wants whatever is unknown.
    pub unknown: bool,
}

/// What becomes of events that there is no room for.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Policy {
    /// See [`Overflow::DropOldest`].
    DropOldest,
    /// See [`CoalesceKey::Object`].
    CoalesceObject,
    /// See [`CoalesceKey::ObjectAndEvent`].
    CoalesceEvent,
    /// See [`Overflow::End`].
    End,
}

/// Events that come at once.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Burst {
    /// The first one's object, where the registration is for all.
    pub object: u8,
    /// How many.
    pub count: u8,
    /// How long they are.
    pub length: Length,
}

/// The length of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Length {
    /// As it is.
    Usual,
    /// The longest that is delivered.
    Longest,
    /// Too long.
    Oversized,
}

/// Every event reaches everybody it is for, in order, or tells them that it did not in the place
/// where it is missing; nobody else sees it; whoever has left knows when the daemon has, too; and
/// nothing is left when everybody has gone.
pub fn check(input: &Input<'_>) {
    let brought = input.actions.iter().map(Action::bytes).sum::<usize>();
    // The registry and the model keep events each.
    within(2 * MAX_HELD_BYTES + brought, || {
        let mut model = Model::new(input.legacy);
        for action in &input.actions {
            model.apply(action);
            model.check();
        }
        model.end();
    });
}

impl Action<'_> {
    /// What it can make the registry and the model keep.
    fn bytes(&self) -> usize {
        match self {
            Self::Garbage(_, _, payload) => 4096 + 2 * payload.bytes().len(),
            Self::Event(_, burst) => 4096 + burst.count() * (512 + 2 * burst.length.padding()),
            Self::Subscribe(_) => 32 << 10,
            _ => 4096,
        }
    }
}

impl Policy {
    fn overflow(self) -> Overflow {
        match self {
            Self::DropOldest => Overflow::DropOldest,
            Self::CoalesceObject => Overflow::Coalesce(CoalesceKey::Object),
            Self::CoalesceEvent => Overflow::Coalesce(CoalesceKey::ObjectAndEvent),
            Self::End => Overflow::End,
        }
    }
}

impl Burst {
    fn count(self) -> usize {
        let most = match self.length {
            Length::Usual => 256,
            Length::Longest | Length::Oversized => 24,
        };
        usize::from(self.count) % most + 1
    }
}

impl Length {
    fn padding(self) -> usize {
        match self {
            Self::Usual => 0,
            Self::Longest => MAX_EVENT_LEN,
            Self::Oversized => MAX_EVENT_LEN + 4,
        }
    }
}
