//! Closures that get a value of the loop: each callback gets it, and what happens without it.

use std::time::Duration;

use tidegate::net::{Lines, OnShared, PeerState, Reason, Stage};
use tidegate::prelude::*;

use crate::support::*;

type Seen = Vec<&'static str>;

fn all(on: OnShared<Seen>) -> OnShared<Seen> {
    on.connect(|seen, s| {
        seen.push("connect");
        s.set_timer(7, Duration::from_millis(1));
        let _ = s.write_id("hello", 1);
    })
    .data(|seen, s, chunk| {
        seen.push("data");
        assert_eq!(chunk, b"tide");
        let _ = s.write(vec![0; 16 << 20]);
    })
    .written(|seen, _, id, result| {
        seen.push("written");
        assert!(id == 1 && result.is_ok());
    })
    .timer(|seen, _, token| {
        seen.push("timer");
        assert_eq!(token, 7);
    })
    .drain(|seen, s| {
        seen.push("drain");
        s.end();
    })
    .finish(|seen, _| seen.push("finish"))
    .end(|seen, _| seen.push("end"))
    .close(|seen, _, close| {
        seen.push("close");
        assert!(matches!(close.reason, Reason::Ended), "{close}");
    })
}

#[test]
fn every_callback_gets_it() {
    let mut lp = guarded();
    let seen = lp.share(Seen::new()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lp.connect(listener.local_addr().unwrap(), all(On::shared(seen)));
    let (peer, _) = listener.accept().unwrap();
    turn_until(&mut lp, |lp| lp.with(seen, |seen, _| seen.contains(&"timer")).unwrap());
    write_all(&peer, b"tide");
    let reads = std::thread::spawn(move || read_to_end(&peer).len());
    lp.run().unwrap();
    assert_eq!(reads.join().unwrap(), (16 << 20) + 5);
    let mut seen = lp.with(seen, |seen, _| std::mem::take(seen)).unwrap();
    assert_eq!((seen[0], seen[seen.len() - 1]), ("connect", "close"));
    seen.sort();
    let all = ["close", "connect", "data", "drain", "end", "finish", "timer", "written"];
    assert_eq!(seen, all);
}

#[test]
fn hangups_timeouts_and_shutdowns_get_it() {
    let mut lp = guarded();
    let seen = lp.share(Seen::new()).unwrap();
    let options = ListenOptions::new("127.0.0.1:0").idle_timeout(Duration::from_millis(5));
    let server = lp
        .listen(options, move |conn| {
            let on = On::shared(seen)
                .timeout(|seen, s| {
                    seen.push("timeout");
                    s.set_idle_timeout(DEADLINE);
                    let server = s.servers()[0].key;
                    s.server(server).shutdown(DEADLINE).unwrap();
                })
                .shutdown(|seen, s| {
                    seen.push("shutdown");
                    s.pause();
                    let _ = s.write("going down");
                })
                .hangup(|seen, s, peer| {
                    seen.push("hangup");
                    assert_eq!(peer, PeerState::Ended);
                    s.destroy();
                });
            conn.accept(on);
        })
        .unwrap();
    let peer = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.with(seen, |seen, _| seen.contains(&"shutdown")).unwrap());
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"going down");
    let seen = lp.with(seen, |seen, _| seen.clone()).unwrap();
    assert_eq!(seen, ["timeout", "shutdown", "hangup"]);
}

/// Without the value there is nothing that a closure could do: the connection is over.
#[test]
fn a_value_that_was_closed() {
    let mut lp = guarded();
    let log = Log::default();
    let seen = lp.share(Seen::new()).unwrap();
    let (peer, ours) = pair();
    let on = On::shared(seen).data(|_, _, _| panic!("called")).close(|_, _, _| panic!("called"));
    lp.adopt(ours, on).unwrap();
    let (framed_peer, ours) = pair();
    let framed = On::shared(seen).framed(Lines::new(9), |_, _, _| panic!("called"));
    lp.adopt(ours, framed).unwrap();
    let (told_peer, ours) = pair();
    let l = log.clone();
    let told = On::new().close(move |_, close| {
        let error = close.reason.error().unwrap();
        assert_eq!(error.stage(), Stage::Application);
        l.add(close.to_string());
    });
    lp.adopt(
        ours,
        tidegate::net::Framed::around(told, Lines::new(9), move |_, s, _| {
            // What the closures above do.
            let gone = s.with(seen, |_, _| ()).unwrap_err();
            s.destroy_with(gone);
            Flow::Closed
        }),
    )
    .unwrap();
    lp.close(seen).unwrap();
    for peer in [&peer, &framed_peer, &told_peer] {
        write_all(peer, b"tide\n");
    }
    lp.run().unwrap();
    for peer in [&peer, &framed_peer, &told_peer] {
        read_to_end(peer);
    }
    assert_eq!(log.lines().len(), 1);
    assert_eq!(lp.metrics().unhandled_errors, 2, "nobody could handle them");
    assert_eq!(handles(&lp), 0);
}

/// What a closure calls runs no callback, so the value is there whenever one comes.
#[test]
fn it_is_never_lent_twice() {
    let mut lp = guarded();
    let keys = lp.share(Vec::<SocketKey>::new()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let (peer, ours) = pair();
        let on = On::shared(keys)
            .data(|keys, s, chunk| {
                for key in keys.iter() {
                    match chunk {
                        b"all" => s.socket(*key).destroy(),
                        _ => assert_eq!(s.socket(*key).write(chunk), Flow::Ready),
                    }
                }
            })
            .close(|keys, s, _| keys.retain(|key| *key != s.key()));
        let key = lp.adopt(ours, on).unwrap();
        lp.with(keys, |keys, _| keys.push(key)).unwrap();
        peers.push(peer);
    }
    write_all(&peers[0], b"some");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 12);
    write_all(&peers[1], b"all");
    lp.run().unwrap();
    assert!(lp.with(keys, |keys, _| keys.is_empty()).unwrap());
    assert!(peers.iter().all(|peer| read_to_end(peer) == b"some"));
}
