//! A storage pool.

use std::collections::BTreeMap;

use virtwire_protocol::constants::{
    ConnectListAllStoragePoolsFlags as Flags, ErrorCode, StorageXmlFlags,
};
use virtwire_protocol::remote::NonnullStoragePool;
use virtwire_xdr::Str;

use super::definition::Permissions;
use super::files::Owned;
use super::{PoolDefinition, Purpose, Volume, no_volume, storage};
use crate::hypervisor::Uuid;
use crate::refusal::Result;
use crate::xml::Element;

/// A storage pool.
#[derive(Debug)]
pub(crate) struct Pool {
    definition: PoolDefinition,
    /// What it will be once it was stopped, if that is something else.
    next: Option<PoolDefinition>,
    /// Whether it outlives being stopped.
    pub(crate) persistent: bool,
    pub(crate) active: bool,
    pub(crate) autostart: bool,
    pub(crate) figures: Figures,
    /// What was found when it was refreshed last, and made since, by name.
    pub(super) volumes: BTreeMap<String, Volume>,
}

/// How large a pool is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) capacity: u64,
    pub(crate) allocation: u64,
    pub(crate) available: u64,
}

impl Figures {
    /// Notes that space is used.
    pub(super) fn take(&mut self, bytes: u64) {
        self.allocation = self.allocation.saturating_add(bytes);
        self.available = self.available.saturating_sub(bytes);
    }

    /// Notes that space is free again.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.allocation = self.allocation.saturating_sub(bytes);
        self.available = self.available.saturating_add(bytes);
    }
}

impl Pool {
    pub(super) fn new(definition: PoolDefinition) -> Self {
        Self {
            definition,
            next: None,
            persistent: false,
            active: false,
            autostart: false,
            figures: Figures::default(),
            volumes: BTreeMap::new(),
        }
    }

    /// Takes another definition: at once, or for the time after it was stopped.
    pub(super) fn redefine(&mut self, definition: PoolDefinition, purpose: Purpose) {
        if self.active {
            self.next = Some(definition);
            return;
        }
        let old = std::mem::replace(&mut self.definition, definition);
        if purpose == Purpose::Create && self.next.is_none() && self.persistent {
            self.next = Some(old);
        }
        self.figures = Figures::default();
    }

    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.definition.uuid
    }

    /// Where its volumes are, if they are files.
    pub(crate) fn target(&self) -> Option<&str> {
        self.definition.target.as_deref()
    }

    /// What it is.
    pub(super) fn definition(&self) -> &PoolDefinition {
        &self.definition
    }

    /// Notes what rights its directory has.
    pub(super) fn set_permissions(&mut self, owned: Owned) {
        self.definition.permissions = Permissions::of(owned);
    }

    /// Marks it as stopped.
    pub(crate) fn stop(&mut self) {
        self.active = false;
        self.volumes.clear();
        if let Some(next) = self.next.take() {
            self.definition = next;
            self.figures = Figures::default();
        }
    }

    /// As it is named on the wire.
    pub(crate) fn reference(&self) -> NonnullStoragePool<'static> {
        NonnullStoragePool {
            name: Str::from(self.name().to_owned()),
            uuid: self.uuid(),
        }
    }

    /// The XML.
    pub(crate) fn xml(&self, flags: StorageXmlFlags) -> Element {
        let Figures {
            capacity,
            allocation,
            available,
        } = self.figures;
        match &self.next {
            Some(next) if flags.contains(StorageXmlFlags::INACTIVE) => next.xml([0; 3]),
            _ => self.definition.xml([capacity, allocation, available]),
        }
    }

    /// Fails unless it is active.
    pub(crate) fn check_active(&self) -> Result<()> {
        if self.active {
            return Ok(());
        }
        Err(self.not_valid("is not active"))
    }

    /// Fails if it is active; `how` are libvirt's words for that.
    pub(crate) fn check_inactive(&self, how: &str) -> Result<()> {
        if self.active {
            return Err(self.not_valid(how));
        }
        Ok(())
    }

    fn not_valid(&self, how: &str) -> virtwire_protocol::RemoteError {
        let what = format!("storage pool '{}' {how}", self.name());
        storage(ErrorCode::OPERATION_INVALID, &what)
    }

    /// Whether a list with these flags has it.
    pub(crate) fn matches(&self, flags: Flags) -> bool {
        // Of each group at least one flag has to fit, if there is one of it at all.
        let group = |all: Flags, own: Flags| !flags.intersects(all) || flags.contains(own);
        let either = |yes: Flags, no: Flags, holds| group(yes | no, if holds { yes } else { no });
        either(Flags::ACTIVE, Flags::INACTIVE, self.active)
            && either(Flags::PERSISTENT, Flags::TRANSIENT, self.persistent)
            && either(Flags::AUTOSTART, Flags::NO_AUTOSTART, self.autostart)
            && group(PoolDefinition::all_kinds(), self.definition.flag)
    }

    /// Its volumes, by name.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// The volume of a name.
    pub(crate) fn volume(&self, name: &str) -> Result<&Volume> {
        let found = self.volumes.get(name);
        found.ok_or_else(|| no_volume(&format!("with matching name '{name}'")))
    }
}
