//! `version`, `uri`, `domstate` and `dominfo`.

use serde_json::{Value, json};
use virtwire::constants::ErrorCode;
use virtwire::{Connection, Domain, Error, remote};

use super::{find, wire, with_identity};
use crate::args::Domstate;
use crate::escape::escape;
use crate::failure::Failure;
use crate::output::{Lines, Report};
use crate::state::{reason_name, reason_text, state_name, state_text};

pub(super) async fn version(connection: &Connection) -> Result<Report, Failure> {
    let hypervisor = connection.hypervisor().await?;
    let library = connection.library_version().await?;
    // A driver may have nothing to run guests with.
    let running = match connection.hypervisor_version().await {
        Ok(version) => Some(version),
        Err(error) if error.is_unsupported() => None,
        Err(error) => return Err(error.into()),
    };
    let own = env!("CARGO_PKG_VERSION");
    let name = escape(&hypervisor);
    let shown = running.map_or_else(|| "(unknown)".to_owned(), |version| version.to_string());
    let text = format!(
        "virtwire: {own}\nUsing API: {name} {library}\nRunning hypervisor: {name} {shown}\n\
         Running against daemon: {library}\n"
    );
    let json = json!({
        "virtwire": own,
        "hypervisor": hypervisor,
        "hypervisor_version": running.map(|version| version.to_string()),
        "daemon_version": library.to_string(),
    });
    Ok(Report::data(json, text))
}

pub(super) async fn uri(connection: &Connection) -> Result<Report, Failure> {
    let uri = connection.uri().await?;
    Ok(Report::data(json!({ "uri": uri }), uri))
}

pub(super) async fn state(connection: &Connection, args: &Domstate) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let status = domain.status().await?;
    let mut text = state_text(status.state).to_owned();
    if args.reason {
        text = format!("{text} ({})", reason_text(&status));
    }
    let fields = json!({ "state": state_name(status.state), "reason": reason_name(&status) });
    Ok(Report::data(with_identity(&domain, fields), text))
}

/// `dominfo`.
pub(super) async fn figures(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    let os_type = os_type(connection, &domain).await?;
    let info = domain.info().await?;
    let persistent = domain.is_persistent().await?;
    let autostart = unless_unsupported(autostart(connection, &domain).await)?;
    let managed_save = unless_unsupported(managed_save(connection, &domain).await)?;
    let security = unless_unsupported(security(connection, &domain).await)?;
    let messages = unless_unsupported(messages(connection, &domain).await)?.unwrap_or_default();
    let security = security.filter(|security| !security.model.is_empty());

    let mut lines = Lines::default();
    lines.add(
        "Id:",
        &domain
            .id()
            .map_or_else(|| "-".to_owned(), |id| id.to_string()),
    );
    lines.add("Name:", domain.name());
    lines.add("UUID:", &domain.uuid().to_string());
    lines.add("OS Type:", &os_type);
    lines.add("State:", state_text(info.state));
    lines.add("CPU(s):", &info.vcpus.to_string());
    if !info.cpu_time.is_zero() {
        lines.add("CPU time:", &format!("{:.1}s", info.cpu_time.as_secs_f64()));
    }
    lines.add("Max memory:", &memory_text(info.max_memory_kib));
    lines.add("Used memory:", &format!("{} KiB", info.memory_kib));
    lines.add("Persistent:", yes(persistent));
    if let Some(autostart) = autostart {
        lines.add("Autostart:", if autostart { "enable" } else { "disable" });
    }
    lines.add("Managed save:", managed_save.map_or("unknown", yes));
    if let Some(security) = &security {
        security.add_to(&mut lines);
    }
    for (position, message) in messages.iter().enumerate() {
        lines.add(if position == 0 { "Messages:" } else { "" }, message);
    }
    let fields = json!({
        "os_type": os_type,
        "state": state_name(info.state),
        "vcpus": info.vcpus,
        "cpu_time_ns": u64::try_from(info.cpu_time.as_nanos()).unwrap_or(u64::MAX),
        "max_memory_kib": info.max_memory_kib,
        "memory_kib": info.memory_kib,
        "persistent": persistent,
        "autostart": autostart,
        "managed_save": managed_save,
        "security": security.as_ref().map(Security::json),
        "messages": messages,
    });
    Ok(Report::data(with_identity(&domain, fields), lines.text()))
}

fn memory_text(kib: u64) -> String {
    if kib == u64::from(u32::MAX) {
        "no limit".to_owned()
    } else {
        format!("{kib} KiB")
    }
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Drivers lack some of what `dominfo` asks for, which is no reason to say nothing.
fn unless_unsupported<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_unsupported() || error.has_code(ErrorCode::OPERATION_INVALID) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn os_type(connection: &Connection, domain: &Domain) -> Result<String, Error> {
    let args = remote::DomainGetOsTypeArgs { dom: wire(domain) };
    let reply = connection.call::<remote::DomainGetOsType>(args).await?;
    Ok(reply.decode()?.type_.to_string_lossy().into_owned())
}

async fn autostart(connection: &Connection, domain: &Domain) -> Result<bool, Error> {
    let args = remote::DomainGetAutostartArgs { dom: wire(domain) };
    let reply = connection.call::<remote::DomainGetAutostart>(args).await?;
    Ok(reply.decode()?.autostart != 0)
}

async fn managed_save(connection: &Connection, domain: &Domain) -> Result<bool, Error> {
    let args = remote::DomainHasManagedSaveImageArgs {
        dom: wire(domain),
        flags: 0,
    };
    let reply = connection
        .call::<remote::DomainHasManagedSaveImage>(args)
        .await?;
    Ok(reply.decode()?.result > 0)
}

async fn messages(connection: &Connection, domain: &Domain) -> Result<Vec<String>, Error> {
    let args = remote::DomainGetMessagesArgs {
        dom: wire(domain),
        flags: 0,
    };
    let reply = connection.call::<remote::DomainGetMessages>(args).await?;
    let messages = reply.decode()?.msgs;
    Ok(messages
        .iter()
        .map(|message| message.to_string_lossy().into_owned())
        .collect())
}

struct Security {
    model: String,
    doi: String,
    label: Option<String>,
    enforcing: bool,
}

async fn security(connection: &Connection, domain: &Domain) -> Result<Security, Error> {
    let reply = connection.call::<remote::NodeGetSecurityModel>(()).await?;
    let model = reply.decode()?;
    let (name, doi) = (c_text(&model.model), c_text(&model.doi));
    if name.is_empty() {
        return Ok(Security {
            model: name,
            doi,
            label: None,
            enforcing: false,
        });
    }
    let args = remote::DomainGetSecurityLabelArgs { dom: wire(domain) };
    let reply = connection
        .call::<remote::DomainGetSecurityLabel>(args)
        .await?;
    let label = reply.decode()?;
    let text = Some(c_text(&label.label)).filter(|text| !text.is_empty());
    Ok(Security {
        model: name,
        doi,
        label: text,
        enforcing: label.enforcing != 0,
    })
}

impl Security {
    fn add_to(&self, lines: &mut Lines) {
        lines.add("Security model:", &self.model);
        lines.add("Security DOI:", &self.doi);
        if let Some(label) = &self.label {
            let mode = if self.enforcing {
                "enforcing"
            } else {
                "permissive"
            };
            lines.add("Security label:", &format!("{label} ({mode})"));
        }
    }

    fn json(&self) -> Value {
        json!({
            "model": self.model,
            "doi": self.doi,
            "label": self.label,
            "enforcing": self.enforcing,
        })
    }
}

/// A C string in a character array: what stands before the first zero byte.
fn c_text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
