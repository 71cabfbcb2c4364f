//! Every misdeed in every phase.

use crate::cell::check;
use crate::misdeed::{Misdeed, for_each_misdeed};
use crate::phase::Phase;

/// A module for each phase and in it a test for each misdeed.
macro_rules! matrix {
    ({$($phase:ident $Phase:ident)*} $misdeeds:tt) => {
        $(mod $phase {
            use super::*;
            matrix!(@cells $Phase $misdeeds);
        })*
    };
    (@cells $Phase:ident {$($misdeed:ident $Misdeed:ident)*}) => {
        $(#[test]
        fn $misdeed() {
            check(Phase::$Phase, Misdeed::$Misdeed);
        })*
    };
}

for_each_misdeed! { matrix! {
    connect Connect
    auth Auth
    open Open
    idle Idle
    call_pending CallPending
    subscribing Subscribing
    subscribed Subscribed
    event_stream_open EventStream
    block_job_running BlockJob
    closing Closing
} }
