//! Certificates by name, decisions about a client that has said what it wants, and certificates
//! that change while the server runs.

use std::sync::mpsc;

use tidegate::prelude::*;
use tidegate::tls::{Alert, Certificate, Choice, Tls, TlsError, TlsServer, TlsVersion};

use crate::authority::{Authority, NOW};
use crate::echo;
use crate::peer::*;
use crate::support::*;

/// The subject of the certificate that a client sees, or the alert that it gets.
fn asks(lp: &mut Loop, at: std::net::SocketAddr, ca: &Authority, name: &str) -> String {
    let config = client_config(ca, TlsVersion::V1_3, &[]);
    let name = name.to_owned();
    beside(lp, move || {
        let mut peer = Peer::client(at, config, &name);
        match peer.handshake() {
            Ok(()) => {
                let shown = peer.conn.peer_certificates().unwrap()[0].clone();
                Certificate::read(&shown).unwrap().subject
            }
            Err(e) => e.to_string(),
        }
    })
}

#[test]
fn b02_certificates_by_name() {
    let ca = Authority::new();
    let builder = TlsServer::builder()
        .identity_for("A.example", ca.leaf("a.example"))
        .identity_for("*.b.example", ca.leaf("*.b.example"));
    let strict = builder.clone().build().unwrap();
    let open = builder.identity(ca.leaf("c.example")).build().unwrap();
    let mut lp = guarded();
    let ((_, at), (_, open)) = (echo(&mut lp, &strict), echo(&mut lp, &open));
    assert_eq!(asks(&mut lp, at, &ca, "a.example"), "a.example");
    assert_eq!(asks(&mut lp, at, &ca, "x.b.example"), "*.b.example");
    assert_eq!(asks(&mut lp, open, &ca, "c.example"), "c.example");
    for unknown in ["b.example", "x.y.b.example", "z.example"] {
        let refused = asks(&mut lp, at, &ca, unknown);
        assert!(refused.contains("UnrecognisedName"), "{refused}");
    }
    turn_until(&mut lp, |_| strict.stats().handshakes == 2);
    let stats = strict.stats();
    assert_eq!((stats.handshakes, stats.failed), (2, 3));
    assert_eq!(stats.by_code["ERR_TLS_REFUSED"], 3);
}

#[test]
fn b02_a_choice_by_name_and_protocol() {
    let ca = Authority::new();
    let a = TlsServer::builder().identity(ca.leaf("a.example")).build_config().unwrap();
    let tls = TlsServer::builder()
        .identity(ca.leaf("b.example"))
        .choose(move |hello| {
            assert!(hello.key().is_some() && hello.alpn().next().is_none());
            match hello.server_name() {
                Some("a.example") => Choice::Config(a.clone()),
                Some("b.example") => Choice::Default,
                _ => Choice::Refuse(Alert::ACCESS_DENIED),
            }
        })
        .build()
        .unwrap();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    assert_eq!(asks(&mut lp, at, &ca, "a.example"), "a.example");
    assert_eq!(asks(&mut lp, at, &ca, "b.example"), "b.example");
    assert!(asks(&mut lp, at, &ca, "c.example").contains("AccessDenied"));
}

/// The choice comes from another thread; the client has sent more by then.
#[test]
fn b03_a_choice_that_comes_later() {
    for choice in [Choice::Default, Choice::Refuse(Alert::UNRECOGNISED_NAME)] {
        let ca = Authority::new();
        let (asked, asks) = mpsc::channel();
        let tls = TlsServer::builder()
            .identity(ca.leaf("tide.example"))
            .choose(move |hello| {
                asked.send(hello.key().unwrap()).unwrap();
                Choice::Later
            })
            .build()
            .unwrap();
        let mut lp = guarded();
        let (server, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, TlsVersion::V1_3, &[]);
        let peer = std::thread::spawn(move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake()?;
            peer.send(b"now")?;
            peer.receive(3)
        });
        let mut key = None;
        turn_until(&mut lp, |_| {
            key = key.or(asks.try_recv().ok());
            key.is_some()
        });
        let key = key.unwrap();
        assert_eq!(lp.server(server).stats().unwrap().connections, 1);
        assert!(lp.why_alive().iter().any(|h| h.to_string().contains("tls handshake")));
        let refused = matches!(choice, Choice::Refuse(_));
        lp.socket(key).filter::<Tls>().unwrap().choose(choice);
        lp.socket(key).poke_filter();
        let got = beside(&mut lp, move || peer.join().unwrap());
        match refused {
            false => assert_eq!(got.unwrap(), b"now"),
            true => assert!(got.unwrap_err().to_string().contains("UnrecognisedName")),
        }
    }
}

