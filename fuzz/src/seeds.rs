//! The seeds, without libFuzzer: what was true of them stays true.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

use crate::session::{client, pair, server};
use crate::{domain_xml, event, frame, message, simulator, typed_params, uri, x_source};

/// Gives every seed of a target to its check, as libFuzzer does.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&corpus).expect("every target has seeds") {
        let path = entry.expect("the corpus is readable").path();
        println!("{}", path.display());
        check(&fs::read(path).expect("a seed is a file"));
        seeds += 1;
    }
    assert!(seeds > 0);
}

fn read<'a, T: Arbitrary<'a>>(seed: &'a [u8]) -> T {
    T::arbitrary_take_rest(Unstructured::new(seed)).expect("a seed is a whole input")
}

#[test]
fn every_seed_holds() {
    replay("client_session", |seed| client::check(&read(seed)));
    replay("domain_xml", |seed| domain_xml::check(read(seed)));
    replay("event", |seed| event::check(&read(seed)));
    replay("frame", |seed| frame::check(&read(seed)));
    replay("message", |seed| message::check(&read(seed)));
    replay("server_session", |seed| server::check(&read(seed)));
    replay("session_pair", |seed| pair::check(&read(seed)));
    replay("simulator", |seed| simulator::check(&read(seed)));
    replay("typed_params", typed_params::check);
    replay("uri", |seed| uri::check(read(seed)));
    replay("x_source", |seed| x_source::check(read(seed)));
}
