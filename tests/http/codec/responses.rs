//! What responses are refused, and how long their bodies are, each whole and cut at every byte.

use tidegate::http::codec::*;

use super::{Told, every_cut};

fn responses(method: &str, bytes: &str) -> Vec<Told> {
    let make = || {
        let mut decoder = ResponseDecoder::new(Limits::default());
        decoder.expect(method);
        decoder
    };
    every_cut(make, bytes.as_bytes())
}

/// The body of the first response, and whether something came behind it; `Err`: refused or cut.
fn body(method: &str, bytes: &str) -> Result<(String, usize), ()> {
    let all = responses(method, bytes);
    if matches!(all.last(), Some(Told::Refused(..) | Told::Cut)) {
        return Err(());
    }
    let first = all.iter().skip_while(|t| matches!(t, Told::Head(_)));
    let part = first.take(1).filter_map(|t| match t {
        Told::Body(part) => Some(String::from_utf8(part.clone()).unwrap()),
        _ => None,
    });
    Ok((part.collect(), all.iter().filter(|t| **t == Told::End).count()))
}

#[test]
fn lengths_of_bodies() {
    let ok = |text: &str, n| Ok((text.to_owned(), n));
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(body("GET", &format!("{length}tide")), ok("tide", 1));
    assert_eq!(body("GET", &format!("{length}tid")), Err(()));
    assert_eq!(body("HEAD", length), ok("", 1));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntide\r\n0\r\n\r\n";
    assert_eq!(body("GET", chunked), ok("tide", 1));
    assert_eq!(body("GET", "HTTP/1.1 200 OK\r\n\r\nall of it"), ok("all of it", 1));
    assert_eq!(body("GET", "HTTP/1.0 200 OK\r\n\r\n"), ok("", 1));
    for none in [204, 304] {
        assert_eq!(
            body("GET", &format!("HTTP/1.1 {none} x\r\nContent-Length: 4\r\n\r\n")),
            ok("", 1)
        );
    }
    assert_eq!(body("CONNECT", "HTTP/1.1 200 OK\r\n\r\n"), ok("", 1));
    assert_eq!(body("GET", "HTTP/1.1 101 x\r\n\r\n"), ok("", 1));
}

#[test]
fn informational_responses_come_first() {
    let all = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let told = responses("GET", all);
    assert_eq!(told.iter().filter(|t| matches!(t, Told::Head(_))).count(), 3);
    assert_eq!(told.last(), Some(&Told::End));
}

#[test]
fn heads() {
    for good in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200",
        "HTTP/1.0 404 Not Found",
        "HTTP/1.1 999 \t x",
    ] {
        assert!(body("HEAD", &format!("{good}\r\n\r\n")).is_ok(), "{good:?}");
    }
    for bad in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200 OK\nA: b",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 OK\r\nA : b",
        "HTTP/1.1 200 OK\r\nA: b\r\n c",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1",
        "HTTP/1.1 200 OK\r\nContent-Length: +1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nA: b\rC: d",
        "HTTP/1.1 200\rOK",
        "200 OK",
        "HTTP/1.1 OK",
    ] {
        assert_eq!(body("HEAD", &format!("{bad}\r\n\r\n")), Err(()), "{bad:?}");
    }
}

#[test]
fn whether_the_connection_goes_on() {
    let goes_on = |method: &str, bytes: &str| {
        let mut decoder = ResponseDecoder::new(Limits::default());
        decoder.expect(method);
        let mut fields = Fields::new();
        match decoder.next(bytes.as_bytes(), &mut fields).1 {
            Event::Head(head) => (head.keep_alive, head.upgrade),
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(goes_on("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), (true, false));
    assert_eq!(goes_on("GET", "HTTP/1.1 200 OK\r\n\r\n"), (false, false));
    assert_eq!(goes_on("HEAD", "HTTP/1.1 200 OK\r\n\r\n"), (true, false));
    assert_eq!(
        goes_on("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        (false, false)
    );
    assert_eq!(goes_on("GET", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), (false, false));
    assert_eq!(
        goes_on("GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
        (true, false)
    );
    assert_eq!(goes_on("GET", "HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n"), (false, true));
    assert_eq!(goes_on("CONNECT", "HTTP/1.1 200 OK\r\n\r\n"), (false, true));
}

/// An informational response has no body. Decoders of others take one from it, so it is refused.
#[test]
fn a_body_of_an_informational_response() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for status in [100, 103, 150] {
        let all = |field: &str| format!("HTTP/1.1 {status} x\r\n{field}\r\n\r\n{last}");
        for field in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
            assert_eq!(body("GET", &all(field)), Err(()), "{status}, {field}");
        }
        assert_eq!(body("GET", &all("Content-Length: 0")), Ok((String::new(), 2)), "{status}");
    }
    let switch = "HTTP/1.1 101 x\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(body("GET", switch), Err(()));
}
