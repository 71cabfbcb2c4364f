//! Every message is refused or survives decoding and encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::message;

fuzz_target!(|input: message::Input<'_>| message::check(&input));
