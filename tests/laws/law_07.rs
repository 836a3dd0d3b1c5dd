//! Law 7: every accepted byte resolves once, and every connection ends with one `Close`, which
//! counts the bytes that were not sent.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use tidegate::prelude::*;

use crate::support::*;

#[test]
fn every_accepted_byte_is_sent_or_said_to_be_unsent() {
    for orderly in [true, false] {
        let mut lp = guarded();
        let closes = Rc::new(RefCell::new(Vec::new()));
        let c = closes.clone();
        let (peer, ours) = pair();
        let on = On::new().close(move |_, close| c.borrow_mut().push(close.unsent));
        let key = lp.adopt(ours, on).unwrap();
        let mut s = lp.socket(key);
        let block = [7; 64 << 10];
        let mut accepted = block.len();
        while s.write(&block) == Flow::Ready {
            accepted += block.len();
        }
        let queued = s.buffered();
        assert!(queued > 0);
        if orderly {
            s.end();
        } else {
            s.destroy();
        }
        let reading = std::thread::spawn(move || {
            let mut got = Vec::new();
            let _ = (&peer).read_to_end(&mut got);
            got.len()
        });
        lp.run().unwrap();
        let got = reading.join().unwrap();
        if orderly {
            assert_eq!((got, &closes.borrow()[..]), (accepted, &[0][..]));
        } else {
            assert!(got <= accepted - queued, "{got} of {accepted}, {queued} queued");
            assert_eq!(closes.borrow()[..], [queued]);
        }
    }
}

/// A layer finds its own handles alone: it cannot say of another's job that it was cancelled.
#[cfg(feature = "work")]
#[test]
fn a_job_is_not_for_other_layers_to_cancel() {
    static OTHER: tidegate::kind::Owner = tidegate::kind::Owner::new();
    let mut lp = guarded();
    let told = Rc::new(RefCell::new(Vec::new()));
    let t = told.clone();
    let job = lp.work(|| 7, move |_, result| t.borrow_mut().push(result)).unwrap();
    assert!(lp.cx().driver().handle(&OTHER, job.into()).is_none());
    lp.run().unwrap();
    assert_eq!(*told.borrow(), [Ok(7)]);
}
