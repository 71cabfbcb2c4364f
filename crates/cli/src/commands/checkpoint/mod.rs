//! The commands about checkpoints.

mod create;
mod list;
mod tree;

use serde_json::{Value, json};
use virtwire::constants::{
    DomainCheckpointDeleteFlags, DomainCheckpointListFlags, DomainCheckpointXmlFlags, ErrorCode,
};
use virtwire::{Connection, Domain, Error, remote};

pub(super) use self::create::{create, create_as};
pub(super) use self::list::list;
use super::{find, wire, with_identity};
use crate::args::{CheckpointDelete, CheckpointDumpxml, CheckpointName};
use crate::failure::Failure;
use crate::output::{Lines, Report};

/// A checkpoint of a domain.
#[derive(Debug, Clone)]
struct Checkpoint {
    domain: Domain,
    name: String,
}

impl Checkpoint {
    async fn find(connection: &Connection, domain: &str, name: &str) -> Result<Self, Failure> {
        let domain = find(connection, domain).await?;
        Self::of(&domain, name).await.map_err(Failure::from)
    }

    /// Asks the daemon whether the domain has it.
    async fn of(domain: &Domain, name: &str) -> Result<Self, Error> {
        let call = remote::DomainCheckpointLookupByNameArgs {
            dom: wire(domain),
            name: name.into(),
            flags: 0,
        };
        let reply = domain
            .connection()
            .call::<remote::DomainCheckpointLookupByName>(call)
            .await?;
        Ok(Self::received(domain, &reply.decode()?.checkpoint))
    }

    fn received(domain: &Domain, checkpoint: &remote::NonnullDomainCheckpoint<'_>) -> Self {
        Self {
            domain: domain.clone(),
            name: checkpoint.name.to_string_lossy().into_owned(),
        }
    }

    fn wire(&self) -> remote::NonnullDomainCheckpoint<'_> {
        remote::NonnullDomainCheckpoint {
            name: self.name.as_str().into(),
            dom: wire(&self.domain),
        }
    }

    fn json(&self, more: Value) -> Value {
        let named = super::merged(json!({ "checkpoint": self.name }), more);
        with_identity(&self.domain, named)
    }

    async fn xml(&self, flags: DomainCheckpointXmlFlags) -> Result<String, Error> {
        let call = remote::DomainCheckpointGetXmlDescArgs {
            checkpoint: self.wire(),
            flags: flags.bits(),
        };
        let connection = self.domain.connection();
        let reply = connection
            .call::<remote::DomainCheckpointGetXmlDesc>(call)
            .await?;
        Ok(reply.decode()?.xml.to_string_lossy().into_owned())
    }

    /// The name of the checkpoint that this one comes from.
    async fn parent(&self) -> Result<Option<String>, Error> {
        let call = remote::DomainCheckpointGetParentArgs {
            checkpoint: self.wire(),
            flags: 0,
        };
        let connection = self.domain.connection();
        match connection
            .call::<remote::DomainCheckpointGetParent>(call)
            .await
        {
            Ok(reply) => Ok(Some(
                reply.decode()?.parent.name.to_string_lossy().into_owned(),
            )),
            Err(error) if error.has_code(ErrorCode::NO_DOMAIN_CHECKPOINT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn children(&self, flags: DomainCheckpointListFlags) -> Result<Vec<Self>, Error> {
        let call = remote::DomainCheckpointListAllChildrenArgs {
            checkpoint: self.wire(),
            need_results: 1,
            flags: flags.bits(),
        };
        let connection = self.domain.connection();
        let reply = connection
            .call::<remote::DomainCheckpointListAllChildren>(call)
            .await?;
        let children = reply.decode()?.checkpoints;
        Ok(children
            .iter()
            .map(|child| Self::received(&self.domain, child))
            .collect())
    }
}

pub(super) async fn info(
    connection: &Connection,
    args: &CheckpointName,
) -> Result<Report, Failure> {
    let checkpoint = Checkpoint::find(connection, &args.target.domain, args.name()).await?;
    let parent = checkpoint.parent().await?;
    let children = checkpoint.children(DomainCheckpointListFlags::empty());
    let children = children.await?.len();
    let descendants = checkpoint.children(DomainCheckpointListFlags::DESCENDANTS);
    let descendants = descendants.await?.len();
    let mut lines = Lines::default();
    lines.add("Name:", &checkpoint.name);
    lines.add("Domain:", checkpoint.domain.name());
    lines.add("Parent:", parent.as_deref().unwrap_or("-"));
    lines.add("Children:", &children.to_string());
    lines.add("Descendants:", &descendants.to_string());
    let fields = json!({ "parent": parent, "children": children, "descendants": descendants });
    Ok(Report::data(checkpoint.json(fields), lines.text()))
}

pub(super) async fn dump(
    connection: &Connection,
    args: &CheckpointDumpxml,
) -> Result<Report, Failure> {
    let name = &args.checkpoint;
    let checkpoint = Checkpoint::find(connection, &name.target.domain, name.name()).await?;
    let mut flags = DomainCheckpointXmlFlags::empty();
    flags.set(DomainCheckpointXmlFlags::SECURE, args.security_info);
    flags.set(DomainCheckpointXmlFlags::NO_DOMAIN, args.no_domain);
    flags.set(DomainCheckpointXmlFlags::SIZE, args.size);
    let xml = checkpoint.xml(flags).await?;
    Ok(Report::document(
        checkpoint.json(json!({ "xml": xml })),
        xml,
    ))
}

pub(super) async fn parent(
    connection: &Connection,
    args: &CheckpointName,
) -> Result<Report, Failure> {
    let checkpoint = Checkpoint::find(connection, &args.target.domain, args.name()).await?;
    let Some(parent) = checkpoint.parent().await? else {
        let message = format!("checkpoint '{}' has no parent", checkpoint.name);
        return Err(Failure::Absent(message));
    };
    Ok(Report::data(
        checkpoint.json(json!({ "parent": parent })),
        parent,
    ))
}

pub(super) async fn delete(
    connection: &Connection,
    args: &CheckpointDelete,
) -> Result<Report, Failure> {
    let name = &args.checkpoint;
    let checkpoint = Checkpoint::find(connection, &name.target.domain, name.name()).await?;
    let name = &checkpoint.name;
    let mut flags = DomainCheckpointDeleteFlags::empty();
    flags.set(DomainCheckpointDeleteFlags::CHILDREN, args.children);
    flags.set(
        DomainCheckpointDeleteFlags::CHILDREN_ONLY,
        args.children_only,
    );
    flags.set(DomainCheckpointDeleteFlags::METADATA_ONLY, args.metadata);
    let call = remote::DomainCheckpointDeleteArgs {
        checkpoint: checkpoint.wire(),
        flags: flags.bits(),
    };
    connection
        .call::<remote::DomainCheckpointDelete>(call)
        .await
        .map_err(Failure::doing(format!(
            "failed to delete checkpoint {name}"
        )))?;
    let what = if args.children_only {
        "children deleted"
    } else {
        "deleted"
    };
    let text = format!("Domain checkpoint {name} {what}");
    Ok(Report::message(checkpoint.json(json!({})), text))
}
