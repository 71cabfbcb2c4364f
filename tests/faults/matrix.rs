//! Every misdeed in every phase.

use crate::cell::check;
use crate::misdeed::Misdeed;
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

matrix! {
    {
        connect Connect
        auth Auth
        open Open
        idle Idle
        call_pending CallPending
        event_stream_open EventStream
        block_job_running BlockJob
        closing Closing
    }
    {
        end_of_file EndOfFile
        reset Reset
        half_close HalfClose
        truncated_packet TruncatedPacket
        length_below_minimum LengthBelowMinimum
        length_above_maximum LengthAboveMaximum
        garbage Garbage
        flipped_bit_in_header FlippedBitInHeader
        event_of_unknown_program EventOfUnknownProgram
        call_from_daemon CallFromDaemon
        reply_with_descriptors ReplyWithDescriptors
        flood_of_unknown_serials FloodOfUnknownSerials
        stall Stall
        reply_of_other_procedure ReplyOfOtherProcedure
        reply_of_unknown_status ReplyOfUnknownStatus
        undecodable_reply UndecodableReply
        unknown_serial UnknownSerial
        duplicate_reply DuplicateReply
        reply_of_other_program ReplyOfOtherProgram
        reordered Reordered
        one_byte_at_a_time OneByOne
        undecodable_event UndecodableEvent
        unknown_keepalive UnknownKeepalive
        flood_of_pings FloodOfPings
        flood_of_unasked_events FloodOfUnaskedEvents
        flood_of_stray_stream_packets FloodOfStrayStreamPackets
    }
}
