//! Any sequence of operations on both halves: one outcome, the first; reading only while
//! it flows; an end of the peer that is reported once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_stream::{Duplex, Flow, ReadState, WriteState};

fuzz_target!(|ops: &[u8]| {
    let half_open = ops.len() % 2 == 0;
    let mut d: Duplex<usize> = Duplex::new(WriteState::new(64, 1 << 20), half_open);
    let (mut first, mut told, mut paused, mut eof) = (None, false, false, false);
    for (n, op) in ops.iter().enumerate() {
        match op % 9 {
            0 => { d.read.pause(); paused |= !eof }
            1 => { assert_eq!(d.read.resume(), paused && !eof && first.is_none()); paused = false }
            2 => {
                assert_eq!(d.read.eof(), !eof && first.is_none());
                eof = true;
                paused = false;
            }
            3 => if d.write.admit().is_ok() { d.write.push(&[0; 32]) },
            4 => if d.write.wants_write() { d.write.advance(d.write.len().min(usize::from(op / 9))) },
            5 => { d.write.end(); d.write.fin_sent() }
            6 => { d.write.take_effect(); }
            7 if op / 9 < 3 => {
                assert_eq!(d.destroy(n), first.is_none());
                first.get_or_insert(n);
            }
            8 => {
                let outcome = d.take_outcome();
                assert_eq!(outcome, if told { None } else { first });
                told |= outcome.is_some();
            }
            _ => {}
        }
        assert_eq!(d.is_open(), first.is_none());
        assert_eq!(d.read.wants_read(), first.is_none() && !eof && !paused);
        assert_eq!(d.ends_with_peer(), first.is_none() && eof && !half_open);
        assert_eq!(d.is_done(), d.read == ReadState::Ended && d.write.is_finished());
        if first.is_some() {
            assert!(d.write.flow() == Flow::Closed && d.write.admit().is_err() && !d.write.wants_write());
        }
    }
});
