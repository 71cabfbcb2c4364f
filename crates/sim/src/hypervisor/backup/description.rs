//! What a client's XML says a backup is to be.

use std::collections::BTreeSet;

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

use crate::hypervisor::disk::{Disk, Disks, Layer};
use crate::refusal::{Result, from_domain, refusal};
use crate::xml::Element;

/// A backup that is to be made.
#[derive(Debug)]
pub(crate) struct BackupDescription {
    /// Whether somebody fetches the data, or it is written into files.
    pub(crate) pull: bool,
    incremental: Option<String>,
    server: Option<Element>,
    pub(crate) disks: Vec<BackupTarget>,
}

/// What a backup does with one disk.
#[derive(Debug, Clone)]
pub(crate) struct BackupTarget {
    /// The disk.
    pub(crate) name: String,
    /// Where the data goes; none for a disk that is left out.
    pub(crate) store: Option<Layer>,
    pub(crate) incremental: Option<String>,
    mode: Option<String>,
    export_name: Option<String>,
    export_bitmap: Option<String>,
}

impl BackupDescription {
    /// Reads `<domainbackup>`.
    pub(crate) fn parse(xml: &str) -> Result<Self> {
        let fail = |about: &str| from_domain(ErrorDomain::XML, ErrorCode::XML_ERROR, about);
        let root = Element::parse(xml).map_err(|error| fail(&error.to_string()))?;
        if root.name != "domainbackup" {
            let name = &root.name;
            return Err(fail(&format!(
                "unexpected root element <{name}>, expecting <domainbackup>"
            )));
        }
        let pull = match root.attribute("mode") {
            None | Some("push") => false,
            Some("pull") => true,
            Some(mode) => return Err(unsupported(format!("unknown backup mode '{mode}'"))),
        };
        let server = root.child("server").cloned();
        if server.is_some() && !pull {
            return Err(unsupported("use of <server> requires pull mode backup"));
        }
        let disks = root.child("disks").into_iter().flat_map(Element::elements);
        let disks = disks.map(|disk| BackupTarget::parse(disk, pull));
        Ok(Self {
            pull,
            incremental: root.child_text("incremental"),
            server: server.map(|server| match server.attribute("transport") {
                Some(_) => server,
                None => with_first(server, "transport", "tcp"),
            }),
            disks: disks.collect::<Result<_>>()?,
        })
    }

    /// Adds what the client left open, as the domain's disks have it.
    pub(crate) fn align(&mut self, disks: &Disks, suffix: &str) -> Result<()> {
        if disks.iter().next().is_none() {
            return Err(unsupported(
                "domain must have at least one disk to perform backup",
            ));
        }
        let everything = self.disks.is_empty();
        let mut named = BTreeSet::new();
        for target in &mut self.disks {
            let name = &target.name;
            let disk = disks.by_target(name);
            let disk = disk.ok_or_else(|| unsupported(format!("no disk named '{name}'")))?;
            if !named.insert(name.clone()) {
                return Err(unsupported(format!("disk '{name}' specified twice")));
            }
            let wants = target.mode.as_deref() == Some("incremental");
            if wants && target.incremental.is_none() && self.incremental.is_none() {
                return Err(unsupported(format!(
                    "'incremental' backup mode of disk '{name}' requires setting 'incremental' \
                     field for disk or backup"
                )));
            }
            if target.store.is_some() {
                target.assign_store(disk, suffix)?;
            }
        }
        for disk in disks.iter().filter(|disk| !named.contains(&disk.target)) {
            let mut target = BackupTarget::left_out(&disk.target);
            if everything && disk.chain.top().is_some() && !disk.readonly {
                target.store = Some(Layer::file("", None));
                target.assign_store(disk, suffix)?;
            }
            self.disks.push(target);
        }
        for target in &mut self.disks {
            let default = match (&self.incremental, &target.incremental) {
                (None, None) => "full",
                _ => "incremental",
            };
            let mode = target.mode.get_or_insert_with(|| default.to_owned());
            if mode == "incremental" && target.incremental.is_none() {
                target.incremental.clone_from(&self.incremental);
            }
        }
        Ok(())
    }

    /// Refuses a server that cannot be.
    pub(crate) fn check_server(&mut self) -> Result<()> {
        if !self.pull {
            return Ok(());
        }
        let server = self.server.get_or_insert_with(|| {
            Element::new("server")
                .with("transport", "tcp")
                .with("name", "localhost")
        });
        let unix = server.attribute("transport") == Some("unix");
        if !unix && server.attribute("port").is_none() {
            return Err(refusal(
                ErrorCode::OPERATION_UNSUPPORTED,
                "<domainbackup> must specify TCP port for now",
            ));
        }
        Ok(())
    }

