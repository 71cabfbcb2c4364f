//! What the simulated daemon knows: its clients, and the machines it pretends to run.

pub(crate) mod backup;
pub(crate) mod block_job;
pub(crate) mod checkpoint;
pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod domain;
pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod lock;
pub(crate) mod model;
pub(crate) mod moment;
pub(crate) mod monitor;
pub(crate) mod network;
pub(crate) mod note;
pub(crate) mod snapshot;
pub(crate) mod storage;

use std::collections::{BTreeMap, HashMap};

use virtwire_protocol::constants::ErrorCode;
use virtwire_protocol::event::EventClass;
use virtwire_protocol::remote::NonnullDomain;

use self::client::Driver;
pub(crate) use self::client::{Client, ClientId};
pub(crate) use self::domain::Domain;
use self::host::Host;
use self::image::Images;
use self::model::Model;
use self::network::Networks;
use self::storage::Storage;
use crate::refusal::{Result, refusal};

/// A domain's UUID, as on the wire.
pub(crate) type Uuid = [u8; 16];

/// Everything that the handlers read and change, behind one lock.
#[derive(Debug, Default)]
pub(crate) struct Hypervisor {
    /// The connections.
    pub(crate) clients: BTreeMap<ClientId, Client>,
    /// The domains.
    pub(crate) domains: BTreeMap<Uuid, Domain>,
    /// Their names; `domain::life` keeps the two together.
    names: HashMap<String, Uuid>,
    /// The storage pools; [`storage`](Self::storage) to change them.
    pub(crate) pools: Storage,
    /// The virtual networks.
    pub(crate) networks: Networks,
    /// How disks behave, and what images there are.
    pub(crate) model: Model,
    /// The host, if somebody has described it.
    pub(crate) host: Option<Host>,
    next_client: u64,
    next_callbacks: BTreeMap<(Driver, EventClass), i32>,
    next_domain: i32,
    pub(crate) next_interface: u32,
}

impl Hypervisor {
    /// A number for a domain that starts.
    pub(crate) fn next_domain_id(&mut self) -> i32 {
        self.next_domain = self.next_domain.wrapping_add(1) & i32::MAX;
        self.next_domain
    }

    /// The storage pools to be changed, and the images that domains know of their volumes.
    pub(crate) fn storage(&mut self) -> (&mut Storage, &mut Images) {
        (&mut self.pools, &mut self.model.images)
    }

    /// A number for a client.
    pub(crate) fn next_client_id(&mut self) -> ClientId {
        self.next_client += 1;
        ClientId(self.next_client)
    }

    /// The domain that a client speaks of: its UUID counts, as in libvirt.
    pub(crate) fn domain(&self, wanted: &NonnullDomain<'_>) -> Result<&Domain> {
        let found = self.domains.get(&wanted.uuid);
        found.ok_or_else(|| no_such_domain(wanted))
    }

    /// A domain as it is named on the wire.
    pub(crate) fn reference(&self, uuid: Uuid) -> Result<NonnullDomain<'static>> {
        let found = self.domains.get(&uuid).map(Domain::reference);
        found.ok_or_else(|| {
            let about = format!("no domain with matching uuid '{}'", uuid_text(&uuid));
            refusal(ErrorCode::NO_DOMAIN, about)
        })
    }

    /// The domain of a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Domain> {
        self.domains.get(self.names.get(name)?)
    }

    /// The domain that a client speaks of, to be changed.
    pub(crate) fn domain_mut(&mut self, wanted: &NonnullDomain<'_>) -> Result<&mut Domain> {
        let found = self.domains.get_mut(&wanted.uuid);
        found.ok_or_else(|| no_such_domain(wanted))
    }
}

fn no_such_domain(wanted: &NonnullDomain<'_>) -> virtwire_protocol::RemoteError {
    let uuid = uuid_text(&wanted.uuid);
    let about = format!(
        "no domain with matching uuid '{uuid}' ({})",
        wanted.name.to_string_lossy()
    );
    refusal(ErrorCode::NO_DOMAIN, about)
}

/// A UUID as people write it.
pub(crate) fn uuid_text(uuid: &Uuid) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A UUID as people write it, with or without hyphens.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    let mut digits = text.chars().filter(|&c| c != '-' && !c.is_whitespace());
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        let (high, low) = (digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(uuid)
}
