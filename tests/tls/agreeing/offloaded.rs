//! Handshakes by the threads of `work`.

use tidegate::prelude::*;
use tidegate::tls::TlsVersion;

use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

#[test]
fn b40_threads_do_handshakes() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let offloaded = tls.offload(lp.remote());
        let (_, at) = echo(&mut lp, &offloaded);
        for _ in 0..3 {
            let config = client_config(&ca, of, &[]);
            let got = beside(&mut lp, move || {
                let mut peer = Peer::client(at, config, "tide.example");
                std::io::Write::write_all(&mut peer.conn.writer(), b"early").unwrap();
                peer.handshake().unwrap();
                peer.receive(5).unwrap()
            });
            assert_eq!(got, b"early");
        }
        // Of 1.2 and of 1.3 each flight of the client is a job.
        assert!(lp.work_stats().done >= 6, "{:?}", lp.work_stats());
        assert_eq!((tls.stats().handshakes, tls.stats().under_way), (3, 0));
    }
}

#[test]
fn b40_a_connection_that_ends_while_a_thread_works_is_gone() {
    let (_, tls) = tide();
    let mut lp = Loop::builder().work_threads(1).build().unwrap();
    let offloaded = tls.offload(lp.remote());
    let (server, at) = echo(&mut lp, &offloaded);
    let mut lp = guard(lp);
    // The only thread is busy.
    let (free, busy) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = std::sync::mpsc::channel();
    let job = move || {
        begins.send(()).unwrap();
        busy.recv()
    };
    lp.work(job, |_, _| {}).unwrap();
    begun.recv().unwrap();
    let ca = crate::authority::Authority::new();
    let mut peer = Peer::client(at, client_config(&ca, TlsVersion::V1_3, &[]), "tide.example");
    let hello = peer.records(b"");
    write_all(&peer.tcp, &hello);
    turn_until(&mut lp, |lp| lp.work_stats().queued == 1);
    reset(peer.tcp);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().refused == 1);
    assert_eq!(tls.stats().under_way, 0);
    free.send(()).unwrap();
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
fn b40_bad_bytes_fail_there_as_here() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let offloaded = tls.offload(lp.remote());
    let (_, at) = echo(&mut lp, &offloaded);
    let c = client(at);
    write_all(&c, b"GET / HTTP/1.1\r\n\r\n");
    let got = beside(&mut lp, move || read_to_end(&c));
    assert_eq!(got, [21, 3, 3, 0, 2, 2, 50]);
    assert_eq!(tls.stats().by_code["ERR_SSL_WRONG_VERSION_NUMBER"], 1);
    // The next one is served.
    let log = Log::default();
    let connected = log.clone();
    let on = On::new().connect(move |s| {
        connected.add("connected");
        s.end();
    });
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    turn_until(&mut lp, |_| log.has("connected"));
}
