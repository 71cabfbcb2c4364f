//! Whatever a client sends, the simulated daemon answers each call once and serves the others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::simulator;

fuzz_target!(|input: simulator::Input<'_>| simulator::check(&input));
