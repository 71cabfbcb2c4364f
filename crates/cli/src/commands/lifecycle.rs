//! `start`, `shutdown`, `destroy`, `suspend`, `resume` and `undefine`.

use virtwire::constants::{
    DomainCreateFlags, DomainDestroyFlags, DomainShutdownFlags, DomainUndefineFlags,
};
use virtwire::{Connection, Domain};

use super::{find, find_defined, identity};
use crate::args::{Destroy, Shutdown, ShutdownMode, Start, Undefine};
use crate::failure::Failure;
use crate::output::Report;

pub(super) async fn start(connection: &Connection, args: &Start) -> Result<Report, Failure> {
    let domain = find_defined(connection, &args.domain).await?;
    let mut flags = DomainCreateFlags::empty();
    flags.set(DomainCreateFlags::PAUSED, args.paused);
    flags.set(DomainCreateFlags::AUTODESTROY, args.autodestroy);
    flags.set(DomainCreateFlags::BYPASS_CACHE, args.bypass_cache);
    flags.set(DomainCreateFlags::FORCE_BOOT, args.force_boot);
    flags.set(DomainCreateFlags::RESET_NVRAM, args.reset_nvram);
    let started = domain
        .create(flags)
        .await
        .map_err(failed("start", &domain))?;
    Ok(report(&started, "started"))
}

pub(super) async fn shutdown(connection: &Connection, args: &Shutdown) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let flag = |mode: &ShutdownMode| match mode {
        ShutdownMode::Acpi => DomainShutdownFlags::ACPI_POWER_BTN,
        ShutdownMode::Agent => DomainShutdownFlags::GUEST_AGENT,
        ShutdownMode::Initctl => DomainShutdownFlags::INITCTL,
        ShutdownMode::Signal => DomainShutdownFlags::SIGNAL,
        ShutdownMode::Paravirt => DomainShutdownFlags::PARAVIRT,
    };
    let flags = args.mode.iter().map(flag).collect();
    domain
        .shutdown(flags)
        .await
        .map_err(failed("shut down", &domain))?;
    Ok(report(&domain, "is being shutdown"))
}

pub(super) async fn destroy(connection: &Connection, args: &Destroy) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let mut flags = DomainDestroyFlags::empty();
    flags.set(DomainDestroyFlags::GRACEFUL, args.graceful);
    flags.set(DomainDestroyFlags::REMOVE_LOGS, args.remove_logs);
    domain
        .destroy(flags)
        .await
        .map_err(failed("destroy", &domain))?;
    Ok(report(&domain, "destroyed"))
}

pub(super) async fn suspend(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    domain.suspend().await.map_err(failed("suspend", &domain))?;
    Ok(report(&domain, "suspended"))
}

pub(super) async fn resume(connection: &Connection, name: &str) -> Result<Report, Failure> {
    let domain = find(connection, name).await?;
    domain.resume().await.map_err(failed("resume", &domain))?;
    Ok(report(&domain, "resumed"))
}

pub(super) async fn undefine(connection: &Connection, args: &Undefine) -> Result<Report, Failure> {
    let domain = find(connection, &args.target.domain).await?;
    let mut flags = DomainUndefineFlags::empty();
    flags.set(DomainUndefineFlags::MANAGED_SAVE, args.managed_save);
    flags.set(
        DomainUndefineFlags::SNAPSHOTS_METADATA,
        args.snapshots_metadata,
    );
    flags.set(
        DomainUndefineFlags::CHECKPOINTS_METADATA,
        args.checkpoints_metadata,
    );
    flags.set(DomainUndefineFlags::NVRAM, args.nvram);
    flags.set(DomainUndefineFlags::KEEP_NVRAM, args.keep_nvram);
    flags.set(DomainUndefineFlags::TPM, args.tpm);
    flags.set(DomainUndefineFlags::KEEP_TPM, args.keep_tpm);
    domain
        .undefine(flags)
        .await
        .map_err(failed("undefine", &domain))?;
    Ok(report(&domain, "has been undefined"))
}

fn failed(verb: &str, domain: &Domain) -> impl FnOnce(virtwire::Error) -> Failure + use<> {
    Failure::doing(format!("failed to {verb} domain '{}'", domain.name()))
}

fn report(domain: &Domain, what: &str) -> Report {
    Report::message(
        identity(domain),
        format!("Domain '{}' {what}", domain.name()),
    )
}
