//! Spans for OpenTelemetry: which there are, whose children they are, how they end; and what is
//! current in callbacks.

use std::cell::RefCell;
use std::rc::Rc;

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tidegate::http::{ClientRequest, Exchange, Head, Http};
use tidegate::observe::otel::Traces;
use tidegate::observe::otel::opentelemetry::trace::{
    SpanId, SpanKind, Status, TraceContextExt, Tracer, TracerProvider,
};
use tidegate::observe::otel::opentelemetry::{Context, Value};
use tidegate::prelude::*;
use tidegate::tls::{Identity, Roots, TlsClient, TlsServer};

use crate::support::*;

struct Spans {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    traces: Traces,
}

/// A loop whose spans are kept.
fn observed(limit: usize) -> (Guarded, Spans) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let traces = Traces::new(provider.tracer("test")).limit(limit);
    let mut lp = guarded();
    lp.observe(traces.observer());
    (lp, Spans { exporter, provider, traces })
}

impl Spans {
    fn all(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    #[track_caller]
    fn one(&self, name: &str) -> SpanData {
        let mut of = self.all();
        of.retain(|span| span.name == name);
        assert_eq!(of.len(), 1, "{name}: {:#?}", self.all());
        of.remove(0)
    }
}

fn get(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key.as_str() == key);
    found.map(|a| match &a.value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    })
}

fn listen(
    lp: &mut Loop,
    f: impl FnMut(&Head<'_>, Exchange<'_>) + 'static,
) -> (ServerKey, std::net::SocketAddr) {
    let server = lp.http_listen("127.0.0.1:0", f).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    (server, at)
}

/// Sends these bytes, and reads until the server closes.
fn talk(lp: &mut Loop, at: std::net::SocketAddr, bytes: &str) -> String {
    let bytes = bytes.to_owned();
    let peer = std::thread::spawn(move || {
        let peer = client(at);
        write_all(&peer, bytes.as_bytes());
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut &peer, &mut all);
        String::from_utf8_lossy(&all).into_owned()
    });
    poll_until(lp, |_| peer.is_finished());
    peer.join().unwrap()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_request_its_own_request_and_a_span_of_the_users() {
    let (mut lp, spans) = observed(100);
    let (upstream, to) = listen(&mut lp, |head, x| {
        let parent = head.fields.get("traceparent").unwrap();
        x.reply(503, parent.to_vec());
    });
    let (traces, tracer) = (spans.traces.clone(), spans.provider.tracer("user"));
    let (server, at) = listen(&mut lp, move |_, x| {
        let mut x = x.later();
        let key = x.key();
        traces.route(key, "/levels/{place}");
        tracer.start("in the callback");
        let tracer = tracer.clone();
        let request = ClientRequest::get(&format!("http://{to}/up?secret=1"));
        let done = move |cx: &mut Cx<'_>, answer: Result<tidegate::http::Answer, _>| {
            tracer.start("after the answer");
            cx.exchange(key).reply(200, answer.unwrap().body).unwrap();
            let _ = cx.server(upstream).close();
        };
        traces.fetch(&mut x, request, 1000, done).unwrap();
    });
    let head =
        format!("GET /levels/pier?now HTTP/1.1\r\nHost: tide:80\r\nTraceparent: {PARENT}\r\n");
    let answer = talk(&mut lp, at, &format!("{head}Connection: close\r\n\r\n"));
    lp.server(server).close().unwrap();
    lp.run().unwrap();

    let served = spans.one("/levels/{place}");
    assert_eq!(served.span_context.trace_id().to_string(), &PARENT[3..35]);
    assert_eq!(served.parent_span_id.to_string(), &PARENT[36..52]);
    assert!(served.parent_span_is_remote && served.span_kind == SpanKind::Server);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/levels/pier"),
        ("server.address", "tide"),
        ("server.port", "80"),
        ("client.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
        ("http.route", "/levels/{place}"),
    ] {
        assert_eq!(get(&served, key).as_deref(), Some(value), "{key}");
    }
    let both: Vec<_> = spans.all().into_iter().filter(|span| span.name == "GET").collect();
    let [up, sent] = &both[..] else { panic!("{both:#?}") };
    assert_eq!((&up.span_kind, &sent.span_kind), (&SpanKind::Server, &SpanKind::Client));
    let id = served.span_context.span_id();
    assert_eq!((sent.parent_span_id, up.parent_span_id), (id, sent.span_context.span_id()));
    assert_eq!(get(sent, "url.full").unwrap(), format!("http://127.0.0.1:{}/up", to.port()));
    assert!(
        matches!(sent.status, Status::Error { .. }) && matches!(up.status, Status::Error { .. })
    );
    assert!(answer.contains(&sent.span_context.span_id().to_string()), "{answer}");
    // What the user starts in a callback is a child, also when the answer has come.
    assert_eq!(spans.one("in the callback").parent_span_id, id);
    assert_eq!(spans.one("after the answer").parent_span_id, id);
    assert!(spans.one("connect").end_time >= spans.one("connect").start_time);
    assert_eq!((spans.traces.counts().open, spans.traces.counts().left_out), (0, 0));
    assert!(!Context::current().span().span_context().is_valid());
}