#[test]
fn b03_a_choice_that_never_comes_meets_the_deadline() {
    let ca = Authority::new();
    let tls = TlsServer::builder()
        .identity(ca.leaf("tide.example"))
        .choose(|_| Choice::Later)
        .build()
        .unwrap();
    struct Waits(Log);
    impl ServerHandler for Waits {
        fn on_connection(&mut self, _: Incoming<'_>) {
            panic!("nobody chose");
        }
        fn on_refused(&mut self, server: &mut ServerCx<'_>, close: Close) {
            self.0.add(close.reason.error().unwrap().timeout().unwrap().to_string());
            assert!(TlsError::of(close.reason.error().unwrap()).is_none());
            server.close().unwrap();
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let options = ListenOptions::new("127.0.0.1:0")
        .handshake_timeout(std::time::Duration::from_millis(30))
        .filter(tls.clone());
    let server = lp.serve(options, Waits(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let peer = std::thread::spawn(move || Peer::client(at, config, "tide.example").handshake());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["handshake timeout"]);
    assert!(peer.join().unwrap().is_err());
    assert_eq!(tls.stats().under_way, 0);
}

#[test]
fn b25_certificates_change_while_the_server_runs() {
    let ca = Authority::new();
    let mut options = TlsServer::builder().identity(ca.leaf("one.example"));
    let tls = options.build().unwrap();
    let before = tls.not_after().unwrap();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    assert_eq!(asks(&mut lp, at, &ca, "one.example"), "one.example");
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let mut open = beside(&mut lp, move || {
        let mut open = Peer::client(at, config, "one.example");
        open.handshake().unwrap();
        open
    });
    let new = ca.leaf_with("two.example", (NOW.0, 2050), &rcgen::PKCS_ECDSA_P256_SHA256);
    tls.reload(&mut options.clone().identity(new)).unwrap();
    assert!(tls.not_after().unwrap() < before);
    assert_eq!(asks(&mut lp, at, &ca, "two.example"), "two.example");
    // What is open goes on.
    let got = beside(&mut lp, move || {
        open.send(b"still").unwrap();
        open.receive(5).unwrap()
    });
    assert_eq!(got, b"still");
    // What cannot be used changes nothing.
    assert!(tls.reload(&mut TlsServer::builder()).is_err());
    assert_eq!(asks(&mut lp, at, &ca, "two.example"), "two.example");
    turn_until(&mut lp, |_| tls.stats().handshakes == 4);
}

#[test]
fn b29_a_choice_that_panics_ends_its_connection_only() {
    let ca = Authority::new();
    let tls = TlsServer::builder()
        .identity(ca.leaf("tide.example"))
        .choose(|hello| match hello.server_name() {
            Some("tide.example") => Choice::Default,
            _ => panic!("what is that?"),
        })
        .build()
        .unwrap();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let bad = std::thread::spawn(move || Peer::client(at, config, "other.example").handshake());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        turn_until(&mut lp, |_| false);
    }));
    let text = *panicked.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text, "what is that?");
    assert_eq!(asks(&mut lp, at, &ca, "tide.example"), "tide.example");
    assert!(bad.join().unwrap().is_err());
    // The client's last flight may still be on its way.
    turn_until(&mut lp, |_| tls.stats().under_way == 0);
}
