//! What each command does.

mod backup;
mod block_job;
mod block_jobs;
mod call;
mod checkpoint;
mod described;
mod disks;
mod event;
mod filesystems;
mod info;
mod lifecycle;
mod list;
mod sizes;
mod snapshot;
mod xml;

use serde_json::{Value, json};
use virtwire::constants::ErrorCode;
use virtwire::{Connection, Disk, Domain, Error, Uuid, remote};

use crate::args::{Arguments, Command, DiskName};
use crate::failure::Failure;
use crate::output::{Output, Report};

/// Carries out the command.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<Report, Failure> {
    if let Command::Call(call) = &arguments.command {
        return call::run(arguments, call, output).await;
    }
    if let Some(report) = event::without_connection(&arguments.command)? {
        return Ok(report);
    }
    let connection = connect(arguments).await?;
    let report = run_on(&connection, &arguments.command, output).await?;
    connection.close().await;
    Ok(report)
}

async fn run_on(
    connection: &Connection,
    command: &Command,
    output: Output,
) -> Result<Report, Failure> {
    match command {
        Command::Version => info::version(connection).await,
        Command::Uri => info::uri(connection).await,
        Command::List(list) => list::run(connection, list).await,
        Command::Domstate(domstate) => info::state(connection, domstate).await,
        Command::Dominfo(target) => info::figures(connection, &target.domain).await,
        Command::Domblklist(domblklist) => disks::list(connection, domblklist).await,
        Command::Dumpxml(dumpxml) => xml::dump(connection, dumpxml).await,
        Command::Define(define) => xml::define(connection, define).await,
        Command::Create(create) => xml::create(connection, create).await,
        Command::Undefine(undefine) => lifecycle::undefine(connection, undefine).await,
        Command::Start(start) => lifecycle::start(connection, start).await,
        Command::Shutdown(shutdown) => lifecycle::shutdown(connection, shutdown).await,
        Command::Destroy(destroy) => lifecycle::destroy(connection, destroy).await,
        Command::Suspend(target) => lifecycle::suspend(connection, &target.domain).await,
        Command::Resume(target) => lifecycle::resume(connection, &target.domain).await,
        Command::Domblkinfo(info) => sizes::info(connection, info).await,
        Command::Domblkthreshold(threshold) => sizes::threshold(connection, threshold).await,
        Command::Blockresize(resize) => sizes::resize(connection, resize).await,
        Command::Blockpull(pull) => Box::pin(block_job::pull(connection, pull, output)).await,
        Command::Blockcommit(commit) => {
            Box::pin(block_job::commit(connection, commit, output)).await
        }
        Command::Blockcopy(copy) => Box::pin(block_job::copy(connection, copy, output)).await,
        Command::Blockjob(job) => block_job::manage(connection, job).await,
        Command::Blockjobs(jobs) => Box::pin(block_jobs::run(connection, jobs, output)).await,
        Command::BackupBegin(begin) => Box::pin(backup::begin(connection, begin, output)).await,
        Command::Domjobabort(target) => backup::abort(connection, &target.domain).await,
        Command::BackupDumpxml(target) => backup::dump(connection, &target.domain).await,
        Command::CheckpointCreate(create) => checkpoint::create(connection, create).await,
        Command::CheckpointCreateAs(create) => checkpoint::create_as(connection, create).await,
        Command::CheckpointList(list) => checkpoint::list(connection, list).await,
        Command::CheckpointInfo(name) => checkpoint::info(connection, name).await,
        Command::CheckpointDumpxml(dump) => checkpoint::dump(connection, dump).await,
        Command::CheckpointParent(name) => checkpoint::parent(connection, name).await,
        Command::CheckpointDelete(delete) => checkpoint::delete(connection, delete).await,
        Command::SnapshotCreateAs(create) => snapshot::create_as(connection, create).await,
        Command::Domfsfreeze(mountpoints) => filesystems::freeze(connection, mountpoints).await,
        Command::Domfsthaw(mountpoints) => filesystems::thaw(connection, mountpoints).await,
        Command::Event(event) => event::domain(connection, event, output).await,
        Command::NetEvent(event) => event::network(connection, event, output).await,
        Command::PoolEvent(event) => event::storage_pool(connection, event, output).await,
        Command::NodedevEvent(event) => event::node_device(connection, event, output).await,
        Command::SecretEvent(event) => event::secret(connection, event, output).await,
        Command::QemuMonitorEvent(event) => event::qemu_monitor(connection, event, output).await,
        // Needs no connection for some of what it does, and was dealt with above.
        Command::Call(_) => Err(Failure::Usage(
            "call is no command of a connection".to_owned(),
        )),
    }
}

