//! A URI that parses means the same when it is printed and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::uri;

fuzz_target!(|input: &str| uri::check(input));
