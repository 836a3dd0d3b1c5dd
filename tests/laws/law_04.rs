//! Law 4: kernel events only set bits; a second, bounded pass calls the handles.

use tidegate::kind::{Dispatch, Kind};
use tidegate::prelude::*;
use tidegate::{Key, KeyError, Phase};

use crate::support::*;

/// A layer of one's own: queued, it is called once a pass; a handle queued
/// while it runs waits for the next turn.
#[test]
fn a_pass_is_bounded() {
    static AGAIN: Kind = Kind {
        name: "again",
        ready: |d: &mut Dispatch<'_>, key: Key, _| {
            assert_eq!(d.cx().phase(), Phase::Ready);
            let (turns, mut driver) = d.parts::<Vec<()>>();
            turns.push(());
            driver.queue(key);
            driver.queue(key);
            if turns.len() == 3 {
                driver.close(&AGAIN, key);
                assert!(!driver.close(&AGAIN, key), "closing is idempotent");
            }
        },
        pending: |_, _, _| {},
        closed: |d, key, _| d.driver().free(&AGAIN, key),
        close: |_, _, _| Ok(()),
        describe: |_, _, _| "again".into(),
    };
    let mut lp = guarded();
    let key = lp.cx().driver().insert(&AGAIN, 0).unwrap();
    lp.cx().driver().queue(key);
    lp.run().unwrap();
    assert_eq!(lp.metrics().turns, 3);
    assert_eq!(lp.cx().validate(key), Err(KeyError::Closed));
}
