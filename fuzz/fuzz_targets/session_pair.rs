//! Between two sessions in order, every call gets its own answer and every stream its own bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::session::pair;

fuzz_target!(|input: pair::Input| pair::check(&input));
