//! Law 2: the loop owns everything; users hold keys. A key of another loop finds nothing.

use std::time::Duration;

use tidegate::KeyError;
use tidegate::prelude::*;

use crate::support::*;

#[test]
fn keys_of_another_loop_are_foreign() {
    let (mut a, mut b) = (guarded(), guarded());
    let srv = a.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let at = a.server(srv).local_addr().unwrap();
    let key = a.connect(at, On::new());
    // The same index is in use over there.
    let _other = b.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let _more = b.connect(at, On::new());
    assert_eq!(b.server(srv).endpoint(), Err(KeyError::Foreign));
    assert_eq!(b.server(srv).close(), Err(KeyError::Foreign));
    assert_eq!(b.server(srv).stats(), Err(KeyError::Foreign));
    assert_eq!(b.socket(key).write(b"x"), Flow::Closed);
    b.socket(key).destroy();
    assert_eq!(b.socket(key).state(), Err(KeyError::Foreign));
    assert_eq!(a.socket(key).state(), Ok(()));
}

const ZERO: Duration = Duration::ZERO;

#[test]
fn a_timer_of_another_loop_is_foreign() {
    let (mut a, mut b) = (guarded(), guarded());
    let t = a.timer(ZERO, |_, _| {});
    b.timer(ZERO, |_, _| {});
    assert_eq!(b.timer_stop(t), Err(KeyError::Foreign));
    assert_eq!(b.timer_reset(t, ZERO), Err(KeyError::Foreign));
}

/// Law 2: no key of one loop finds anything in another, however many loops came and
/// went between them.
#[test]
fn a_key_finds_nothing_in_any_later_loop() {
    let mut first = Loop::new().unwrap();
    let alive = first.timer(Duration::from_secs(9), |_, _| {});
    let gone = {
        let mut lp = Loop::new().unwrap();
        lp.timer(Duration::from_secs(9), |_, _| {})
    };
    for _ in 0..9_000 {
        let mut lp = Loop::new().unwrap();
        let own = lp.timer(Duration::from_secs(9), |_, _| {});
        for foreign in [alive, gone] {
            assert_ne!(own, foreign);
            assert!(lp.timer_stop(foreign).is_err());
        }
    }
    assert_eq!(first.timer_stop(alive), Ok(()));
}
