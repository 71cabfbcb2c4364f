//! Whatever a client sends, a server answers each call once and keeps its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::session::server;

fuzz_target!(|input: server::Input<'_>| server::check(&input));
