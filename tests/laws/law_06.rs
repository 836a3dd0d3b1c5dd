//! Law 6: closing is two-phase. The descriptor is closed now; `on_close` comes once, in the
//! closing phase, and its key is stale by then.

use tidegate::prelude::*;

use crate::support::*;

#[test]
fn the_descriptor_is_closed_now_and_on_close_comes_once() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let (peer, ours) = pair();
    let on = On::new().close(move |s, _| {
        let key = s.key();
        l.add(format!("{}, open: {}", s.cx().phase(), s.cx().is_open(key)));
    });
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).destroy();
    // The loop has not run since.
    assert!(read_to_end(&peer).is_empty());
    assert!(log.lines().is_empty());
    lp.socket(key).destroy();
    lp.run().unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["closing, open: false"]);
}
