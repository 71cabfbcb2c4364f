//! A client that says exactly what a test wants it to say.

pub(crate) use virtwire_tests::raw::{Raw, decode, facts};
