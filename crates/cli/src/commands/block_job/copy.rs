//! `blockcopy`.

use serde_json::json;
use virtwire::{Connection, CopyDestination, Disk, Domain, JobStart};

use super::limit;
use super::start::start;
use super::wait::{Goal, Terms};
use super::words::COPY;
use crate::args::Blockcopy;
use crate::commands::described::escaped;
use crate::commands::xml::read;
use crate::commands::{find, with_identity};
use crate::failure::Failure;
use crate::output::{Output, Report};

/// Starts a copy of each disk and, where asked to, waits for them.
pub(crate) async fn copy(
    connection: &Connection,
    args: &Blockcopy,
    output: Output,
) -> Result<Report, Failure> {
    let places = places(args)?;
    let domain = find(connection, &args.target.domain).await?;
    if args.print_xml {
        return print_xml(&domain, &places, args);
    }
    let jobs: Result<Vec<_>, _> = places
        .iter()
        .map(|(path, place)| job(&domain.disk(*path), place, args))
        .collect();
    start(jobs?, &COPY, terms(args), output).await
}

/// Where a copy goes.
enum Place<'a> {
    Path(&'a str),
    /// The XML of a `<disk>`.
    Xml(String),
}

/// Each disk and where its copy goes.
fn places(args: &Blockcopy) -> Result<Vec<(&str, Place<'_>)>, Failure> {
    let words = args.words.as_slice();
    let given = match (&args.dest, &args.xml) {
        (Some(path), _) => Some(Place::Path(path)),
        (_, Some(file)) => Some(Place::Xml(read(file)?)),
        (None, None) => None,
    };
    match (given, words) {
        (Some(place), [disk]) => Ok(vec![(disk, place)]),
        (Some(_), _) => Err(Failure::Usage(
            "--dest and --xml say where the copy of one disk goes".to_owned(),
        )),
        (None, [_]) => Err(Failure::Usage("need either --dest or --xml".to_owned())),
        (None, words) if words.len() % 2 == 0 => Ok(words
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [disk, path] => Some((disk.as_str(), Place::Path(path))),
                _ => None,
            })
            .collect()),
        (None, _) => Err(Failure::Usage(
            "each disk needs the place where its copy goes".to_owned(),
        )),
    }
}

fn format(args: &Blockcopy) -> Option<&str> {
    if args.raw {
        return Some("raw");
    }
    args.format.as_deref()
}

fn job(disk: &Disk, place: &Place<'_>, args: &Blockcopy) -> Result<JobStart, Failure> {
    let mut destination = match place {
        Place::Path(path) if args.blockdev => CopyDestination::block(*path),
        Place::Path(path) => CopyDestination::file(*path),
        Place::Xml(xml) => CopyDestination::xml(xml),
    };
    if let Some(format) = format(args) {
        destination = destination.format(format);
    }
    let mut copy = disk.copy(destination).bandwidth(limit(&args.limit)?);
    if args.shallow {
        copy = copy.shallow();
    }
    if args.reuse_external {
        copy = copy.reuse_external();
    }
    if args.transient_job {
        copy = copy.transient_job();
    }
    if args.synchronous_writes {
        copy = copy.synchronous_writes();
    }
    // As with virsh, 0 leaves the choice to the hypervisor.
    if let Some(bytes) = args.granularity.filter(|&bytes| bytes > 0) {
        copy = copy.granularity(bytes);
    }
    if let Some(bytes) = args.buf_size.filter(|&bytes| bytes > 0) {
        copy = copy.buffer_size(bytes);
    }
    Ok(copy.into())
}

fn print_xml(
    domain: &Domain,
    places: &[(&str, Place<'_>)],
    args: &Blockcopy,
) -> Result<Report, Failure> {
    let xml: String = places.iter().map(|(_, place)| xml(place, args)).collect();
    let json = with_identity(domain, json!({ "xml": xml }));
    Ok(Report::document(json, xml))
}

/// As virsh writes it.
fn xml(place: &Place<'_>, args: &Blockcopy) -> String {
    let path = match place {
        Place::Xml(xml) => return xml.clone(),
        Place::Path(path) => escaped(path),
    };
    let (kind, attribute) = if args.blockdev {
        ("block", "dev")
    } else {
        ("file", "file")
    };
    let driver = format(args).map_or_else(String::new, |format| {
        format!("  <driver type='{}'/>\n", escaped(format))
    });
    format!("<disk type='{kind}'>\n  <source {attribute}='{path}'/>\n{driver}</disk>\n")
}

fn terms(args: &Blockcopy) -> Option<Terms> {
    let goal = if args.pivot {
        Goal::Pivoted {
            quiesce: args.quiesce,
        }
    } else if args.finish {
        Goal::Finished
    } else if args.wait || args.timeout.is_some() {
        Goal::Ready
    } else {
        return None;
    };
    Some(Terms {
        goal,
        verbose: args.verbose,
        timeout: args.timeout,
        asynchronous: args.asynchronous,
    })
}
