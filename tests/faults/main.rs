//! What becomes of the client when something goes wrong.
//!
//! # The matrix
//!
//! [`matrix`] has a test for every misdeed of a daemon in every phase of a connection, and
//! [`stream`] those of the phase in which data streams are open. A cell checks
//!
//! - the typed cause, and that everybody who waits is told the very same one, at once;
//! - whether calls are told that the daemon may have executed them;
//! - that no task is left, and that the client's end of the byte stream is closed;
//! - where the misdeed leaves the connection usable: that whoever was not wronged gets his answer,
//!   that registrations for events are given up, that all places for calls are free, and that the
//!   connection closes in order.
//!
//! [`descriptors`] counts file descriptors on real sockets, [`relay`] puts faults between real
//! clients and a real daemon. `client::session` strikes at every byte and packet of a session,
//! `client::cancel` drops every operation at every poll, `client::hostile` counts memory.
//!
//! # What went wrong elsewhere
//!
//! Defects of other clients, and where each is tested here. `client::…` are modules of
//! `tests/client`, `hypervisor::…` of `tests/hypervisor`, `libvirtd::…` of `tests/libvirtd`,
//! `session::…` of `crates/protocol/tests`.
//!
//! | defect | test |
//! |---|---|
//! | slow consumer of a stream stops replies and new calls | `session::streams::a_slow_consumer_costs_its_own_stream_and_nothing_else` |
//! | slow consumer of events stops replies and signs of life | `client::event::busy::call_is_answered_behind_any_number_of_events_that_nobody_reads`, `signs_of_life_are_given_amid_events_that_nobody_reads`, `client::event::job::follower_that_is_overrun_delays_no_reply_and_asks_again` |
//! | events dropped untold | `client::event::queue::oldest_are_dropped_and_counted_where_they_were` |
//! | one queue of events for all | `client::event::queue::each_subscriber_loses_for_itself`, `client::event::storm::subscriber_that_reads_gets_all_of_a_hundred_thousand_whatever_others_do` |
//! | queue of events without a bound | `client::event::queue::two_hundred_and_fifty_six_fit_by_default_and_one_at_least` |
//! | queue of events grows while nobody reads | `client::event::storm::subscriber_that_reads_gets_all_of_a_hundred_thousand_whatever_others_do`: its memory is counted, `client::event::job::events_before_the_answer_to_a_registration_are_bounded` |
//! | one subscriber for each kind of event | `client::event::subscribe::several_subscribers_share_one_registration_and_the_last_gives_it_up` |
//! | registrations of two classes share one table of callback IDs | `client::event::route::callback_ids_of_two_classes_may_be_the_same` |
//! | call made while an event is handled never returns | `client::event::busy::any_call_may_be_made_while_an_event_is_handled` |
//! | upload that the daemon refuses is fed on | [`stream`]`::error_on_a_stream`, `session::streams::what_was_not_sent_when_the_stream_failed_is_not_sent_any_more` |
//! | event between the end of a subscription and its deregistration freezes the reader | `client::event::leave::events_that_come_late_are_ignored`, `client::event::job::event_for_a_registration_that_was_given_up_is_ignored` |
//! | cancelled subscriber leaks a task and a registration | `client::event::cancel::*`, `client::event::storm::ten_thousand_subscriptions_leave_no_registration_behind`, `client::cancel::job_dropped_at_any_poll_of_its_start_leaves_no_registration` |
//! | nobody is told that the connection is closed | `client::event::close::*`, `client::close::everybody_who_waits_is_told_the_same_cause_at_once` |
//! | subscription ignores its domain | `client::event::filter::object_that_was_chosen_is_told_to_the_daemon`, `client::event::job::events_of_a_job_are_asked_for_of_its_domain_only` |
//! | events of block jobs and of anything but domains are not routed | `client::event::kinds::every_kind_that_is_known_goes_from_its_bytes_to_a_stream`, `client::event::job::job_ends_as_its_event_says` |
//! | events decoded without a look at the procedure and the program | `client::event::route::event_of_another_kind_than_its_registration_goes_to_nobody`, `number_of_an_event_belongs_to_its_program`, `client::event::job::events_that_are_none_of_ours_are_ignored` |
//! | unsolicited event is fatal | [`matrix`]`::*::flood_of_unasked_events`, `client::event::route::flood_of_events_that_nobody_asked_for_changes_nothing` |
//! | status of an event is not checked | `client::event::job::event_with_the_status_of_an_error_is_ignored` |
//! | type of a packet is not checked | [`matrix`]`::*::call_from_daemon`, `client::hostile::packet_of_an_unknown_type_closes` |
//! | program and procedure of a reply are not checked | [`matrix`]`::*::reply_of_other_program`, `reply_of_other_procedure` |
//! | length below the header's is a panic | [`matrix`]`::*::length_below_minimum`, `client::hostile::length_that_no_packet_has_closes_at_once_and_takes_no_memory` |
//! | announced length is allocated | `client::hostile::memory_is_bounded_by_the_bytes_that_have_come`, `length_inside_a_reply_takes_no_memory` |
//! | after a bad header reading goes on at the wrong place | [`matrix`]`::*::garbage`, `flipped_bit_in_header` |
//! | unknown procedure is told by English words | `client::answer::unknown_procedure_is_told_by_its_code_in_any_language`, `hypervisor::connection::procedure_that_the_daemon_does_not_know_is_unsupported` |
//! | error keeps code and message only | `client::answer::error_keeps_every_field_that_the_daemon_sent` |
//! | list of authentication is ignored; SASL fails later, as something else | `client::auth::daemon_that_wants_what_this_client_cannot_is_told_apart` |
//! | connection used from several threads races | `client::close::many_threads_may_call_while_one_closes` |
//! | closing a wedged connection hangs | `client::close::closing_a_wedged_connection_takes_five_seconds`, [`matrix`]`::closing::stall` |
//! | session URI leads to the socket of the system | `libvirtd::daemon::session_daemon_is_reached_by_its_socket` |
//! | URI is passed on as it is | `client::connect::daemon_is_asked_to_open_what_the_uri_names` |
//! | calls written at the same time mix | `client::call::writing_never_keeps_the_client_from_reading` |
//! | hard limit of time, and an entry leaked after it | `client::call::call_deadline_is_kept_and_the_late_reply_dropped` |
//! | no limit of time at all | `client::connect::silence_at_any_step_ends_with_the_deadline`, [`matrix`]`::*::stall` |
//! | end of file wakes nobody | [`matrix`]`::*::end_of_file`, `client::close::everybody_who_waits_is_told_the_same_cause_at_once` |
//! | reset makes the reader spin | [`matrix`]`::*::reset` |
//! | empty body is a panic | `client::call::reply_that_cannot_be_decoded_fails_that_call_alone` |
//! | no abort of streams | `session::streams::an_abort_replaces_what_was_not_sent_and_drops_what_was_not_read` |
//! | padding out of bounds; opaque data allocates its announced length | `crates/xdr/tests/limits.rs` |
//! | packets beyond 4 MiB are refused | `client::answer::longest_answer_is_taken` |
//! | unknown numbers become an enumeration | `client::event::unknown::whoever_wants_everything_gets_what_is_unknown_as_it_is`, `unknown_numbers_within_an_event_are_kept`, `client::answer::error_keeps_every_field_that_the_daemon_sent`, `crates/xdr/tests/rfc4506.rs` |
//! | no calls while an upload is open | [`stream`]`::*`: a call beside two streams |
//! | serial is always 1; one call in flight | `client::call::replies_in_any_order_reach_their_callers` |
//! | events lost by the daemon when a driver's last registration goes (libvirt's own) | `client::event::subscribe::one_registration_of_each_class_is_held_as_long_as_the_connection_lasts`, `hypervisor::event::storm::nothing_is_left_of_many_subscriptions` |
//! | events of several registrations out of order (our own) | `client::event::subscribe::events_of_several_registrations_come_in_the_order_in_which_they_were_told` |
//! | kind of event lost untold by a reconnection (our own) | `client::reconnect::stream_that_can_do_without_some_events_names_them_behind_the_gap` |
//! | stream ended by nonsense says that somebody closed the connection (our own) | `client::reconnect::stream_whose_registration_is_answered_with_nonsense_says_so` |
//! | subscription that overflowed is given up and nobody can wait for that (our own) | `client::event::leave::whoever_overflowed_waits_for_the_confirmation_too` |
//! | answer lost because a later write failed (our own) | `client::close::answer_that_came_before_the_daemon_went_is_not_lost_with_a_failed_write` |
//!
//! # Advisories on other libraries
//!
//! | advisory | test |
//! |---|---|
//! | RUSTSEC-2026-0178, 2026-0180: fewer fields than declared | `client::call::reply_that_cannot_be_decoded_fails_that_call_alone`, `crates/xdr/tests/limits.rs` |
//! | RUSTSEC-2026-0154: allocation by announced length | `client::hostile::memory_is_bounded_by_the_bytes_that_have_come`, `many_half_packets_take_what_has_come_of_them`, `client::event::queue::event_that_is_too_long_is_lost_and_told` |
//! | RUSTSEC-2026-0185: gaps in a stream pin memory | `session::streams::a_slow_consumer_costs_its_own_stream_and_nothing_else` |
//! | RUSTSEC-2026-0258 and its kin: floods of empty and control packets | [`matrix`]`::*::flood_of_…`, `client::event::route::flood_of_events_that_nobody_asked_for_changes_nothing`, `client::keepalive::flood_of_pings_costs_no_memory_and_few_answers`, [`stream`]`::flood_of_empty_packets_after_the_end_of_the_data` |
//! | RUSTSEC-2024-0336: endless loop on input | `client::session::*`: a fault at every byte |
//! | RUSTSEC-2024-0363: truncated lengths | `client::call::arguments_that_cannot_be_encoded_are_not_sent`, `clippy::cast_possible_truncation` |
//! | RUSTSEC-2026-0194, 2026-0195: hostile XML | `crates/client/src/domain/xml/tests.rs` |
//! | RUSTSEC-2025-0055: what steers a terminal in texts | `crates/cli/src/escape.rs` |
//! | CVE-2024-2494: negative count | `client::answer::list_is_read_up_to_its_bound_and_no_further` |
//! | CVE-2024-1441, 2024-8235: lists of none and of one too many | `client::answer::list_is_read_up_to_its_bound_and_no_further` |
//! | CVE-2026-18917, 2025-12748: arguments to be checked before they are sent | `client::call::arguments_that_cannot_be_encoded_are_not_sent` |
//! | CVE-2024-4418: several threads share a connection | `client::close::many_threads_may_call_while_one_closes` |
//! | CVE-2023-3750 and its kin: daemon dies in a call | [`matrix`]`::call_pending::end_of_file`, `libvirtd::daemon::daemon_that_dies_fails_its_calls_at_once_and_lets_in_anew_afterwards` |
//! | CVE-2019-10161 and its kin: read-only connections | `hypervisor::connection::read_only_connections_are_refused_every_change` |
//! | a daemon that is stopped before the connection is open | [`matrix`]`::connect::stall`, `libvirtd::stopped::*` |
//! | more calls in flight than leave room for keepalive | `client::call::next_call_is_sent_when_one_in_flight_was_answered`, `client::keepalive::ping_is_answered_though_every_place_is_taken`, `hypervisor::connection::five_calls_in_flight_make_the_daemon_give_up_the_connection` |

#![cfg(test)]

mod cell;
mod daemon;
mod descriptors;
mod matrix;
mod misdeed;
mod phase;
mod relay;
mod stream;
