//! The types of the `http` crate: all that the decoders accept becomes them, and they become
//! responses and requests.

use tidegate::http::codec::{Event, Fields, Limits, RequestDecoder, ResponseDecoder};
use tidegate::http::http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use tidegate::http::{ClientRequest, Http, HttpClient};
use tidegate::prelude::*;

use crate::support::*;

/// Each byte that a method, a name or a value may have.
#[test]
fn what_is_accepted_becomes_them() {
    for byte in 0..=255u8 {
        let mut bytes = b"G".to_vec();
        bytes.push(byte);
        bytes.extend(b"T / HTTP/1.1\r\nHost: a\r\nX");
        bytes.push(byte);
        bytes.extend(b": a");
        bytes.push(byte);
        bytes.extend(b"b\r\n\r\n");
        for cut in [&bytes[..], &[b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[26..]].concat()] {
            let mut fields = Fields::new();
            let mut decoder = RequestDecoder::new(Limits::default());
            let (_, Event::Head(head)) = decoder.next(cut, &mut fields) else { continue };
            let request = head.to_request().unwrap();
            assert_eq!(request.method().as_str(), head.method);
            assert_eq!(request.headers().len(), head.fields.len());
            for ((name, value), (n, v)) in head.fields.iter().zip(request.headers()) {
                assert!(n.as_str().eq_ignore_ascii_case(name), "{name}");
                assert_eq!(v.as_bytes(), value);
            }
        }
    }
    for status in 0..=1000 {
        let bytes = format!("HTTP/1.0 {status:03} Tide\r\nContent-Length: 0\r\n\r\n");
        let mut fields = Fields::new();
        let mut decoder = ResponseDecoder::new(Limits::default());
        decoder.expect("GET");
        let (_, event) = decoder.next(bytes.as_bytes(), &mut fields);
        let Event::Head(head) = event else {
            assert!(!(100..=999).contains(&status), "{status}");
            continue;
        };
        assert_eq!(head.to_status().as_u16(), status);
        let response = head.to_response().unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (status, Version::HTTP_10));
    }
}

#[test]
fn a_target_that_is_no_uri() {
    let bytes = b"GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut fields = Fields::new();
    let mut decoder = RequestDecoder::new(Limits::default());
    let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { panic!() };
    assert_eq!(head.to_method(), Method::GET);
    assert!(head.to_request().is_err());
}

/// A request that the types made, to a server that answers with them.
#[test]
fn there_and_back() {
    let mut lp = guarded();
    let server = lp
        .http_listen("127.0.0.1:0", |head, x| {
            let request = head.to_request().unwrap();
            match (request.method().clone(), request.uri().path()) {
                (Method::PUT, "/level") => {
                    let mut made = Response::new("rises\n");
                    *made.status_mut() = StatusCode::CREATED;
                    let asked = request.headers()["x-tide"].clone();
                    made.headers_mut().insert("x-tide", asked);
                    made.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
                    made.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
                    x.respond(&made, *made.body()).unwrap();
                }
                _ => x.respond(StatusCode::NOT_FOUND, "").unwrap(),
            }
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let made = Request::put(format!("http://{at}/level")).header("X-Tide", "\u{e9}").body("4 m");
    lp.fetch(ClientRequest::from(made.unwrap()), 100, move |cx, answer| {
        let response = answer.unwrap().into_response().unwrap();
        assert_eq!(
            (response.status(), &response.body()[..]),
            (StatusCode::CREATED, &b"rises\n"[..])
        );
        assert_eq!(response.headers()["x-tide"].as_bytes(), "\u{e9}".as_bytes());
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        cx.server(server).shutdown(std::time::Duration::ZERO).unwrap();
    })
    .unwrap();
    lp.run().unwrap();
    // A URL without a host is an error of the request.
    let made = Request::get("/level").body("").unwrap();
    lp.fetch(ClientRequest::from(made), 100, |_, answer| {
        assert_eq!(answer.unwrap_err().cause().to_string(), "a URL without a scheme");
    })
    .unwrap();
    lp.run().unwrap();
}
