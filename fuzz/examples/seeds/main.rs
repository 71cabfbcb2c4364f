//! Makes the seeds of the fuzz targets: `seeds RECORDINGS CORPUS`.
//!
//! RECORDINGS has what the tests have recorded: a directory for each relay, two files
//! for each connection. `cargo xtask fuzz --record` does all of it.

mod input;
mod private;
mod recording;
mod session;
mod text;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use input::Seed;
use recording::Connection;

/// Packets beyond this length teach a fuzzer nothing that shorter ones do not.
const MAX_LEN: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [recordings, corpus] = arguments.as_slice() else {
        return Err("usage: seeds RECORDINGS CORPUS".into());
    };
    let mut seeds = text::seeds()?;
    let mut seen = BTreeSet::new();
    for connection in recording::connections(recordings)? {
        seeds.extend(of_connection(&connection, &mut seen));
    }
    let private = private::Private::of_this_machine()?;
    seeds.retain(|seed| !private.is_in(&seed.bytes));
    write(corpus, &seeds)
}

/// The seeds of one connection, but for packets of kinds that were `seen` before.
fn of_connection(connection: &Connection, seen: &mut BTreeSet<String>) -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut news = false;
    for packet in connection.packets() {
        if packet.frame.payload.len() <= MAX_LEN && seen.insert(packet.class()) {
            news = true;
            seeds.extend(session::of_packet(&packet));
        }
    }
    // A whole session is of interest when a part of it is.
    if news {
        seeds.extend(session::of_session(connection));
    }
    seeds
}

/// Writes each seed once, named after what it holds.
fn write(corpus: &Path, seeds: &[Seed]) -> Result<(), Box<dyn Error>> {
    let targets: BTreeSet<_> = seeds.iter().map(|seed| seed.target).collect();
    for target in targets {
        let directory = corpus.join(target);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let mut written = BTreeSet::new();
        let mut bytes = 0;
        for seed in seeds.iter().filter(|seed| seed.target == target) {
            if written.insert(&seed.bytes) {
                bytes += seed.bytes.len();
                fs::write(directory.join(&seed.name), &seed.bytes)?;
            }
        }
        println!("{target}: {} seeds, {bytes} bytes", written.len());
    }
    Ok(())
}
