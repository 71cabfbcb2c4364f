//! Events reach the subscriptions that they are for, in order, and no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::event;

fuzz_target!(|input: event::Input<'_>| event::check(&input));
