//! One random thing done to a world of streams, pipes and connections.

use std::panic::resume_unwind;

use tidegate::prelude::*;

use super::*;

pub(super) fn act(w: &W, cx: &mut Cx<'_>) {
    if w.quiet.get() {
        return;
    }
    for _ in 0..w.rnd(3) {
        let a = w.rnd(40);
        let n = w.rnd(6000) as usize;
        match a {
            0 => {
                if let Some(k) = pick(w, &w.r) {
                    cx.readable(k).destroy()
                }
            }
            1 => {
                if let Some(k) = pick(w, &w.w) {
                    if w.rnd(3) == 0 {
                        cx.writable(k).destroy()
                    }
                }
            }
            2 => {
                if let Some(k) = pick(w, &w.p) {
                    if w.rnd(3) == 0 {
                        let _ = cx.close(k);
                    }
                }
            }
            3 => {
                if let Some(k) = pick(w, &w.s) {
                    if w.rnd(3) == 0 {
                        cx.socket(k).destroy()
                    }
                }
            }
            4..=8 => {
                if let Some(k) = pick(w, &w.r) {
                    let _ = cx.readable(k).push(vec![1; n]);
                }
            }
            9 => {
                if let Some(k) = pick(w, &w.r) {
                    cx.readable(k).push_end()
                }
            }
            10 | 11 => {
                if let Some(k) = pick(w, &w.r) {
                    cx.readable(k).pause()
                }
            }
            12..=14 => {
                if let Some(k) = pick(w, &w.r) {
                    cx.readable(k).resume()
                }
            }
            15 => {
                if let Some(k) = pick(w, &w.r) {
                    let _ = cx.readable(k).unshift(vec![2; n]);
                }
            }
            16 => {
                if let Some(k) = pick(w, &w.r) {
                    cx.readable(k).fail("no")
                }
            }
            17..=19 => {
                if let Some(k) = pick(w, &w.w) {
                    let _ = cx.writable(k).write(vec![3; n]);
                }
            }
            20 | 21 => {
                if let Some(k) = pick(w, &w.w) {
                    let id = w.id();
                    w.expect("written", id);
                    if cx.writable(k).write_id(vec![3; n], id as u64) == Flow::Closed {
                        w.counts.borrow_mut().remove(&("written", id));
                    }
                }
            }
            22 => {
                if let Some(k) = pick(w, &w.w) {
                    cx.writable(k).end()
                }
            }
            23..=26 => {
                if let Some(k) = pick(w, &w.w) {
                    let _ = cx.writable(k).written(if w.rnd(8) == 0 {
                        Err("bad".into())
                    } else {
                        Ok(())
                    });
                }
            }
            27 => {
                if let Some(k) = pick(w, &w.s) {
                    let _ = cx.socket(k).write(vec![4; n]);
                }
            }
            28 => {
                if let Some(k) = pick(w, &w.s) {
                    cx.socket(k).end()
                }
            }
            29 => {
                if let Some(k) = pick(w, &w.s) {
                    if w.rnd(4) == 0 {
                        cx.socket(k).reset()
                    }
                }
            }
            30 => {
                if let Some(k) = pick(w, &w.s) {
                    cx.socket(k).pause()
                }
            }
            31..=33 => {
                if let Some(k) = pick(w, &w.s) {
                    cx.socket(k).resume()
                }
            }
            34 => open(w, cx),
            35 | 36 => pipe(w, cx),
            37 => {
                let v = w.clone();
                cx.next_tick(move |cx| act(&v, cx))
            }
            38 => {
                if w.panics.get() && w.rnd(4) == 0 {
                    w.trace.borrow_mut().push("panic".into());
                    resume_unwind(Box::new("fuzz"))
                }
            }
            _ => {
                if w.panics.get() && w.rnd(8) == 0 {
                    w.trace.borrow_mut().push("tick panic".into());
                    cx.next_tick(|_| resume_unwind(Box::new("fuzz tick")))
                }
            }
        }
    }
}
