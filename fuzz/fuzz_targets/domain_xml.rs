//! Reading the disks of any XML takes bounded room and invents nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtwire_fuzz::domain_xml;

fuzz_target!(|input: &str| domain_xml::check(input));
