//! Addresses and ports that cannot be listened on or connected to.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use tidegate::net::{AddressFault, ListenError, Stage};
use tidegate::prelude::*;

use crate::one_connection::logged;
use crate::support::*;

#[test]
fn address_in_use_is_said_by_listen() {
    let mut lp = guarded();
    let first = lp.listen("127.0.0.1:0", |c| c.reject()).unwrap();
    let at = lp.server(first).local_addr().unwrap();
    let Err(ListenError::Failed(e)) = lp.listen(at, |c| c.reject()) else { panic!() };
    assert_eq!((e.stage(), e.code(), e.local()), (Stage::Bind, Some("EADDRINUSE"), Some(at)));
    // Windows has other words for it.
    let words = if cfg!(unix) { "address already in use " } else { "" };
    let (text, begins) = (e.to_string(), format!("bind on {at} failed: {words}"));
    assert!(text.starts_with(&begins) && text.ends_with(" (EADDRINUSE)"), "{text}");
    assert_eq!(handles(&lp), 1);
}

#[test]
fn address_not_available() {
    let mut lp = guarded();
    // TEST-NET-1 is nobody's address.
    let Err(ListenError::Failed(e)) = lp.listen("192.0.2.1:0", |c| c.reject()) else { panic!() };
    assert_eq!((e.stage(), e.kind()), (Stage::Bind, ErrorKind::AddrNotAvailable));
}

#[test]
fn bad_port_in_listen_and_connect() {
    let mut lp = guarded();
    let Err(ListenError::Address(e)) = lp.listen("127.0.0.1:70000", |c| c.reject()) else {
        panic!()
    };
    assert_eq!(e.fault, AddressFault::BadPort);
    let log = Log::default();
    for text in ["127.0.0.1:70000", "127.0.0.1", "::1:80"] {
        lp.connect(text, logged(text, &log));
    }
    assert_eq!(log.lines().len(), 0);
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 3, "exactly one event each");
    assert!(log.lines()[0].contains("lookup failed"), "{:?}", log.lines());
    assert!(log.lines()[0].contains("the port must be 0 to 65535"));
}

/// libuv 37: refused once, by `on_close`, with what was queued counted.
#[test]
fn libuv_37_connect_refused() {
    let mut lp = guarded();
    let at = closed_port();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s = seen.clone();
    let key = lp.connect(
        at,
        On::new()
            .connect(|_| panic!("connected to nobody"))
            .end(|_| panic!("no end without a connection"))
            .finish(|_| panic!("no finish without a connection"))
            .close(move |_, c| s.borrow_mut().push(c)),
    );
    assert_eq!(lp.socket(key).write(b"lost"), Flow::Ready);
    lp.socket(key).end();
    lp.run().unwrap();
    let seen = seen.borrow();
    assert_eq!(seen.len(), 1);
    let e = seen[0].reason.error().unwrap();
    assert_eq!((e.stage(), e.code(), e.remote()), (Stage::Connect, Some("ECONNREFUSED"), Some(at)));
    assert!(e.elapsed().is_some());
    assert_eq!(seen[0].unsent, 4);
    assert!(seen[0].to_string().starts_with(&format!("connect to {at} failed after ")));
    assert!(seen[0].to_string().ends_with("(4 bytes unsent)"), "{}", seen[0]);
}
