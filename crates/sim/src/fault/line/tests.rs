use virtwire_protocol::remote;

use super::*;
use crate::script::{event_header, packet};

/// What a sender that sends all this at once and then no more has delivered: pieces, and how it
/// ends. Waiting is noted as an empty piece.
fn pass(faults: &[Fault], bytes: &[u8]) -> (Vec<Vec<u8>>, Step) {
    let mut line = Line::new(faults);
    let mut pieces = Vec::new();
    let mut sent = false;
    loop {
        match line.next(1 << 20) {
            Step::Read if sent => line.finish(),
            Step::Read => {
                line.push(bytes);
                sent = true;
            }
            Step::Pass(bytes) => pieces.push(bytes.to_vec()),
            Step::Wait(_) => pieces.push(Vec::new()),
            end => return (pieces, end),
        }
    }
}

fn whole(faults: &[Fault], bytes: &[u8]) -> (Vec<u8>, Step) {
    let (pieces, end) = pass(faults, bytes);
    (pieces.concat(), end)
}

/// Packets of different lengths, numbered by their payload.
fn packets(numbers: &[u8]) -> Vec<u8> {
    let header = event_header(remote::PROGRAM, 1);
    let packets = numbers
        .iter()
        .map(|number| packet(&header, &vec![*number; usize::from(*number)]).unwrap());
    packets.collect::<Vec<_>>().concat()
}

#[test]
fn without_faults_everything_passes_as_it_comes() {
    assert_eq!(pass(&[], b"abc"), (vec![b"abc".to_vec()], Step::HalfClose));
    assert_eq!(pass(&[], b""), (vec![], Step::HalfClose));
}

#[test]
fn no_more_passes_than_there_is_room_for() {
    let mut line = Line::new(&[]);
    line.push(b"abc");
    assert_eq!(line.next(2), Step::Pass("ab".into()));
    assert_eq!(line.next(2), Step::Pass("c".into()));
    assert_eq!(line.next(2), Step::Read);
}

#[test]
fn one_by_one_and_split_change_the_pieces_only() {
    let (pieces, _) = pass(&[Fault::OneByOne], b"abc");
    assert_eq!(pieces, [b"a", b"b", b"c"]);
    let split = |at| pass(&[Fault::Split(At::Byte(at))], b"abc").0;
    assert_eq!(split(0), [b"abc".to_vec()]);
    assert_eq!(split(2), [b"ab".to_vec(), b"c".to_vec()]);
    assert_eq!(split(3), [b"abc".to_vec()]);
}

#[test]
fn end_stall_and_their_kin_strike_as_soon_as_the_last_byte_before_them_has_passed() {
    for (fault, end) in [
        (Fault::End as fn(At) -> Fault, Step::End),
        (Fault::HalfClose, Step::HalfClose),
        (Fault::Reset, Step::Reset),
        (Fault::Stall, Step::Stall),
    ] {
        for (at, passed) in (0..).zip(["", "a", "ab"]) {
            let passed = (passed.as_bytes().to_vec(), end.clone());
            assert_eq!(whole(&[fault(At::Byte(at))], b"abc"), passed);
        }
        let mut line = Line::new(&[fault(At::Byte(2))]);
        line.push(b"ab");
        assert_eq!(line.next(9), Step::Pass("ab".into()));
        assert_eq!(line.next(9), end);
        assert_eq!(line.next(9), end, "it does not pass");
    }
}

#[test]
fn delay_is_one_pause_before_the_byte_that_it_delays() {
    let delay = Fault::Delay(At::Byte(1), Duration::from_secs(1));
    let (pieces, _) = pass(&[delay], b"ab");
    assert_eq!(pieces, [&b"a"[..], b"", b"b"]);
    let mut line = Line::new(&[delay]);
    line.push(b"a");
    line.next(9);
    assert_eq!(line.next(9), Step::Read, "nothing is there to be delayed");
}

#[test]
fn flip_inverts_one_bit_wherever_the_pieces_end() {
    for bit in 0..24 {
        let mut expected = *b"abc";
        expected[bit / 8] ^= 0x80 >> (bit % 8);
        let flip = Fault::Flip(At::Byte(0), bit as u64);
        assert_eq!(whole(&[flip], b"abc").0, expected);
        assert_eq!(whole(&[flip, Fault::OneByOne], b"abc").0, expected);
    }
    assert_eq!(whole(&[Fault::Flip(At::Byte(3), 0)], b"abc").0, b"abc");
}

#[test]
fn faults_of_packets_strike_between_packets() {
    let sent = packets(&[1, 2, 3]);
    for (count, passed) in [(0, &[][..]), (1, &[1]), (2, &[1, 2]), (3, &[1, 2, 3])] {
        let end = whole(&[Fault::End(At::Packet(count))], &sent);
        assert_eq!(end, (packets(passed), Step::End));
    }
    let flipped = whole(&[Fault::Flip(At::Packet(1), 8 * 28)], &sent).0;
    assert_ne!(flipped, sent);
    assert_eq!(flipped[29..57], sent[29..57]);
    assert_eq!(flipped[57], 2 ^ 0x80);
}

#[test]
fn packets_are_lost_duplicated_and_held_back() {
    let sent = packets(&[1, 2, 3]);
    let hold_back = |packet, behind| Fault::HoldBack { packet, behind };
    for (fault, arrive) in [
        (Fault::Lose(1), &[1, 3][..]),
        (Fault::Duplicate(0), &[1, 1, 2, 3]),
        (hold_back(0, 1), &[2, 1, 3]),
        (hold_back(0, 2), &[2, 3, 1]),
        (hold_back(0, 9), &[2, 3, 1]),
        (hold_back(2, 1), &[1, 2, 3]),
    ] {
        for chopped in [&[fault][..], &[fault, Fault::OneByOne]] {
            assert_eq!(whole(chopped, &sent).0, packets(arrive), "{fault:?}");
        }
    }
}

#[test]
fn what_is_no_packet_passes_as_it_is() {
    let garbage = b"HTTP/1.1 400 Bad Request".as_slice();
    let sent = [&packets(&[1]), garbage].concat();
    assert_eq!(whole(&[Fault::Lose(7)], &sent).0, sent);
    let cut_short = &packets(&[1, 2])[..40];
    assert_eq!(whole(&[Fault::Lose(7)], cut_short).0, cut_short);
}

#[test]
fn trace_tells_what_has_passed() {
    let mut line = Line::new(&[Fault::Lose(1)]);
    line.push(&packets(&[1, 2, 3]));
    while let Step::Pass(_) = line.next(7) {}
    assert_eq!(line.trace().bytes, 29 + 31);
    assert_eq!(line.trace().packets, [29, 29 + 31]);
}
