//! Any sequence of operations on a queue of what a source pushed: what is taken is what was
//! pushed, in order; the source is asked once until it answers; one end, after the last byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_stream::{Flow, ReadQueue};

fuzz_target!(|ops: &[u8]| {
    let pulled = ops.len() % 2 == 0;
    let mut r = ReadQueue::new(16, 200);
    r.set_pulled(pulled);
    let (mut model, mut next) = (Vec::<u8>::new(), 0u8);
    let (mut asked, mut eof, mut paused, mut ended, mut dead) = (false, false, false, false, false);
    for op in ops {
        let n = usize::from(op / 10);
        let mut fresh = || -> Vec<u8> { (0..n).map(|_| { next = next.wrapping_add(1); next }).collect() };
        match op % 10 {
            0 | 1 => {
                let (data, before) = (fresh(), model.len());
                match r.push(data.clone().into()) {
                    Ok(Flow::Closed) => assert!(eof || dead),
                    Ok(_) => {
                        assert!(!eof && !dead && before <= 200);
                        model.extend(data);
                        asked = false;
                    }
                    Err(_) => assert!(!eof && !dead && before > 200),
                }
            }
            2 => {
                let data = fresh();
                if r.unshift(data.clone().into()) {
                    assert!(!ended && !dead);
                    model.splice(..0, data);
                } else {
                    assert!(ended || dead || model.len() > 200);
                }
            }
            3 => match r.take() {
                Some(chunk) => {
                    assert!(!pulled && !paused && !dead);
                    assert_eq!(chunk, model.drain(..chunk.len()).collect::<Vec<u8>>());
                }
                None => assert!(pulled || paused || dead || model.is_empty()),
            },
            4 => match r.read(n * 3) {
                Some(bytes) => {
                    assert!(!dead && (bytes.len() == n * 3 || eof && bytes.len() == model.len()));
                    assert_eq!(bytes, model.drain(..bytes.len()).collect::<Vec<u8>>());
                }
                None => assert!(dead || n == 0 || model.is_empty() || !eof && n * 3 > model.len()),
            },
            5 => if r.ask() {
                assert!(!asked && !eof && !paused && !dead);
                asked = true;
            },
            6 => { r.pause(); paused |= !ended && !dead }
            7 => { assert_eq!(r.resume(), paused && !dead); paused = false }
            8 if n < 2 => { r.eof(); eof = true }
            8 => if r.take_end() {
                assert!(eof && model.is_empty() && !paused && !ended && !dead);
                ended = true;
            },
            9 if n == 25 => { r.destroy(); dead = true; model.clear() }
            _ => { r.take_news(); }
        }
        assert!(dead || r.len() == model.len());
    }
});
