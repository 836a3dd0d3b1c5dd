//! Requests of HTTP: they are steps of both sides of a timeline, and slices inside the connections
//! of a trace.

use serde_json::Value;
use tidegate::http::{ClientRequest, Http, HttpClient, OnResponse};
use tidegate::observe::{Perfetto, Side, Timeline};
use tidegate::prelude::*;

use super::scene::Memory;
use crate::support::*;

/// Two requests on one connection, a third that is not answered, and one that is refused.
fn requests(lp: &mut Loop) {
    let server = lp
        .http_listen("127.0.0.1:0", |head, x| match head.path() {
            "/reset" => x.reset(),
            path => x.reply(200, path),
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    ask(lp, format!("http://{at}"), server, &["/a", "/b", "/reset"]);
    lp.run().unwrap();
}

fn ask(cx: &mut impl AsCx, url: String, server: ServerKey, paths: &'static [&'static str]) {
    let mut cx = cx.cx();
    let Some((path, more)) = paths.split_first() else {
        let text = "GET  / HTTP/1.1\r\n\r\n";
        let at: std::net::SocketAddr = url["http://".len()..].parse().unwrap();
        let on = On::new().connect(move |s| {
            let _ = s.write(text);
        });
        cx.connect(at, on.close(move |s, _| s.server(server).close().unwrap()));
        return;
    };
    let request = ClientRequest::get(&format!("{url}{path}")).idempotent(false);
    let next = move |cx: &mut Cx<'_>, _| ask(cx, url.clone(), server, more);
    cx.request(request, OnResponse::new().close(next)).unwrap();
}

#[test]
fn the_timeline_has_them_on_both_sides() {
    let mut lp = guarded();
    let timeline = Timeline::new();
    lp.observe(timeline.clone());
    requests(&mut lp);
    let steps = timeline.steps();
    let known = ["request", "response", "broken", "refused", "answer begun"];
    let of = |side| {
        let own = steps.iter().filter(|s| s.side == side);
        let own = own.filter(|s| known.contains(&s.stage) || s.stage.starts_with("request "));
        own.map(|s| (s.stage, s.calls)).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Side::Server),
        [
            ("request", "on_request"),
            ("response", ""),
            ("request", "on_request"),
            ("response", ""),
            ("request", "on_request"),
            ("broken", "on_close"),
            ("refused", "on_refused"),
        ]
    );
    let answered =
        [("request sent", ""), ("answer begun", "on_head"), ("request answered", "on_close")];
    let client = of(Side::Client);
    assert_eq!(client[0], ("request waiting", ""));
    assert_eq!(client[1..4], answered);
    assert_eq!(client[4..7], answered, "no wait for a connection that is kept");
    assert_eq!(client[7..], [("request sent", ""), ("request failed", "on_close")]);
    let first = steps.iter().find(|s| s.stage == "request").unwrap();
    assert_eq!(first.text, "1: GET /a");
    assert!(first.connection.is_some());
}

#[test]
fn a_trace_has_them_inside_of_connections() {
    let memory = Memory::default();
    let mut lp = guarded();
    lp.observe(Perfetto::new(memory.clone()));
    requests(&mut lp);
    drop(lp);
    let events: Vec<Value> = serde_json::from_str(&memory.text()).unwrap();
    let mut open: std::collections::BTreeMap<u64, Vec<String>> = Default::default();
    let mut inside = Vec::new();
    for e in events.iter().filter(|e| e["pid"] == 2 && e["ph"] != "C") {
        let stack = open.entry(e["tid"].as_u64().unwrap()).or_default();
        match e["ph"].as_str().unwrap() {
            "B" => {
                stack.push(e["name"].as_str().unwrap().to_owned());
                if stack.len() > 1 {
                    inside.push(stack.join(" > "));
                }
            }
            "E" => assert!(stack.pop().is_some(), "an end without a beginning"),
            // What happens to a request is marked inside of its slice.
            "i" if e["cat"] == "http" && e["name"] != "refused" => {
                assert_eq!(stack.len(), 2, "{e}");
            }
            _ => {}
        }
    }
    assert!(open.values().all(|stack| stack.is_empty()), "{open:?}");
    let expected = ["request 1: GET /a", "request 2: GET /b", "request 3: GET /reset"];
    assert_eq!(inside, expected.map(|name| format!("open > {name}")));
}
