//! What observers and counters show of TLS, and what they never show: bytes.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::tls::rustls::KeyLog;
use tidegate::tls::{TlsEvent, TlsEventKind, TlsServer, TlsVersion};

use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

/// Every event as a line with all its fields; those of TLS apart.
#[derive(Clone, Default)]
struct All {
    lines: Rc<RefCell<String>>,
    tls: Rc<RefCell<Vec<TlsEvent>>>,
}

impl Observer for All {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        let mut lines = self.lines.borrow_mut();
        lines.push_str(&format!("{} {}: {event}", event.layer(), event.name()));
        event.fields(&mut |name, value| lines.push_str(&format!(" {name}={value}")));
        lines.push('\n');
        if let Event::Layer(event) = event {
            if let Some(event) = event.as_any().downcast_ref::<TlsEvent>() {
                self.tls.borrow_mut().push(event.clone());
            }
        }
    }
}

#[test]
fn b41_events_tell_of_handshakes_and_never_bytes() {
    let ca = Authority::new();
    let builder = TlsServer::builder().identity(ca.leaf("tide.example")).alpn(["echo"]);
    let tls = builder.clone().build().unwrap();
    let mut lp = guarded();
    let seen = All::default();
    lp.observe(seen.clone());
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_3, &["echo"]);
    beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        peer.send(b"a secret of the sea").unwrap();
        peer.receive(19).unwrap();
        peer.end().unwrap();
        assert_eq!(peer.receive(1).unwrap(), b"");
    });
    let c = client(at);
    beside(&mut lp, move || {
        write_all(&c, b"no TLS at all");
        read_to_end(&c);
    });
    let events = seen.tls.borrow();
    let [good, bad] = &events[..] else { panic!("{events:?}") };
    assert!(good.connection.server.is_some() && good.connection.remote.is_some());
    let TlsEventKind::Handshake { version, suite, alpn, server_name, resumed, .. } = &good.what
    else {
        panic!("{good:?}")
    };
    assert_eq!((*version, *resumed), (Some(TlsVersion::V1_3), false));
    assert_eq!(alpn.as_deref(), Some("echo"));
    assert_eq!(server_name.as_deref(), Some("tide.example"));
    assert!(suite.is_some_and(|suite| suite.starts_with("TLS13_")));
    let TlsEventKind::Failed { code, sent, .. } = &bad.what else { panic!("{bad:?}") };
    assert_eq!((*code, sent.unwrap().0), ("ERR_SSL_WRONG_VERSION_NUMBER", 50));
    let lines = seen.lines.borrow();
    assert!(lines.contains("tls handshake: 127.0.0.1:"), "{lines}");
    assert!(lines.contains(" version=TLSv1.3 ") && lines.contains(" alpn=echo "), "{lines}");
    assert!(lines.contains("alert_sent=decode_error"), "{lines}");
    assert!(!lines.contains("secret of") && !lines.contains("no TLS"), "{lines}");
}

#[test]
fn counters_are_in_the_prometheus_text() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_2, &[]);
    beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        write_all(&client(at), b"GET / HTTP/1.0\r\n");
    });
    turn_until(&mut lp, |_| tls.stats().failed == 1 && tls.stats().handshakes == 1);
    let none = tidegate::prometheus::Snapshot::take(&mut *lp);
    assert!(!none.clone().text().contains("tidegate_tls"));
    let text = none.with_tls("front", tls.stats(), tls.not_after()).text();
    for line in [
        "tidegate_tls_handshakes_total{tls=\"front\"} 1",
        "tidegate_tls_resumed_total{tls=\"front\"} 0",
        "tidegate_tls_tls12_total{tls=\"front\"} 1",
        "tidegate_tls_failed_total{tls=\"front\"} 1",
        "tidegate_tls_under_way{tls=\"front\"} 0.0",
        "code=\"ERR_SSL_WRONG_VERSION_NUMBER\"} 1",
        // 2090-01-01
        "tidegate_tls_certificate_not_after_seconds{tls=\"front\"} 3786912000.0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[derive(Debug, Default)]
struct Keys(std::sync::Mutex<Vec<String>>);

impl KeyLog for Keys {
    fn log(&self, label: &str, _: &[u8], _: &[u8]) {
        self.0.lock().unwrap().push(label.to_owned());
    }
}

#[test]
fn b41_keys_are_logged_only_on_demand() {
    for asked in [false, true] {
        let ca = Authority::new();
        let keys = std::sync::Arc::new(Keys::default());
        let mut builder = TlsServer::builder().identity(ca.leaf("tide.example"));
        if asked {
            builder = builder.key_log(keys.clone());
        }
        let tls = builder.build().unwrap();
        let mut lp = guarded();
        let (server, at) = echo(&mut lp, &tls);
        let on = On::new().connect(move |s| {
            s.server(server).close().unwrap();
            s.end();
        });
        lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
        lp.run().unwrap();
        assert_eq!(keys.0.lock().unwrap().is_empty(), !asked);
    }
}

#[test]
fn b37_what_waits_is_named() {
    let (_, tls) = tide();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let _c = client(at);
    turn_until(&mut lp, |_| tls.stats().under_way == 1);
    let alive: Vec<_> = lp.why_alive().iter().map(|h| h.to_string()).collect();
    let waits = alive.iter().any(|h| h.contains("tls handshake 0.") && h.contains("not ready"));
    assert!(waits, "{alive:?}");
}
