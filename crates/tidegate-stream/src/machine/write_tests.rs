//! Tests of the writing half: single rules by their number, and random calls against a
//! plain vector.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use crate::machine::flow::{Effect, Flow};
use crate::machine::write::WriteState;

#[test]
fn w03_equality_is_full_and_w06_drains_once_at_zero() {
    let mut w = WriteState::new(4, 100);
    w.push(b"123");
    assert_eq!(w.flow(), Flow::Ready);
    w.push(b"4");
    assert_eq!((w.flow(), w.stop()), (Flow::Full, Flow::Full));
    w.advance(3);
    assert_eq!(w.take_effect(), None, "one byte is left");
    w.advance(1);
    assert_eq!(w.take_effect(), Some(Effect::Drain));
    assert_eq!(w.take_effect(), None);
}

#[test]
fn w06_no_drain_after_end() {
    let mut w = WriteState::new(1, 100);
    w.push(b"12");
    assert_eq!((w.flow(), w.stop()), (Flow::Full, Flow::Full));
    assert!(w.end());
    w.advance(2);
    assert_eq!(w.take_effect(), None);
    assert!(w.wants_fin());
    w.fin_sent();
    assert_eq!(w.take_effect(), Some(Effect::Finish));
    assert!(!w.end(), "a second end says that it was too late");
}

#[test]
fn a_million_small_writes_share_tail_blocks() {
    let mut w = WriteState::new(1, usize::MAX);
    for _ in 0..1_000_000 {
        w.push(b"thirteen byte");
        assert!(w.held() * 10 <= w.len() * 11 + 640 * 1024, "{} held", w.held());
    }
    assert_eq!(w.len(), 13_000_000);
    let mut calls = 0;
    while !w.is_empty() {
        let mut slices = [&[][..]; 64];
        let n = w.gather(&mut slices);
        let bytes = slices[..n].iter().map(|s| s.len()).sum();
        w.advance(bytes);
        calls += 1;
    }
    assert!(calls <= 2_000, "{calls}");
    assert_eq!(w.held(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Push(usize),
    PushBytes(usize),
    PushId(usize),
    Advance(usize),
    End,
    Fin,
    Fail,
    Cork,
    Uncork,
    Effect,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..3000).prop_map(Op::Push),
        3 => (0usize..3000).prop_map(Op::PushBytes),
        3 => (0usize..3000).prop_map(Op::PushId),
        6 => (0usize..5000).prop_map(Op::Advance),
        1 => Just(Op::End),
        1 => Just(Op::Fin),
        1 => Just(Op::Fail),
        1 => Just(Op::Cork),
        1 => Just(Op::Uncork),
        3 => Just(Op::Effect),
    ]
}

proptest! {
    /// Against a plain vector: bytes in are bytes out, in order; one drain
    /// per full; nothing after the end.
    #[test]
    fn write_state_against_a_vector(ops in prop::collection::vec(op(), 0..200)) {
        let mut w = WriteState::new(4096, 20_000);
        let (mut model, mut next) = (Vec::<u8>::new(), 0u8);
        let (mut fulls, mut drains, mut ended, mut finished) = (0, 0, false, 0);
        let mut owed = false;
        // Ids with the bytes that must be out; how many are; and what was told.
        let (mut ids, mut out, mut told) = (Vec::new(), 0, Vec::new());
        let mut pushed = 0;
        for op in ops {
            match op {
                Op::Push(n) | Op::PushBytes(n) | Op::PushId(n) => {
                    let data: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    if w.admit().is_err() {
                        prop_assert!(ended || w.held() > 20_000);
                        continue;
                    }
                    prop_assert!(!ended);
                    model.extend(&data);
                    pushed += n;
                    if matches!(op, Op::Push(_)) { w.push(&data) } else { w.push_bytes(data.into()) }
                    if matches!(op, Op::PushId(_)) {
                        ids.push(pushed);
                        w.expect(ids.len() as u64 - 1);
                    }
                    let full = w.flow() == Flow::Full;
                    prop_assert_eq!(full, model.len() >= 4096);
                    if full && !owed { owed = true; fulls += 1 }
                }
                Op::Advance(n) => {
                    let mut slices = [&[][..]; 64];
                    let filled = w.gather(&mut slices);
                    let queued: Vec<u8> = slices[..filled].concat();
                    prop_assert!(model.starts_with(&queued));
                    let n = n.min(queued.len());
                    model.drain(..n);
                    out += n;
                    w.advance(n);
                }
                Op::End => ended |= w.end(),
                Op::Fin => w.fin_sent(),
                Op::Fail => { w.fail(); ended = true }
                Op::Cork => w.cork(),
                Op::Uncork => w.uncork(),
                Op::Effect => match w.take_effect() {
                    Some(Effect::Drain) => {
                        prop_assert!(owed && !ended && model.is_empty());
                        owed = false;
                        drains += 1;
                    }
                    Some(Effect::Written(id)) => {
                        prop_assert!(ids[id as usize] <= out);
                        told.push(id);
                    }
                    Some(Effect::Finish) => { prop_assert!(ended && model.is_empty()); finished += 1 }
                    None => {}
                },
            }
            prop_assert_eq!(w.len(), model.len());
            prop_assert!(w.held() + 5000 >= w.len());
        }
        prop_assert!(drains <= fulls && finished <= 1);
        // Over: the ids that are left come now, in order, each once and with the right result.
        w.destroy();
        prop_assert_eq!(w.take_effect(), None);
        while let Some((id, is_out)) = w.take_expected() {
            prop_assert_eq!(is_out, ids[id as usize] <= out);
            told.push(id);
        }
        prop_assert!(told.iter().copied().eq(0..ids.len() as u64));
    }
}

proptest! {
    /// Whatever the sink does meanwhile: a write after `Ready`, or after the drain, is accepted.
    #[test]
    fn a_writer_that_obeys_is_not_refused(
        limit in 0usize..3000,
        ops in prop::collection::vec((0usize..2000, 0usize..4, 0usize..3000), 0..100),
    ) {
        let mut w = WriteState::new(limit, limit);
        let (mut may_write, mut lent) = (true, Vec::new());
        for (size, pieces, out) in ops {
            if may_write {
                prop_assert_eq!(w.admit(), Ok(()));
                w.push(&vec![0; size]);
                may_write = w.flow() == Flow::Ready;
                if !may_write {
                    let _ = w.stop();
                }
            }
            lent.clear();
            let queued = w.lend(&mut lent, pieces);
            w.advance(out.min(queued));
            may_write |= w.take_effect() == Some(Effect::Drain);
        }
    }
}