    /// `<domainbackup>` of a backup that has begun.
    pub(crate) fn element(&self) -> Element {
        let mode = if self.pull { "pull" } else { "push" };
        let mut root = Element::new("domainbackup").with("mode", mode);
        if let Some(incremental) = &self.incremental {
            root.push(Element::new("incremental").with_text(incremental));
        }
        root.children
            .extend(self.server.clone().map(crate::xml::Node::Element));
        let mut disks = Element::new("disks");
        for target in &self.disks {
            disks.push(target.element(self.pull));
        }
        root.push(disks);
        root
    }
}

impl BackupTarget {
    fn left_out(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            store: None,
            incremental: None,
            mode: None,
            export_name: None,
            export_bitmap: None,
        }
    }

    fn parse(disk: &Element, pull: bool) -> Result<Self> {
        let name = disk.attribute("name").ok_or_else(|| {
            let about = "missing name from disk backup element";
            from_domain(ErrorDomain::DOMAIN, ErrorCode::XML_ERROR, about)
        })?;
        let mut target = Self::left_out(name);
        if disk.attribute("backup") == Some("no") {
            return Ok(target);
        }
        let kind = disk.attribute("type").unwrap_or("file");
        if !matches!(kind, "file" | "block") {
            let about = format!("unsupported disk backup type '{kind}'");
            return Err(from_domain(
                ErrorDomain::DOMAIN,
                ErrorCode::XML_ERROR,
                &about,
            ));
        }
        let attribute = |name: &str| disk.attribute(name).map(str::to_owned);
        target.mode = attribute("backupmode");
        target.incremental = attribute("incremental");
        if pull {
            target.export_name = attribute("exportname");
            target.export_bitmap = attribute("exportbitmap");
        }
        let source = disk.child(if pull { "scratch" } else { "target" });
        let format = disk.child("driver").and_then(|it| it.attribute("type"));
        let mut store = Layer::file("", format);
        store.kind = kind.to_owned();
        if let Some(source) = source {
            store.source.attributes.clone_from(&source.attributes);
        }
        target.store = Some(store);
        Ok(target)
    }

    fn assign_store(&mut self, disk: &Disk, suffix: &str) -> Result<()> {
        let name = &self.name;
        let Some(top) = disk.chain.top() else {
            return Err(unsupported(format!("disk '{name}' has no media")));
        };
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if store.path().is_some_and(|path| !path.is_empty()) {
            return Ok(());
        }
        if top.kind != "file" {
            let about = format!("refusing to generate file name for disk '{name}'");
            return Err(unsupported(about));
        }
        let path = top.path().unwrap_or_default();
        let format = store.format.take();
        *store = Layer::file(&format!("{path}.{suffix}"), format.as_deref());
        Ok(())
    }

    /// Says what is exported, now that it is.
    pub(crate) fn export(&mut self) {
        self.export_name.get_or_insert_with(|| self.name.clone());
        if self.incremental.is_some() {
            let name = &self.name;
            self.export_bitmap
                .get_or_insert_with(|| format!("backup-{name}"));
        }
    }

    fn element(&self, pull: bool) -> Element {
        let mut element = Element::new("disk").with("name", &self.name);
        let Some(store) = &self.store else {
            return element.with("backup", "no");
        };
        element.set("backup", "yes");
        element.set("type", &store.kind);
        let optional = [
            ("backupmode", &self.mode),
            ("incremental", &self.incremental),
            ("exportname", &self.export_name),
            ("exportbitmap", &self.export_bitmap),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                element.set(name, value);
            }
        }
        element.set("index", store.index);
        let format = store.format.as_deref().unwrap_or("qcow2");
        element.push(Element::new("driver").with("type", format));
        let mut place = store.source.clone();
        let name = if pull { "scratch" } else { "target" };
        name.clone_into(&mut place.name);
        element.push(place);
        element
    }
}

fn with_first(mut element: Element, attribute: &str, value: &str) -> Element {
    let pair = (attribute.to_owned(), value.to_owned());
    element.attributes.insert(0, pair);
    element
}

fn unsupported(about: impl AsRef<str>) -> virtwire_protocol::RemoteError {
    refusal(ErrorCode::CONFIG_UNSUPPORTED, about)
}
