//! A byte stream is cut into the same packets however its bytes arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::frame;

fuzz_target!(|input: frame::Input<'_>| frame::check(&input));
