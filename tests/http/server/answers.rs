//! One request, one answer.

use tidegate::http::codec::EncodeError;
use tidegate::http::{Exchange, Head, Http, HttpError, Response};
use tidegate::prelude::*;

use super::*;

fn answer(head: &Head<'_>, x: Exchange<'_>) {
    match head.path() {
        "/" => x.reply(200, "hello"),
        "/204" => x.reply(204, ""),
        "/304" => x.reply(304, ""),
        "/parts" => {
            let mut x = x.start(200).unwrap();
            for part in ["a", "", "bc"] {
                assert_eq!(x.write(part), Flow::Ready);
            }
            x.end().unwrap();
        }
        "/length" => {
            let mut x = x.start(Response::new(200).length(5)).unwrap();
            if head.method == "GET" {
                assert_eq!(x.write("hello!"), Flow::Closed, "more than announced");
            }
            x.end_with("hello").unwrap();
        }
        "/cookies" => {
            let fields = [("Set-Cookie", "a=1"), ("X-TIDE", "High"), ("set-cookie", "b=2")];
            x.respond(Response::new(200).headers(&fields).header("last", "one"), "").unwrap();
        }
        "/big" => x.reply(200, vec![b'x'; 1 << 20]),
        "/trailers" => {
            let mut x = x.start(200).unwrap();
            let _ = x.write("hello");
            x.end_with_trailers([("x-sum", &b"7"[..])]).unwrap();
        }
        "/early" => {
            let mut x = x;
            x.inform(103, [("link", &b"</a>"[..])]).unwrap();
            assert!(x.inform(200, []).is_err());
            x.reply(200, "late");
        }
        _ => x.reply(404, ""),
    }
}

#[test]
fn n01_two_gets_on_one_connection() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    for _ in 0..2 {
        let a = c.get(&mut lp, "/");
        assert_eq!((a.status, a.text(), a.get("content-length")), (200, "hello", Some("5")));
        assert!(a.get("date").unwrap().ends_with(" GMT") && a.get("connection").is_none());
    }
    let m = lp.http_metrics();
    assert_eq!((m.requests, m.reused, m.in_flight, m.responses[1]), (2, 1, 0, 2));
    assert_eq!((m.connections, m.idle, m.durations.count()), (1, 1, 2));
}

/// A port for probes beside that of clients: only these are counted.
#[test]
fn requests_of_a_server_that_is_not_counted() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let not_ready = Plain(|head: &Head<'_>, x: Exchange<'_>| match head.path() {
        "/later" => {
            let mut x = x.later();
            let key = x.key();
            x.next_tick(move |cx| {
                let _ = cx.exchange(key).reply(503, "leaving");
            });
        }
        _ => x.reply(503, "leaving"),
    });
    let (_, probed) = serve(&mut lp, HttpOptions::new().counted(false), not_ready);
    let (mut c, mut balancer) = (Peer::new(at), Peer::new(probed));
    for path in ["/readyz", "/later", "/readyz"] {
        assert_eq!(balancer.get(&mut lp, path).status, 503);
        assert_eq!(c.get(&mut lp, "/").status, 200);
    }
    let m = lp.http_metrics();
    assert_eq!((m.requests, m.reused, m.in_flight, m.connections), (3, 2, 0, 2));
    assert_eq!((m.responses[1], m.responses[4], m.durations.count()), (3, 0, 3));
}

#[test]
fn n02_the_date_goes_on() {
    let (mut lp, script) = scripted();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    let first = c.get(&mut lp, "/");
    let again = c.get(&mut lp, "/");
    assert_eq!(first.get("date"), again.get("date"));
    // The loop's clock decides when it is made; the text is that of the wall.
    script.advance(std::time::Duration::from_secs(2));
    assert!(c.get(&mut lp, "/").get("date").unwrap().ends_with(" GMT"));
}

#[test]
fn n03_head() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    for (target, length) in [("/", Some("5")), ("/big", Some("1048576")), ("/length", Some("5"))] {
        c.send(&mut lp, format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let a = c.next(&mut lp, "HEAD").unwrap();
        assert_eq!((a.status, a.body.len(), a.get("content-length")), (200, 0, length), "{target}");
    }
    c.send(&mut lp, "HEAD /parts HTTP/1.1\r\nHost: a\r\n\r\n");
    let a = c.next(&mut lp, "HEAD").unwrap();
    assert_eq!((a.get("transfer-encoding"), a.body.len()), (Some("chunked"), 0));
    assert_eq!(c.get(&mut lp, "/").text(), "hello");
}

#[test]
fn n04_statuses_without_a_body() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    for target in ["/204", "/304"] {
        let a = c.get(&mut lp, target);
        assert_eq!(
            (a.body.len(), a.get("content-length"), a.get("transfer-encoding")),
            (0, None, None)
        );
    }
    assert_eq!(c.get(&mut lp, "/").status, 200);
}

#[test]
fn n05_http_10_gets_no_chunks() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /parts HTTP/1.0\r\n\r\n");
    let a = c.answer(&mut lp);
    assert_eq!(
        (a.text(), a.get("transfer-encoding"), a.get("connection")),
        ("abc", None, Some("close"))
    );
    assert!(c.is_over(&mut lp));
}

