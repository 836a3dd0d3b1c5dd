//! Any sequence of operations on the writing half, against a plain vector.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_stream::{Effect, Flow, WriteState};

const MARK: usize = 4096;
const LIMIT: usize = 20_000;

fuzz_target!(|ops: &[u8]| {
    let mut w = WriteState::new(MARK, LIMIT);
    // What is queued; what is out and was pushed, in bytes; ids with their last byte.
    let (mut queue, mut out, mut pushed, mut ids) = (Vec::<u8>::new(), 0, 0, Vec::new());
    let (mut told, mut next) = (0u64, 0u8);
    // A drain is owed; the end was said, is out, was told; writing broke.
    let (mut owed, mut ended, mut sent, mut finished, mut failed) = (false, false, false, false, false);
    for op in ops.chunks_exact(3) {
        let n = usize::from(u16::from_le_bytes([op[1], op[2]])) % 9000;
        match op[0] % 10 {
            kind @ 0..=3 => {
                let data: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                if w.admit().is_err() {
                    assert!(ended || failed || w.held() > LIMIT);
                    assert!(!(ended || failed) || w.flow() == Flow::Closed);
                    continue;
                }
                assert!(!ended && !failed && w.held() <= LIMIT);
                match (kind % 2, n % 3) {
                    (0, _) => w.push(&data),
                    (_, 0) => w.push_whole(data.clone().into()),
                    _ => w.push_bytes(data.clone().into()),
                }
                queue.extend(&data);
                pushed += n;
                if kind >= 2 {
                    w.expect(ids.len() as u64);
                    ids.push(pushed);
                }
                // By what is queued, or by the memory that it and ids hold: the next write may
                // be refused.
                let full = w.flow() == Flow::Full;
                assert_eq!(full, queue.len() >= MARK || w.held() > LIMIT);
                if full {
                    assert_eq!(w.stop(), Flow::Full);
                    owed = true;
                }
            }
            4 | 5 if w.wants_write() => {
                let mut pieces = [&[][..]; 64];
                let filled = w.gather(&mut pieces);
                let first = pieces[..filled].concat();
                assert!(!first.is_empty() && queue.starts_with(&first));
                let n = n.min(first.len());
                queue.drain(..n);
                out += n;
                w.advance(n);
            }
            6 => match w.take_effect() {
                Some(Effect::Drain) => assert!(std::mem::take(&mut owed) && !ended && queue.is_empty()),
                Some(Effect::Written(id)) => {
                    assert!(id == told && ids[id as usize] <= out);
                    told += 1;
                }
                Some(Effect::Finish) => {
                    assert!(sent && !finished && told == ids.len() as u64);
                    finished = true;
                }
                _ => assert!(!w.has_effect() || failed),
            },
            7 => {
                if w.end() { ended = true }
                if n % 2 == 0 { sent |= w.wants_fin(); w.fin_sent() }
            }
            8 if n % 16 == 0 => { failed |= !w.is_finished(); w.fail() }
            9 => if n % 2 == 0 { w.cork() } else { w.uncork() },
            _ => {}
        }
        assert_eq!(w.len(), queue.len());
        assert!(w.held() <= LIMIT + 9000 + (16 << 10) + 16 * ids.len());
    }
    w.destroy();
    assert_eq!((w.take_effect(), w.flow()), (None, Flow::Closed));
    while let Some((id, is_out)) = w.take_expected() {
        assert!(id == told && is_out == (ids[id as usize] <= out));
        told += 1;
    }
    assert_eq!(told, ids.len() as u64);
});
