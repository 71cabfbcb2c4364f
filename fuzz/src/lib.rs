//! What the fuzz targets check: each module has the input of one target and the property that
//! must hold for it.
//!
//! The targets in `fuzz_targets/` only hand the input over, so that the same properties run under
//! libFuzzer and, for the seeds in `corpus/`, under `cargo test`.

pub mod blob;
pub mod domain_xml;
#[cfg(fuzzing)]
pub mod event;
pub mod frame;
pub mod message;
pub mod session;
pub mod simulator;
pub mod typed_params;
pub mod uri;
pub mod x_source;

mod budget;
mod dice;
#[cfg(test)]
mod seeds;