async fn connect(arguments: &Arguments) -> Result<Connection, Failure> {
    let mut builder = Connection::builder().read_only(arguments.readonly);
    // As for virsh, an empty URI is none.
    if let Some(uri) = arguments.connect.as_deref().filter(|uri| !uri.is_empty()) {
        builder = builder.uri(uri);
    }
    builder
        .connect()
        .await
        .map_err(|error| match error.remote() {
            Some(_) => Failure::doing("cannot open the hypervisor connection")(error),
            None => error.into(),
        })
}

/// Finds a domain as virsh does: by id, then by UUID, then by name.
async fn find(connection: &Connection, text: &str) -> Result<Domain, Failure> {
    if let Some(id) = text.parse().ok().filter(|&id| i32::try_from(id).is_ok()) {
        if let Some(domain) = found(connection.lookup_domain_by_id(id).await, text)? {
            return Ok(domain);
        }
    }
    find_defined(connection, text).await
}

/// Finds a domain by UUID, then by name: for what concerns domains that do not run.
async fn find_defined(connection: &Connection, text: &str) -> Result<Domain, Failure> {
    // virsh takes a UUID only with its dashes, so 32 hex digits can be a name.
    if let Some(uuid) = Uuid::parse(text).ok().filter(|_| text.contains('-')) {
        if let Some(domain) = found(connection.lookup_domain_by_uuid(uuid).await, text)? {
            return Ok(domain);
        }
    }
    connection
        .lookup_domain_by_name(text)
        .await
        .map_err(Failure::doing(not_found(text)))
}

fn found(result: Result<Domain, Error>, text: &str) -> Result<Option<Domain>, Failure> {
    match result {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if error.has_code(ErrorCode::NO_DOMAIN) => Ok(None),
        Err(error) => Err(Failure::doing(not_found(text))(error)),
    }
}

fn not_found(text: &str) -> String {
    format!("failed to get domain '{text}'")
}

/// The disk that a command is about.
async fn disk(connection: &Connection, name: &DiskName) -> Result<Disk, Failure> {
    Ok(find(connection, &name.target.domain)
        .await?
        .disk(&name.path))
}

/// The domain as the protocol names it, for calls that the library has no method for.
fn wire(domain: &Domain) -> remote::NonnullDomain<'_> {
    remote::NonnullDomain {
        name: domain.name().into(),
        uuid: domain.uuid().into_bytes(),
        id: domain
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(-1),
    }
}

/// What every JSON document about a domain has: who it is.
fn identity(domain: &Domain) -> Value {
    json!({ "id": domain.id(), "name": domain.name(), "uuid": domain.uuid().to_string() })
}

/// The domain's identity with more fields behind it.
fn with_identity(domain: &Domain, more: Value) -> Value {
    merged(identity(domain), more)
}

/// The identity of a disk's domain and the disk, with more fields behind them.
fn with_disk(disk: &Disk, more: Value) -> Value {
    with_identity(disk.domain(), merged(json!({ "disk": disk.path() }), more))
}

/// One object of the fields of two.
fn merged(mut document: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (document.as_object_mut(), more) {
        fields.extend(more);
    }
    document
}