#[test]
fn every_end_ends_a_span() {
    let (mut lp, spans) = observed(100);
    let (server, at) = listen(&mut lp, |head, x| match head.path() {
        "/reset" => x.reset(),
        "/panic" => std::panic::resume_unwind(Box::new(1)),
        "/forgotten" => {}
        _ => x.reply(200, "x"),
    });
    // A wrong parent begins a new trace; a method that nobody knows is no name.
    let close = "Host: a\r\nConnection: close\r\n";
    talk(&mut lp, at, &format!("MOON / HTTP/1.1\r\n{close}Traceparent: {}\r\n\r\n", &PARENT[1..]));
    let other = spans.one("HTTP");
    assert_eq!(other.parent_span_id, SpanId::INVALID);
    assert_eq!(get(&other, "http.request.method_original").as_deref(), Some("MOON"));
    for path in ["/reset", "/forgotten"] {
        talk(&mut lp, at, &format!("GET {path} HTTP/1.1\r\n{close}\r\n"));
    }
    let peer = client(at);
    write_all(&peer, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    let run = std::panic::AssertUnwindSafe(|| turn_until(&mut lp, |_| false));
    assert!(std::panic::catch_unwind(run).is_err());
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    // The next call took the context of the one that panicked away.
    assert!(!Context::current().span().span_context().is_valid());
    let ends: Vec<_> =
        spans.all().iter().filter(|s| s.name == "GET").map(|s| s.status.clone()).collect();
    assert_eq!(ends.len(), 3, "{ends:?}");
    assert!(ends.iter().all(|status| matches!(status, Status::Error { .. })), "{ends:?}");
    assert_eq!(spans.traces.counts().open, 0);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
fn beyond_the_limit_there_are_none() {
    let (mut lp, spans) = observed(0);
    let contexts: Rc<RefCell<Vec<bool>>> = Rc::default();
    let (seen, traces) = (contexts.clone(), spans.traces.clone());
    let (server, at) = listen(&mut lp, move |_, x| {
        seen.borrow_mut().push(traces.context(x.key()).is_some());
        x.reply(200, "x");
    });
    let url = format!("http://{at}/");
    let done = move |cx: &mut Cx<'_>, _| {
        let _ = cx.server(server).close();
    };
    spans.traces.fetch(&mut *lp, ClientRequest::get(&url), 10, done).unwrap();
    lp.run().unwrap();
    assert_eq!(*contexts.borrow(), [false]);
    // The request, its connect, and what the server got of it.
    let counts = spans.traces.counts();
    assert_eq!((counts.started, counts.open), (0, 0));
    assert!(counts.left_out >= 3, "{counts:?}");
}

/// Without events no span would ever end: so there are none.
#[test]
fn without_an_observer_nothing_is_kept() {
    let (mut lp, spans) = observed(100);
    drop(spans.traces.observer());
    let (server, at) = listen(&mut lp, |head, x| {
        let seen = head.fields.get("traceparent").is_some();
        x.reply(200, if seen { "seen" } else { "not seen" });
    });
    let url = format!("http://{at}/");
    let traces = spans.traces.clone();
    let done = move |cx: &mut Cx<'_>, answer: Result<tidegate::http::Answer, _>| {
        assert_eq!(&answer.unwrap().body[..], b"not seen");
        let _ = cx.server(server).close();
    };
    traces.fetch(&mut *lp, ClientRequest::get(&url), 10, done).unwrap();
    assert_eq!(spans.traces.counts().open, 0);
    lp.run().unwrap();
    assert!(
        spans.all().iter().all(|span| span.span_kind != SpanKind::Client || span.name == "connect")
    );
}

/// A loop that is dropped ends what is open.
#[test]
fn a_dropped_loop_ends_its_spans() {
    let (mut lp, spans) = observed(100);
    let (_, at) = listen(&mut lp, |_, x| {
        x.later();
    });
    let peer = client(at);
    write_all(
        &peer,
        format!("GET / HTTP/1.1\r\nHost: a\r\nTraceparent: {PARENT}\r\n\r\n").as_bytes(),
    );
    poll_until(&mut lp, |_| spans.traces.counts().open == 1);
    assert!(spans.all().is_empty());
    // Leaves the guard's checks out.
    let mut plain = Loop::new().unwrap();
    std::mem::swap(&mut *lp, &mut plain);
    drop(plain);
    assert_eq!((spans.traces.counts().open, spans.all().len()), (0, 1));
}

#[test]
fn a_server_that_begins_anew() {
    let (mut lp, spans) = observed(100);
    let spans = Spans { traces: spans.traces.begin_anew(), ..spans };
    let (server, at) = listen(&mut lp, |_, x| x.reply(200, "x"));
    talk(
        &mut lp,
        at,
        &format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTraceparent: {PARENT}\r\n\r\n"),
    );
    assert_eq!(spans.one("GET").parent_span_id, SpanId::INVALID);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
fn connects_that_fail_and_handshakes() {
    let (mut lp, spans) = observed(100);
    lp.connect(closed_port(), On::new().close(|_, _| {}));
    lp.run().unwrap();
    let failed = spans.one("connect");
    assert!(
        matches!(&failed.status, Status::Error { description } if description.contains("ECONNREFUSED"))
    );
    let events: Vec<_> = failed.events.iter().map(|e| e.name.to_string()).collect();
    assert_eq!(events, ["attempt", "attempt failed"]);
    spans.exporter.reset();

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let tls = TlsServer::builder().identity(identity).build().unwrap();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp
        .listen(options, |mut conn| {
            let _ = conn.server(conn.server_key()).close();
            conn.accept(On::new());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let roots = Roots::from_pem(pem.as_bytes()).unwrap();
    let tls = TlsClient::builder().roots(roots).build().unwrap().name("localhost").unwrap();
    lp.connect(ConnectOptions::new(at).filter(tls), On::new().connect(|s| s.end()));
    lp.run().unwrap();
    let handshakes: Vec<_> =
        spans.all().into_iter().filter(|s| s.name == "tls handshake").collect();
    assert_eq!(handshakes.len(), 2, "one on each side");
    for span in handshakes {
        assert_eq!(get(&span, "tls.protocol.version").as_deref(), Some("TLSv1.3"));
        assert!(span.end_time > span.start_time);
    }
}
