//! Records: many small writes, empty ones, the largest; new keys in the middle.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::prelude::*;
use tidegate::tls::{Tls, TlsServer, TlsVersion};

use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

const MS: Duration = Duration::from_millis(1);

/// How many records a peer sends for the same bytes.
fn records(corked: bool) -> (usize, usize) {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, move |conn| {
        let mut s = conn.accept(On::new());
        if corked {
            s.cork();
        }
        for i in 0..10_000u32 {
            let _ = s.write(&i.to_be_bytes()[..]);
        }
        if corked {
            s.uncork();
        }
        s.end();
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let (wire, got) = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        let (mut wire, mut got) = (0, Vec::new());
        loop {
            let n = peer.conn.read_tls(&mut peer.tcp).unwrap();
            wire += n;
            peer.conn.process_new_packets().unwrap();
            let done = std::io::Read::read_to_end(&mut peer.conn.reader(), &mut got).is_ok();
            if done || n == 0 {
                break (wire, got);
            }
        }
    });
    assert!(got.chunks(4).enumerate().all(|(i, b)| b == (i as u32).to_be_bytes()));
    (wire, got.len())
}

#[test]
fn b11_small_writes_that_are_corked_share_records() {
    let (corked, len) = records(true);
    let (plain, same) = records(false);
    assert_eq!((len, same), (40_000, 40_000));
    // 22 bytes for each record, a few for tickets.
    assert!(corked < len + 22 * 8 + 2000, "{corked}");
    assert!(plain >= len + 22 * 10_000, "{plain}");
}

#[test]
fn b05_empty_writes_do_no_harm() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (server, at) = echo(&mut lp, &tls);
    let log = Log::default();
    let data = log.clone();
    let on = On::new()
        .connect(|s| {
            assert_eq!(s.write(""), Flow::Ready);
            assert_eq!(s.write("a"), Flow::Ready);
            assert_eq!(s.write(""), Flow::Ready);
        })
        .data(move |s, chunk| {
            data.add(String::from_utf8_lossy(chunk));
            s.end();
            s.server(server).close().unwrap();
        });
    let key = lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    assert_eq!(lp.socket(key).write(""), Flow::Ready);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a"]);
}

#[test]
fn b39_small_fragments_where_they_are_wanted() {
    let ca = Authority::new();
    let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
    let tls = builder.max_fragment_size(512).build().unwrap();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let longest = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        peer.send(&[7; 10_000]).unwrap();
        let (mut wire, mut longest) = (Vec::new(), 0);
        while wire.len() < 10_000 {
            let mut some = [0; 4096];
            let n = std::io::Read::read(&mut peer.tcp, &mut some).unwrap();
            wire.extend_from_slice(&some[..n]);
        }
        let mut rest = &wire[..];
        while let [23, 3, 3, high, low, after @ ..] = rest {
            let len = usize::from(*high) << 8 | usize::from(*low);
            longest = longest.max(len);
            rest = after.get(len..).unwrap_or_default();
        }
        longest
    });
    assert!((400..=512 + 17).contains(&longest), "{longest}");
}

/// New keys, asked for by each side, in the middle of an echo.
#[test]
fn b23_new_keys_in_the_middle() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, |conn| {
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
            assert!(s.filter::<Tls>().unwrap().refresh_keys());
            s.poke_filter();
            let _ = s.write("+");
        }));
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let got = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        let mut got = Vec::new();
        for _ in 0..5 {
            peer.send(b"x").unwrap();
            got.extend(peer.receive(2).unwrap());
            peer.conn.refresh_traffic_keys().unwrap();
            peer.flush().unwrap();
        }
        got
    });
    assert_eq!(got, b"x+x+x+x+x+");
}

/// A peer that asks for new keys without end is stopped.
#[test]
fn b23_a_flood_of_key_updates_is_refused() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let refused = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        let sent = (0..1000).find_map(|_| {
            peer.conn.refresh_traffic_keys().unwrap();
            peer.flush().err()
        });
        sent.map_or_else(|| peer.receive(1).unwrap_err().to_string(), |e| e.to_string())
    });
    assert!(!refused.is_empty());
    turn_until(&mut lp, |_| tls.stats().broken == 1);
}

/// An idle timeout counts what is on the wire: new keys refresh it, though the handler gets nothing.
#[test]
fn b32_new_keys_refresh_an_idle_timeout() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (log, first) = (Log::default(), Rc::new(Cell::new(None)));
    let peer = Rc::new(RefCell::new(None::<Peer>));
    let (closed, began, sender) = (log.clone(), first.clone(), peer.clone());
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        let (closed, began, sender) = (closed.clone(), began.clone(), sender.clone());
        let on = On::new().data(|_, _| panic!("no bytes of the user's came"));
        let mut s = conn.accept(on.close(move |_, c| closed.add(c.reason.to_string())));
        let (mut left, key) = (10, s.key());
        s.interval(20 * MS, move |cx, timer| {
            let mut sender = sender.borrow_mut();
            let Some(peer) = sender.as_mut() else { return };
            if began.get().is_none() {
                began.set(Some(Instant::now()));
                cx.socket(key).set_idle_timeout(60 * MS);
            }
            peer.conn.refresh_traffic_keys().unwrap();
            peer.flush().unwrap();
            left -= 1;
            if left == 0 {
                cx.close(timer).unwrap();
            }
        });
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let ready = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        peer
    });
    *peer.borrow_mut() = Some(ready);
    lp.run().unwrap();
    let ends = log.lines();
    assert!(matches!(&ends[..], [end] if end.contains("idle timeout")), "{ends:?}");
    let passed = first.get().unwrap().elapsed();
    assert!(passed >= 240 * MS, "{passed:?}");
}

/// Both sides can compute the same bytes.
#[test]
fn exported_keys_are_the_same_on_both_sides() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let log = Log::default();
    let seen = log.clone();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, move |mut conn| {
        let tls = conn.filter::<Tls>().unwrap();
        let mut bytes = [0; 16];
        assert!(tls.export_keying_material(&mut bytes, b"label", None));
        assert!(!tls.export_keying_material(&mut [], b"label", None));
        seen.add(format!("{bytes:?}"));
        conn.accept(On::new());
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let (_peer, theirs) = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        let bytes = peer.conn.export_keying_material([0; 16], b"label", None).unwrap();
        (peer, format!("{bytes:?}"))
    });
    turn_until(&mut lp, |_| log.has(&theirs));
}
