//! Law 4: kernel events only set bits; a second, bounded pass calls the handles.

use tidegate::kind::{Kind, LayerId};
use tidegate::prelude::*;
use tidegate::{KeyError, Phase};

use crate::support::*;

/// A layer of one's own: queued, it is called once a pass; a handle queued
/// while it runs waits for the next turn.
#[test]
fn a_pass_is_bounded() {
    static TURNS: LayerId<u32> = LayerId::new(|| 0);
    static AGAIN: Kind = Kind::new("again", TURNS.owner()).ready(|d, key, _| {
        assert_eq!(d.cx().phase(), Phase::Ready);
        let (turns, mut driver) = d.layer(&TURNS);
        let mut handle = driver.handle(TURNS.owner(), key).unwrap();
        *turns += 1;
        handle.queue();
        handle.queue();
        if *turns == 3 {
            assert!(handle.close());
            assert!(!handle.close(), "closing is idempotent");
        }
    });
    let mut lp = guarded();
    let mut cx = lp.cx();
    let mut driver = cx.driver();
    let mut handle = driver.insert(&AGAIN, 0).unwrap();
    let key = handle.key();
    handle.queue();
    lp.run().unwrap();
    assert_eq!(lp.metrics().turns, 3);
    assert_eq!(lp.cx().validate(key), Err(KeyError::Closed));
}

/// A handle that had its call cannot come back into the pass that is running.
#[test]
fn a_kind_cannot_prolong_its_pass() {
    static TURNS: LayerId<Vec<u64>> = LayerId::new(Vec::new);
    static GREEDY: Kind = Kind::new("greedy", TURNS.owner()).ready(|d, key, _| {
        let turn = d.cx().turn();
        let (turns, mut driver) = d.layer(&TURNS);
        let mut handle = driver.handle(TURNS.owner(), key).unwrap();
        turns.push(turn);
        if turns.len() < 1000 {
            handle.queue_now();
        } else {
            handle.close();
        }
    });
    let mut lp = guarded();
    lp.cx().driver().insert(&GREEDY, 0).unwrap().queue();
    lp.run().unwrap();
    let turns = std::mem::take(lp.cx().layer(&TURNS).0);
    assert!(turns.iter().copied().eq(1..=1000), "once a turn: {turns:?}");
}
