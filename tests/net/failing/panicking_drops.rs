//! A `Bytes` over an owner of the user whose drop panics, in the queue of a connection.

use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

struct Boom(Vec<u8>);

impl AsRef<[u8]> for Boom {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Boom {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            resume_unwind(Box::new("drop"));
        }
    }
}

fn turn(lp: &mut Loop) -> bool {
    catch_unwind(AssertUnwindSafe(|| lp.run_nowait().unwrap())).is_err()
}

/// The drop of the first queued piece panics when it is out. Two more left in the same gather.
#[test]
fn a_drop_that_panics_while_three_pieces_leave() {
    let mut lp = guarded();
    let (mut peer, ours) = pair();
    let closed = Rc::new(Cell::new(false));
    let c = closed.clone();
    let key = lp.adopt(ours, On::new().close(move |_, _| c.set(true))).unwrap();
    let mut s = lp.socket(key);
    s.cork();
    let _ = s.write(Bytes::from_owner(Boom(vec![1; 5000])));
    let _ = s.write(vec![2; 2000]);
    let _ = s.write(vec![3; 3000]);
    let out = catch_unwind(AssertUnwindSafe(|| lp.socket(key).uncork()));
    assert!(out.is_err(), "the drop's own panic");
    let mut all = [0; 10_000];
    peer.read_exact(&mut all).unwrap();
    // What comes after it is an ordinary program.
    let again = catch_unwind(AssertUnwindSafe(|| {
        let mut s = lp.socket(key);
        s.cork();
        assert_eq!(s.write("more"), Flow::Ready);
        s.uncork();
    }));
    assert!(again.is_ok(), "uncork panics");
    let panics = (0..5).filter(|_| turn(&mut lp)).count();
    assert_eq!(panics, 0, "the loop panics by itself");
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert!(closed.get());
}

/// The same in the loop's own dispatch: the kernel had no room before.
#[test]
fn a_drop_that_panics_in_the_ready_pass() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    let fill = lp.socket(key).write(vec![1; 8 << 20]);
    assert_eq!(fill, Flow::Full);
    let _ = lp.socket(key).write(Bytes::from_owner(Boom(vec![1; 5000])));
    let _ = lp.socket(key).write(vec![2; 2000]);
    let _ = lp.socket(key).write(vec![3; 3000]);
    let reading = std::thread::spawn(move || read_to_end(&peer).len());
    let mut panics = 0;
    for _ in 0..100_000 {
        panics += u32::from(turn(&mut lp));
        if lp.socket(key).buffered() == 0 || panics > 5 {
            break;
        }
    }
    assert_eq!(panics, 1, "the drop's own panic, and no other");
    lp.socket(key).end();
    lp.run().unwrap();
    assert_eq!(reading.join().unwrap(), (8 << 20) + 10_000);
}

/// The drain of a queue whose last piece's drop panics.
#[test]
fn a_drop_that_panics_before_the_drain() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let drained = Rc::new(Cell::new(false));
    let d = drained.clone();
    let key = lp.adopt(ours, On::new().drain(move |_| d.set(true))).unwrap();
    assert_eq!(lp.socket(key).write(vec![1; 8 << 20]), Flow::Full);
    assert_eq!(lp.socket(key).write(Bytes::from_owner(Boom(vec![1; 5000]))), Flow::Full);
    let reading = std::thread::spawn(move || read_to_end(&peer).len());
    let mut panics = 0;
    let end = Instant::now() + DEADLINE;
    // Every turn is caught: the drop may be in any.
    while lp.socket(key).buffered() > 0 {
        assert!(Instant::now() < end);
        panics += u32::from(turn(&mut lp));
    }
    for _ in 0..10 {
        panics += u32::from(turn(&mut lp));
    }
    assert_eq!(panics, 1, "the drop's own panic, and no other");
    assert!(drained.get(), "Full was answered, nothing is queued, and no drain came");
    lp.socket(key).end();
    lp.run().unwrap();
    assert_eq!(reading.join().unwrap(), (8 << 20) + 5000);
}

/// The handler, the filters and what is queued of a connection whose last callback panics: they are
/// dropped when the panic has left `run`, so that a drop that panics does not end the process.
#[test]
fn a_panic_in_the_last_on_close_drops_nothing_on_its_way() {
    struct Told(Rc<Cell<u32>>, Rc<Cell<u32>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let Told(calm, panicking) = self;
            let count = if std::thread::panicking() { panicking } else { calm };
            count.set(count.get() + 1);
        }
    }
    impl Filter for Told {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let counts: (Rc<Cell<u32>>, Rc<Cell<u32>>) = Default::default();
    let told = || Told(counts.0.clone(), counts.1.clone());
    let handler = told();
    let on = On::new().close(move |_, _| {
        let _ = &handler;
        panic!("the last callback");
    });
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_filter(told());
    lp.socket(key).destroy();
    assert!(turn(&mut lp));
    assert_eq!((counts.0.get(), counts.1.get()), (0, 0), "dropped while it panicked");
    lp.run().unwrap();
    assert_eq!((counts.0.get(), counts.1.get()), (2, 0));
}
