//! Pipes: TLS to TLS and TLS to plain hold back-pressure, and an end goes through.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::prelude::*;
use tidegate::tls::TlsVersion;

use crate::peer::*;
use crate::support::*;
use crate::{ours, tide};

/// A proxy in front of a server that reads when it is let, with TLS on the way in, and out or not.
fn through(tls_out: bool) {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (bytes, ended) = (Rc::new(Cell::new(0usize)), Rc::new(Cell::new(false)));
    let key = Rc::new(Cell::new(None));
    let (sum, end, here) = (bytes.clone(), ended.clone(), key.clone());
    let mut options = ListenOptions::new("127.0.0.1:0").pause_on_connect(true);
    if tls_out {
        options = options.filter(tls.clone());
    }
    let back = lp.listen(options, move |conn| {
        let (sum, end) = (sum.clone(), end.clone());
        let on = On::new().data(move |_, chunk| sum.set(sum.get() + chunk.len())).end(move |s| {
            end.set(true);
            let _ = s.write("all");
        });
        here.set(Some(conn.accept(on).key()));
    });
    let back = lp.server(back.unwrap()).local_addr().unwrap();
    let client = ours(&ca);
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let front = lp.listen(options, move |mut conn| {
        let from = conn.key();
        let mut options = ConnectOptions::new(back).allow_half_open(true);
        if tls_out {
            options = options.filter(client.clone());
        }
        let to = conn.connect(options, On::new());
        let mut s = conn.accept(On::new());
        s.pipe(from, to, |_, done| assert!(done.is_ok())).unwrap();
        s.pipe(to, from, |_, done| assert!(done.is_ok())).unwrap();
    });
    let at = lp.server(front.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let total = 16 << 20;
    let sender = std::thread::spawn(move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        peer.conn.set_buffer_limit(None);
        for _ in 0..16 {
            peer.send(&vec![5; 1 << 20]).unwrap();
        }
        peer.conn.send_close_notify();
        peer.flush().unwrap();
        peer.receive(10).unwrap()
    });
    turn_until(&mut lp, |lp| key.get().is_some() && lp.net_metrics().full > 0);
    for _ in 0..50 {
        lp.run_nowait().unwrap();
    }
    // Nobody reads behind the proxy: it holds a mark and one read, and the sender waits.
    assert!(lp.net_metrics().held < 400 * 1024, "{:?}", lp.net_metrics());
    assert!(!sender.is_finished());
    lp.socket(key.get().unwrap()).resume();
    turn_until(&mut lp, |_| ended.get() && sender.is_finished());
    assert_eq!(bytes.get(), total);
    assert_eq!(sender.join().unwrap(), b"all");
}

#[test]
fn b34_tls_to_tls() {
    through(true);
}

#[test]
fn b34_tls_to_plain() {
    through(false);
}
