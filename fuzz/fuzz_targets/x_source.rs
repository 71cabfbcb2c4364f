//! A protocol file is refused with a place that exists, or becomes Rust.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::x_source;

fuzz_target!(|input: &str| x_source::check(input));
