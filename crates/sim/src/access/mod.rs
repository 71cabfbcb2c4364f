//! What may be called by whom.

use std::collections::HashMap;
use std::sync::LazyLock;

use virtwire_protocol::constants::{ErrorCode, ErrorDomain};
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::schema::ProcedureSchema;
use virtwire_protocol::{Program, RemoteError};

use crate::refusal::from_domain;

/// The procedure or event of a number.
pub(crate) fn find(program: Program, number: i32) -> Option<&'static ProcedureSchema> {
    static BY_NUMBER: LazyLock<HashMap<(Program, i32), &'static ProcedureSchema>> =
        LazyLock::new(|| {
            PROCEDURES
                .iter()
                .map(|one| ((one.id, one.number), one))
                .collect()
        });
    BY_NUMBER.get(&(program, number)).copied()
}

/// Whether a procedure may be called on a connection that has not opened a driver.
pub(crate) fn before_open(schema: &ProcedureSchema) -> bool {
    schema.name.starts_with("AUTH_")
        || matches!(
            schema.name,
            "CONNECT_OPEN" | "CONNECT_CLOSE" | "CONNECT_SUPPORTS_FEATURE"
        )
}

/// Whether a procedure may be called on a connection that may only read.
///
/// The functions of libvirt's interface decide that, and almost all decide as the permissions of
/// the protocol suggest. Those that look at their arguments as well are decided by their handlers.
pub(crate) fn for_readers(schema: &ProcedureSchema) -> bool {
    match schema.name {
        // These ask for little, and are refused.
        "DOMAIN_GET_LAUNCH_SECURITY_INFO"
        | "DOMAIN_SET_SCHEDULER_PARAMETERS"
        | "NODE_GET_SEV_INFO" => return false,
        // These ask for more, and are not.
        "CONNECT_SET_IDENTITY"
        | "DOMAIN_DEL_THROTTLE_GROUP"
        | "DOMAIN_MIGRATE_GET_COMPRESSION_CACHE"
        | "DOMAIN_MIGRATE_GET_MAX_DOWNTIME" => return true,
        _ => {}
    }
    // A third part names a flag: the permission is needed only with it.
    let needed = schema
        .access
        .iter()
        .filter(|access| access.matches(':').count() < 2);
    let mut permissions = needed.filter_map(|access| access.split(':').nth(1));
    permissions.all(|permission| {
        permission.starts_with("search") || matches!(permission, "getattr" | "read" | "none")
    })
}

/// The part of libvirt that speaks of a procedure's object.
pub(crate) fn error_domain(schema: &ProcedureSchema) -> ErrorDomain {
    const PARTS: &[(&str, ErrorDomain)] = &[
        ("DOMAIN_SNAPSHOT", ErrorDomain::DOMAIN_SNAPSHOT),
        ("DOMAIN_CHECKPOINT", ErrorDomain::DOMAIN_CHECKPOINT),
        ("DOMAIN", ErrorDomain::DOMAIN),
        ("NETWORK", ErrorDomain::NETWORK),
        ("STORAGE", ErrorDomain::STORAGE),
        ("INTERFACE", ErrorDomain::INTERFACE),
        ("SECRET", ErrorDomain::SECRET),
        ("NWFILTER", ErrorDomain::NWFILTER),
        ("NODE_DEVICE", ErrorDomain::NODEDEV),
    ];
    match schema.program {
        "remote" => {
            let found = PARTS.iter().find(|(part, _)| schema.name.contains(part));
            found.map_or(ErrorDomain::DOMAIN, |(_, domain)| *domain)
        }
        _ => ErrorDomain::NONE,
    }
}

/// What a client is told who calls a procedure that the driver does not have.
pub(crate) fn unsupported(schema: &ProcedureSchema) -> RemoteError {
    let function = function_name(schema);
    from_domain(error_domain(schema), ErrorCode::NO_SUPPORT, &function)
}

/// What a reader is told who calls a procedure that he may not call.
pub(crate) fn denied(schema: &ProcedureSchema) -> RemoteError {
    let what = format!("read only access prevents {}", function_name(schema));
    from_domain(error_domain(schema), ErrorCode::OPERATION_DENIED, &what)
}

/// The function of libvirt's C interface for a procedure, as its error messages name it.
pub(crate) fn function_name(schema: &ProcedureSchema) -> String {
    let mut name = String::from("vir");
    for word in schema.name.split('_') {
        name.push_str(&spelled(word));
        match (schema.program, word) {
            ("qemu", "DOMAIN") => name.push_str("Qemu"),
            ("lxc", "DOMAIN") => name.push_str("Lxc"),
            _ => {}
        }
    }
    name
}

/// A word of a procedure's name, as C writes it.
fn spelled(word: &str) -> String {
    match word {
        "CPU" | "DHCP" | "FD" | "FS" | "ID" | "IP" | "MAC" | "NMI" | "OS" | "PM" | "SCSI"
        | "SEV" | "SSH" | "URI" | "UUID" | "WWN" | "XML" => word.to_owned(),
        "FSFREEZE" => String::from("FSFreeze"),
        "FSINFO" => String::from("FSInfo"),
        "FSTHAW" => String::from("FSThaw"),
        "FSTRIM" => String::from("FSTrim"),
        "IOTHREAD" => String::from("IOThread"),
        "NWFILTER" => String::from("NWFilter"),
        "NWFILTERS" => String::from("NWFilters"),
        _ => {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            format!("{first}{}", rest.to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::Release;
    use virtwire_protocol::schema::ProcedureKind;

    use super::*;

    /// What readers are refused by libvirt 11.3.0, whatever the arguments.
    const DENIED: &str = include_str!("denied.tsv");

    #[test]
    fn readers_may_call_what_libvirt_lets_them() {
        let calls = PROCEDURES.iter().filter(|one| {
            one.kind == ProcedureKind::Call
                && one.program != "admin"
                && one.since <= Release::new(11, 3, 0)
        });
        let denied: Vec<(&str, &str)> = DENIED
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .collect();
        assert!(denied.len() > 200);
        for one in calls {
            let expected = !denied.contains(&(one.program, one.name));
            assert_eq!(for_readers(one), expected, "{} {}", one.program, one.name);
        }
    }

    #[test]
    fn functions_are_spelled_as_in_c() {
        let name = |wanted: &str| {
            let found = PROCEDURES.iter().find(|one| one.name == wanted);
            function_name(found.unwrap())
        };
        for (procedure, function) in [
            ("DOMAIN_CREATE_XML", "virDomainCreateXML"),
            ("DOMAIN_MONITOR_COMMAND", "virDomainQemuMonitorCommand"),
            ("CONNECT_LIST_ALL_NWFILTERS", "virConnectListAllNWFilters"),
            ("DOMAIN_SET_NUMA_PARAMETERS", "virDomainSetNumaParameters"),
            (
                "DOMAIN_PM_SUSPEND_FOR_DURATION",
                "virDomainPMSuspendForDuration",
            ),
            ("DOMAIN_ADD_IOTHREAD", "virDomainAddIOThread"),
        ] {
            assert_eq!(name(procedure), function);
        }
    }
}
