//! What can be written: bytes that are lent, given away or shared, all in one order.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::prelude::*;

use crate::support::*;

/// A kind of bytes for each writing method; the answer is `Ready` while the queue is short.
fn write_all_kinds(s: &mut SocketCx<'_>) {
    let (text, vec, shared) = (String::from("c"), vec![b'd'], Bytes::from_static(b"e"));
    let all = [
        s.write(b"a"),
        s.write("b"),
        s.write(&text),
        s.write(&vec),
        s.write(&shared),
        s.write(&vec[..0]),
        s.write(Cow::from("f")),
        s.write(Cow::from(String::from("g"))),
        s.write(Cow::from(&b"h"[..])),
        s.write(String::from("i")),
        s.write(vec![b'j'; 1]),
        s.write(vec![b'k'; 1].into_boxed_slice()),
        s.write(shared),
    ];
    assert!(all.iter().all(|flow| *flow == Flow::Ready), "{all:?}");
    assert_eq!(s.write_id(text, 7), Flow::Ready);
}

#[test]
fn every_kind_of_bytes() {
    let mut lp = guarded();
    let written = Rc::new(Cell::new(false));
    let w = written.clone();
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        let w = w.clone();
        let mut s = conn.accept(On::new().written(move |_, id, result| {
            assert_eq!((id, result.is_ok()), (7, true));
            w.set(true);
        }));
        write_all_kinds(&mut s);
        assert_eq!(s.end_with(Cow::from("!")), Flow::Ready);
        assert_eq!(s.write("too late"), Flow::Closed);
    });
    let c = client(lp.server(server.unwrap()).local_addr().unwrap());
    let got = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    assert_eq!(got.join().unwrap(), b"abcdefghijkec!");
    assert!(written.get());
}

/// The same, corked: each goes through the queue.
#[test]
fn every_kind_of_bytes_through_the_queue() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    let mut s = lp.socket(key);
    s.cork();
    write_all_kinds(&mut s);
    assert_eq!(s.buffered(), 13);
    s.end();
    s.uncork();
    let got = std::thread::spawn(move || read_to_end(&peer));
    lp.run().unwrap();
    assert_eq!(got.join().unwrap(), b"abcdefghijkec");
}
