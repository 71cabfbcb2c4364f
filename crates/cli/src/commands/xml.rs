//! `dumpxml`, `define` and `create`.

use std::io::{self, Read};
use std::path::Path;

use serde_json::json;
use virtwire::Connection;
use virtwire::constants::{DomainCreateFlags, DomainDefineFlags, DomainXmlFlags};

use super::{find, identity, with_identity};
use crate::args::{Create, Define, Dumpxml};
use crate::failure::Failure;
use crate::output::Report;

pub(super) async fn dump(connection: &Connection, args: &Dumpxml) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let mut flags = DomainXmlFlags::empty();
    flags.set(DomainXmlFlags::INACTIVE, args.inactive);
    flags.set(DomainXmlFlags::SECURE, args.security_info);
    flags.set(DomainXmlFlags::UPDATE_CPU, args.update_cpu);
    flags.set(DomainXmlFlags::MIGRATABLE, args.migratable);
    let xml = domain.xml(flags).await?;
    Ok(Report::document(
        with_identity(&domain, json!({ "xml": xml })),
        xml,
    ))
}

pub(super) async fn define(connection: &Connection, args: &Define) -> Result<Report, Failure> {
    let xml = read(&args.file)?;
    let mut flags = DomainDefineFlags::empty();
    flags.set(DomainDefineFlags::VALIDATE, args.validate);
    let file = args.file.display();
    let domain = connection
        .define_domain(&xml, flags)
        .await
        .map_err(Failure::doing(format!(
            "failed to define domain from {file}"
        )))?;
    let text = format!("Domain '{}' defined from {file}", domain.name());
    Ok(Report::message(identity(&domain), text))
}

pub(super) async fn create(connection: &Connection, args: &Create) -> Result<Report, Failure> {
    let xml = read(&args.file)?;
    let mut flags = DomainCreateFlags::empty();
    flags.set(DomainCreateFlags::PAUSED, args.paused);
    flags.set(DomainCreateFlags::AUTODESTROY, args.autodestroy);
    flags.set(DomainCreateFlags::VALIDATE, args.validate);
    flags.set(DomainCreateFlags::RESET_NVRAM, args.reset_nvram);
    let file = args.file.display();
    let domain = connection
        .create_domain(&xml, flags)
        .await
        .map_err(Failure::doing(format!(
            "failed to create domain from {file}"
        )))?;
    let text = format!("Domain '{}' created from {file}", domain.name());
    Ok(Report::message(identity(&domain), text))
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Failure::io(format!("cannot read {}", path.display()), error))
}
