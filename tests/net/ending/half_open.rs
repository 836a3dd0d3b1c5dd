//! A connection whose peer has ended: it stays open until we end, and a reset is noticed.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::prelude::*;

use crate::one_connection::logged;
use crate::support::*;

#[test]
fn half_open_stays_open_until_we_end() {
    let mut lp = guarded();
    let key = Rc::new(Cell::new(None));
    let k = key.clone();
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let srv = lp
        .listen(options, move |conn| {
            let k = k.clone();
            conn.accept(On::new().end(move |s| k.set(Some(s.key()))));
        })
        .unwrap();
    let c = client(lp.server(srv).local_addr().unwrap());
    c.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| key.get().is_some());
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    let key = key.get().unwrap();
    assert_eq!(lp.socket(key).write(b"still here"), Flow::Ready);
    lp.socket(key).end();
    turn_until(&mut lp, |lp| lp.socket(key).state().is_err());
    assert_eq!(read_to_end(&c), b"still here");
}

/// A half-open connection that the peer resets is over, though nobody reads.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset after an end is not seen")]
fn a_reset_of_a_half_open_connection_is_noticed() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let srv = lp.listen(options, move |conn| {
        conn.accept(logged("server", &l));
    });
    let c = client(lp.server(srv.unwrap()).local_addr().unwrap());
    c.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("server end"));
    reset(c);
    turn_until(&mut lp, |_| log.lines().len() == 2);
    // Linux calls a reset after our reading ended a broken pipe.
    let close = &log.lines()[1];
    assert!(close.contains("ECONNRESET") || close.contains("EPIPE"), "{close}");
}
