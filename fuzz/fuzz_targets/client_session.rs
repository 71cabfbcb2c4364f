//! Whatever a daemon does, every call and stream of a client ends exactly once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::session::client;

fuzz_target!(|input: client::Input<'_>| client::check(&input));
