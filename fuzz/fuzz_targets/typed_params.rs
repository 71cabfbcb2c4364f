//! Typed parameters survive, and all ways to look them up agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::typed_params;

fuzz_target!(|input: &[u8]| typed_params::check(input));
