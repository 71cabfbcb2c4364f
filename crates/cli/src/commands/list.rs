//! `list`.

use serde_json::{Value, json};
use virtwire::constants::ErrorCode;
use virtwire::constants::{ConnectListAllDomainsFlags as Flags, DomainMetadataType, DomainState};
use virtwire::{Connection, Domain, DomainStatus, remote};

use super::{identity, wire, with_identity};
use crate::args::List;
use crate::failure::Failure;
use crate::output::{Report, Table};
use crate::state::{reason_name, state_name, state_text};

/// A line of the list.
struct Line {
    domain: Domain,
    status: DomainStatus,
    saved: bool,
    title: Option<String>,
}

pub(super) async fn run(connection: &Connection, list: &List) -> Result<Report, Failure> {
    let flags = flags(list);
    if list.uuid || list.name || list.id {
        let mut domains = connection.list_domains(flags).await?;
        domains.sort_by(virsh_order);
        return Ok(Report::data(
            domains.iter().map(identity).collect(),
            words(list, &domains),
        ));
    }
    let listed = connection.list_domains_with_status(flags).await?;
    let mut lines = Vec::with_capacity(listed.len());
    for item in listed {
        // Without a status it went away meanwhile.
        let Some(status) = item.status else { continue };
        let domain = item.domain;
        let saved = list.managed_save
            && status.state == DomainState::SHUTOFF
            && has_managed_save(connection, &domain).await?;
        let title = if list.title {
            Some(title(connection, &domain).await?)
        } else {
            None
        };
        lines.push(Line {
            domain,
            status,
            saved,
            title,
        });
    }
    lines.sort_by(|a, b| virsh_order(&a.domain, &b.domain));
    Ok(Report::table(
        lines.iter().map(|line| line_json(line, list)).collect(),
        table(list, &lines),
    ))
}

fn flags(list: &List) -> Flags {
    let mut flags = Flags::ACTIVE;
    if list.inactive || list.filters.state_shutoff {
        flags = Flags::INACTIVE;
    }
    if list.all {
        flags = Flags::ACTIVE | Flags::INACTIVE;
    }
    let filters = &list.filters;
    for (wanted, flag) in [
        (filters.transient, Flags::TRANSIENT),
        (filters.persistent, Flags::PERSISTENT),
        (filters.with_snapshot, Flags::HAS_SNAPSHOT),
        (filters.without_snapshot, Flags::NO_SNAPSHOT),
        (filters.with_checkpoint, Flags::HAS_CHECKPOINT),
        (filters.without_checkpoint, Flags::NO_CHECKPOINT),
        (filters.state_running, Flags::RUNNING),
        (filters.state_paused, Flags::PAUSED),
        (filters.state_shutoff, Flags::SHUTOFF),
        (filters.state_other, Flags::OTHER),
        (filters.autostart, Flags::AUTOSTART),
        (filters.no_autostart, Flags::NO_AUTOSTART),
        (filters.with_managed_save, Flags::MANAGEDSAVE),
        (filters.without_managed_save, Flags::NO_MANAGEDSAVE),
    ] {
        flags.set(flag, flags.contains(flag) || wanted);
    }
    flags
}

/// Active domains by id, then inactive ones by name without regard to case.
fn virsh_order(a: &Domain, b: &Domain) -> std::cmp::Ordering {
    let key = |domain: &Domain| {
        (
            domain.id().is_none(),
            domain.id(),
            domain.name().to_lowercase(),
        )
    };
    key(a).cmp(&key(b))
}

async fn has_managed_save(connection: &Connection, domain: &Domain) -> Result<bool, Failure> {
    let args = remote::DomainHasManagedSaveImageArgs {
        dom: wire(domain),
        flags: 0,
    };
    let reply = connection
        .call::<remote::DomainHasManagedSaveImage>(args)
        .await?;
    Ok(reply.decode()?.result > 0)
}

async fn title(connection: &Connection, domain: &Domain) -> Result<String, Failure> {
    let args = remote::DomainGetMetadataArgs {
        dom: wire(domain),
        type_: DomainMetadataType::TITLE.0,
        uri: None,
        flags: 0,
    };
    match connection.call::<remote::DomainGetMetadata>(args).await {
        Ok(reply) => Ok(reply.decode()?.metadata.to_string_lossy().into_owned()),
        Err(error) if error.has_code(ErrorCode::NO_DOMAIN_METADATA) || error.is_unsupported() => {
            Ok(String::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// Lines of UUID, id and name, as far as they are wanted.
fn words(list: &List, domains: &[Domain]) -> String {
    let only_ids = list.id && !list.uuid && !list.name;
    let mut text = String::new();
    for domain in domains
        .iter()
        .filter(|domain| !only_ids || domain.id().is_some())
    {
        let mut words = Vec::new();
        if list.uuid {
            words.push(domain.uuid().to_string());
        }
        if list.id {
            words.push(id_text(domain));
        }
        if list.name {
            words.push(crate::escape::escape(domain.name()).into_owned());
        }
        text.push_str(&words.join(" "));
        text.push('\n');
    }
    text
}

fn table(list: &List, lines: &[Line]) -> Table {
    let heading: &[&str] = if list.title {
        &["Id", "Name", "State", "Title"]
    } else {
        &["Id", "Name", "State"]
    };
    let mut table = Table::new(heading);
    for line in lines {
        let id = id_text(&line.domain);
        let state = if line.saved {
            "saved"
        } else {
            state_text(line.status.state)
        };
        let mut cells = vec![id.as_str(), line.domain.name(), state];
        cells.extend(line.title.as_deref());
        table.row(&cells);
    }
    table
}

fn id_text(domain: &Domain) -> String {
    domain
        .id()
        .map_or_else(|| "-".to_owned(), |id| id.to_string())
}

fn line_json(line: &Line, list: &List) -> Value {
    let mut fields = json!({
        "state": state_name(line.status.state),
        "reason": reason_name(&line.status),
    });
    if let Some(fields) = fields.as_object_mut() {
        if list.managed_save {
            fields.insert("managed_save".to_owned(), line.saved.into());
        }
        if let Some(title) = &line.title {
            fields.insert("title".to_owned(), title.as_str().into());
        }
    }
    with_identity(&line.domain, fields)
}
