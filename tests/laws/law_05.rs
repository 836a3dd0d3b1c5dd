//! Law 5: readiness that was not drained is kept.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::prelude::*;

use crate::support::*;

fn server(lp: &mut Loop, handler: impl Fn() -> On + 'static) -> std::net::SocketAddr {
    let key = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(handler());
        })
        .unwrap();
    lp.server(key).local_addr().unwrap()
}

/// A read budget bounds one turn; the rest is carried over without blocking.
#[test]
fn read_budget_is_carried_over() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().read_budget(64 * 1024)).build().unwrap());
    let per_turn = Rc::new(RefCell::new(Vec::<(u64, usize)>::new()));
    let p = per_turn.clone();
    let at = server(&mut lp, move || {
        let p = p.clone();
        On::new().data(move |s, chunk| {
            let mut p = p.borrow_mut();
            match p.last_mut() {
                Some((turn, n)) if *turn == s.cx().turn() => *n += chunk.len(),
                _ => p.push((s.cx().turn(), chunk.len())),
            }
        })
    });
    let c = client(at);
    // The kernel holds all of it before the first turn.
    write_all(&c, &[1u8; 200_000]);
    drop(c);
    lp.run().unwrap();
    let per_turn = per_turn.borrow();
    assert_eq!(per_turn.iter().map(|(_, n)| n).sum::<usize>(), 200_000);
    assert!(per_turn.iter().all(|(_, n)| *n <= 64 * 1024), "{per_turn:?}");
    assert!(per_turn.len() >= 4);
}

/// A layer finds its own handles alone: it cannot take readiness from another's connection.
#[test]
fn readiness_is_not_for_other_layers_to_forget() {
    use tidegate::kind::{LayerId, Owner};
    static OTHER: LayerId<()> = LayerId::new(|| ());
    static MINE: Owner = Owner::new();
    let mut lp = guarded();
    let (peer, ours) = pair();
    let read = Rc::new(RefCell::new(0));
    let r = read.clone();
    let key = lp.adopt(ours, On::new().data(move |_, chunk| *r.borrow_mut() += chunk.len()));
    let key: tidegate::Key = key.unwrap().into();
    lp.next_tick(move |cx| {
        for owner in [OTHER.owner(), &MINE] {
            assert!(cx.driver().handle(owner, key).is_none());
            assert_eq!(cx.driver().data(owner, key), None);
        }
    });
    write_all(&peer, b"tide");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(*read.borrow(), 4);
}