#[test]
fn n06_http_10_keep_alive() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    for _ in 0..2 {
        c.send(&mut lp, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let a = c.answer(&mut lp);
        assert_eq!((a.text(), a.get("connection")), ("hello", Some("keep-alive")));
    }
    c.send(&mut lp, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(c.answer(&mut lp).text(), "hello");
    assert!(c.is_over(&mut lp));
}

#[test]
fn a_client_that_asks_to_close_is_closed_at_once() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let a = c.answer(&mut lp);
    assert_eq!((a.text(), a.get("connection")), ("hello", Some("close")));
    assert!(c.is_over(&mut lp));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    assert_eq!(lp.http_metrics().connections, 0);
}

#[test]
fn n17_an_empty_part_does_not_end_the_body() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /parts HTTP/1.1\r\nHost: a\r\n\r\n");
    let a = c.answer(&mut lp);
    assert_eq!((a.text(), a.get("transfer-encoding")), ("abc", Some("chunked")));
    assert_eq!(c.get(&mut lp, "/length").text(), "hello");
    assert_eq!(c.get(&mut lp, "/big").body.len(), 1 << 20);
}

#[test]
fn n18_trailers_behind_chunks_alone() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| match head.path() {
        "/length" => {
            let mut x = x.start(Response::new(200).length(1)).unwrap();
            let _ = x.write("x");
            let refused = x.end_with_trailers([("a", &b"b"[..])]);
            assert_eq!(refused, Err(HttpError::Encode(EncodeError::Trailers)));
            x.end().unwrap();
        }
        _ => answer(head, x),
    });
    let mut c = Peer::new(at);
    let a = c.get(&mut lp, "/trailers");
    assert_eq!((a.text(), a.trailers), ("hello", 1));
    assert_eq!(c.get(&mut lp, "/length").text(), "x");
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn n19_a_body_that_is_too_short_is_a_reset() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| {
        let mut x = x.start(Response::new(200).length(10)).unwrap();
        let _ = x.write("short");
        assert_eq!(x.end(), Err(HttpError::Encode(EncodeError::TooShort)));
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(lp.http_metrics().broken, 1);
}

#[test]
fn informational_responses_come_before() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    let a = c.get(&mut lp, "/early");
    assert_eq!((a.status, a.get("link")), (103, Some("</a>")));
    assert_eq!(c.answer(&mut lp).text(), "late");
    c.send(&mut lp, "GET /early HTTP/1.0\r\n\r\n");
    assert_eq!(c.answer(&mut lp).status, 200, "HTTP/1.0 knows none");
}

#[test]
fn n61_n62_a_response_that_cannot_be_written() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, mut x| {
        let bad: Response<'_> = match head.path() {
            "/header" => Response::new(200).header("a", "b\r\nc: d"),
            "/name" => Response::new(200).header("a b", "c"),
            "/both" => Response::new(200)
                .headers(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")]),
            "/status" => Response::new(101),
            "/body" => Response::new(204),
            _ => return x.reply(99, "x"),
        };
        let key = x.key();
        let e = x.cx().exchange(key).respond(bad, "hello").unwrap_err();
        x.reply(200, e.to_string());
    });
    let mut c = Peer::new(at);
    for (target, text) in [
        ("/header", "a bad value of a field"),
        ("/name", "a bad name of a field"),
        ("/both", "fields that contradict the body's length"),
        ("/status", "a bad status"),
        ("/body", "a body where there is none"),
    ] {
        assert_eq!(c.get(&mut lp, target).text(), text, "{target}");
    }
    assert_eq!(c.get(&mut lp, "/99").status, 500);
    assert_eq!(lp.metrics().unhandled_errors, 1);
}

#[test]
fn n63_order_and_case_of_fields_are_kept() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    let a = c.get(&mut lp, "/cookies");
    let names: Vec<_> = a.fields[..4].iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(names, ["Set-Cookie: a=1", "X-TIDE: High", "set-cookie: b=2", "last: one"]);
}

/// The hint is for clients that read it: off by default, and only where the connection goes on.
#[test]
fn how_long_the_connection_is_kept() {
    let mut lp = guarded();
    let answer = |head: &Head<'_>, x: Exchange<'_>| match head.path() {
        "/close" => drop(x.respond(Response::new(200).close(), "")),
        _ => x.reply(200, ""),
    };
    let o = HttpOptions::new().keep_alive_header(true);
    let (_, told) = serve(&mut lp, o, Plain(answer));
    let o = o.keep_alive_timeout(std::time::Duration::ZERO);
    let (_, for_ever) = serve(&mut lp, o, Plain(answer));
    let (_, untold) = serve(&mut lp, HttpOptions::new(), Plain(answer));
    let mut c = Peer::new(told);
    let a = c.get(&mut lp, "/");
    let fields = (a.get("connection"), a.get("keep-alive"));
    assert_eq!(fields, (Some("keep-alive"), Some("timeout=5")));
    c.send(&mut lp, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let a = c.answer(&mut lp);
    assert_eq!(a.fields.iter().filter(|(n, _)| n == "Connection").count(), 1);
    assert_eq!(a.get("keep-alive"), Some("timeout=5"));
    let a = c.get(&mut lp, "/close");
    assert_eq!((a.get("connection"), a.get("keep-alive")), (Some("close"), None));
    for at in [for_ever, untold] {
        let a = Peer::new(at).get(&mut lp, "/");
        assert_eq!((a.get("connection"), a.get("keep-alive")), (None, None));
    }
}
