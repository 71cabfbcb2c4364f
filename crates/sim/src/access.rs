//! What may be called by whom, by the annotations of the protocol.

use std::collections::HashMap;
use std::sync::LazyLock;

use virtwire_protocol::Program;
use virtwire_protocol::constants::ErrorDomain;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::schema::ProcedureSchema;

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
pub(crate) fn for_readers(schema: &ProcedureSchema) -> bool {
    // A third part names a flag: the permission is needed only with it.
    let needed = schema
        .access
        .iter()
        .filter(|access| access.matches(':').count() < 2);
    let permissions = needed.filter_map(|access| access.split(':').nth(1));
    permissions.into_iter().all(|permission| {
        permission.starts_with("search") || matches!(permission, "getattr" | "read" | "none")
    })
}

/// The part of libvirt that speaks of a procedure's object.
pub(crate) fn error_domain(schema: &ProcedureSchema) -> ErrorDomain {
    match schema.name.split('_').next() {
        Some("NETWORK") => ErrorDomain::NETWORK,
        Some("STORAGE") => ErrorDomain::STORAGE,
        Some("DOMAIN") => ErrorDomain::DOM,
        _ => ErrorDomain::NONE,
    }
}

/// The function of libvirt's C interface for a procedure, as its error messages name it.
pub(crate) fn function_name(schema: &ProcedureSchema) -> String {
    let mut name = String::from("vir");
    for word in schema.name.split('_') {
        match word {
            "XML" | "CPU" | "UUID" | "ID" | "URI" | "OS" | "FS" | "MAC" => name.push_str(word),
            _ => {
                name.extend(word.chars().take(1));
                name.push_str(&word.get(1..).unwrap_or_default().to_lowercase());
            }
        }
    }
    name
}
