//! What the encoder writes, and what it refuses to write.

use tidegate::http::codec::*;

type Fields<'f> = &'f [(&'f str, &'f [u8])];

fn head(
    to: Answering,
    status: u16,
    length: Length,
    fields: Fields<'_>,
) -> Result<String, EncodeError> {
    let mut out = b"before".to_vec();
    let done =
        Encoder::new().response(&mut out, to, status, length, Some(b"now"), fields.iter().copied());
    let text = String::from_utf8(out).unwrap();
    match done {
        Ok(_) => Ok(text["before".len()..].to_owned()),
        Err(e) => {
            assert_eq!(text, "before", "nothing of it was written");
            Err(e)
        }
    }
}

const NEW: Answering =
    Answering { version: Version::Http11, head: false, keep_alive: true, hint: 0 };
const OLD: Answering =
    Answering { version: Version::Http10, head: false, keep_alive: false, hint: 0 };

#[test]
fn heads_of_responses() {
    let known = Length::Known(5);
    let text = |s: &str| Ok(s.to_owned());
    assert_eq!(
        head(NEW, 200, known, &[]),
        text("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\n")
    );
    assert_eq!(
        head(NEW, 404, Length::Unknown, &[("A", b"b"), ("date", b"x")]),
        text("HTTP/1.1 404 Not Found\r\nA: b\r\ndate: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    );
    let close = Answering { keep_alive: false, ..NEW };
    assert_eq!(
        head(close, 599, Length::Known(0), &[]),
        text("HTTP/1.1 599 \r\nContent-Length: 0\r\nDate: now\r\nConnection: close\r\n\r\n")
    );
    assert_eq!(
        head(OLD, 200, Length::Unknown, &[]),
        text("HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n")
    );
    let old = Answering { keep_alive: true, ..OLD };
    assert_eq!(
        head(old, 200, known, &[]),
        text("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\nConnection: keep-alive\r\n\r\n")
    );
    assert_eq!(
        head(old, 200, Length::Unknown, &[]),
        text("HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n")
    );
    assert_eq!(
        head(NEW, 204, Length::Unknown, &[]),
        text("HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n")
    );
    assert_eq!(
        head(NEW, 304, Length::Unknown, &[("content-length", b"9")]),
        text("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nDate: now\r\n\r\n")
    );
    // A field that frames the body says it instead of the argument.
    assert_eq!(
        head(NEW, 200, Length::Unknown, &[("Content-Length", b"7"), ("Connection", b"close")]),
        text("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\nDate: now\r\n\r\n")
    );
}

#[test]
fn what_is_refused() {
    let zero = Length::Known(0);
    for status in [0, 99, 100, 101, 199, 1000] {
        assert_eq!(head(NEW, status, zero, &[]), Err(EncodeError::Status));
    }
    for name in ["", "a b", "a:", "a\r\nb", "é", "a\0"] {
        assert_eq!(head(NEW, 200, zero, &[(name, b"x")]), Err(EncodeError::FieldName), "{name:?}");
    }
    for value in [&b"a\r\nb: c"[..], b"a\n", b"\r", b"a\0", b"\x7f", b"\x1b"] {
        assert_eq!(
            head(NEW, 200, zero, &[("a", value)]),
            Err(EncodeError::FieldValue),
            "{value:?}"
        );
    }
    for fields in [
        &[("Content-Length", &b"1"[..]), ("content-length", b"1")][..],
        &[("Content-Length", b"1")],
        &[("Content-Length", b"+0")],
        &[("Content-Length", b"0"), ("Transfer-Encoding", b"chunked")],
        &[("Transfer-Encoding", b"gzip, chunked")],
        &[("Transfer-Encoding", b"identity")],
    ] {
        assert_eq!(head(NEW, 200, zero, fields), Err(EncodeError::Framing), "{fields:?}");
    }
}

#[test]
fn bodies() {
    let begin = |to, status, length| {
        let (mut e, mut out) = (Encoder::new(), Vec::new());
        e.response(&mut out, to, status, length, None, []).unwrap();
        (e, Vec::new())
    };
    let (mut e, mut out) = begin(NEW, 200, Length::Known(5));
    assert_eq!(e.body(&mut out, b"tide!!"), Err(EncodeError::TooLong));
    e.body(&mut out, b"tide").unwrap();
    assert_eq!(e.end(&mut out, []), Err(EncodeError::TooShort));
    e.body(&mut out, b"!").unwrap();
    assert_eq!(e.end(&mut out, [("a", &b"b"[..])]), Err(EncodeError::Trailers));
    assert!(e.is_in_message());
    e.end(&mut out, []).unwrap();
    assert_eq!(out, b"tide!");
    assert_eq!(e.body(&mut out, b"x"), Err(EncodeError::Order));
    assert_eq!(e.end(&mut out, []), Err(EncodeError::Order));

    // An empty part does not end the body.
    let (mut e, mut out) = begin(NEW, 200, Length::Unknown);
    for part in [&b""[..], b"tide", b"", &[b'x'; 26]] {
        e.body(&mut out, part).unwrap();
    }
    assert_eq!(e.end(&mut out, [("a", &b"b\n"[..])]), Err(EncodeError::FieldValue));
    e.end(&mut out, [("a", &b"b"[..])]).unwrap();
    let text = format!("4\r\ntide\r\n1a\r\n{}\r\n0\r\na: b\r\n\r\n", "x".repeat(26));
    assert_eq!(String::from_utf8(out).unwrap(), text);

    let (mut e, mut out) = begin(OLD, 200, Length::Unknown);
    e.body(&mut out, b"tide").unwrap();
    e.end(&mut out, []).unwrap();
    assert_eq!(out, b"tide");

    for status in [204, 304] {
        let (mut e, mut out) = begin(NEW, status, Length::Unknown);
        assert_eq!(e.body(&mut out, b"x"), Err(EncodeError::NoBody));
        e.body(&mut out, b"").unwrap();
        e.end(&mut out, []).unwrap();
        assert_eq!(out, b"");
    }
    let to_head = Answering { head: true, ..NEW };
    for length in [Length::Known(4), Length::Unknown] {
        let (mut e, mut out) = begin(to_head, 200, length);
        e.body(&mut out, b"tide").unwrap();
        e.end(&mut out, []).unwrap();
        assert_eq!(out, b"");
    }
}

#[test]
fn informational_and_switching() {
    let (mut e, mut out) = (Encoder::new(), Vec::new());
    e.informational(&mut out, 103, [("Link", &b"</a>"[..])]).unwrap();
    e.informational(&mut out, 100, []).unwrap();
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    for status in [99, 101, 200] {
        assert_eq!(e.informational(&mut out, status, []), Err(EncodeError::Status));
    }
    out.clear();
    e.switch(&mut out, 101, [("Upgrade", &b"tide"[..])]).unwrap();
    assert_eq!(
        out,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tide\r\nConnection: upgrade\r\n\r\n"
    );
    out.clear();
    e.switch(&mut out, 200, []).unwrap();
    assert_eq!(out, b"HTTP/1.1 200 OK\r\n\r\n");
    let framed = [("Content-Length", &b"0"[..])];
    assert_eq!(e.switch(&mut out, 200, framed), Err(EncodeError::Framing));
    assert_eq!(e.switch(&mut out, 404, []), Err(EncodeError::Status));
    e.response(&mut out, NEW, 200, Length::Known(1), None, []).unwrap();
    assert_eq!(e.informational(&mut out, 100, []), Err(EncodeError::Order));
    assert_eq!(e.switch(&mut out, 101, []), Err(EncodeError::Order));
    assert_eq!(e.response(&mut out, NEW, 200, Length::Known(1), None, []), Err(EncodeError::Order));
}

#[test]
fn requests() {
    let write = |method: &str, length, fields: Fields<'_>| {
        let mut out = Vec::new();
        Encoder::new()
            .request(&mut out, method, "/x", "a", length, fields.iter().copied())
            .map(|()| String::from_utf8(out).unwrap())
    };
    let text = |s: &str| Ok(s.to_owned());
    assert_eq!(write("GET", Length::Known(0), &[]), text("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(
        write("POST", Length::Known(0), &[]),
        text("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    );
    assert_eq!(
        write("PUT", Length::Unknown, &[("A", b"b")]),
        text("PUT /x HTTP/1.1\r\nHost: a\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n")
    );
    assert_eq!(
        write("GET", Length::Known(0), &[("host", b"b")]),
        text("GET /x HTTP/1.1\r\nhost: b\r\n\r\n")
    );
    assert_eq!(write("G T", Length::Known(0), &[]), Err(EncodeError::StartLine));
    let mut out = Vec::new();
    for target in ["", "/a b", "/\r\n", "/é"] {
        let done = Encoder::new().request(&mut out, "GET", target, "a", Length::Known(0), []);
        assert_eq!((done, out.len()), (Err(EncodeError::StartLine), 0));
    }
    let done = Encoder::new().request(&mut out, "GET", "/", "a\r\nb: c", Length::Known(0), []);
    assert_eq!((done, out.len()), (Err(EncodeError::FieldValue), 0));
}

/// What may not be read in trailers is not written in them.
#[test]
fn fields_that_may_not_be_in_trailers() {
    for name in ["Content-Length", "transfer-encoding", "Host", "Set-Cookie"] {
        let (mut out, mut encoder) = (Vec::new(), Encoder::new());
        encoder.response(&mut out, NEW, 200, Length::Unknown, None, []).unwrap();
        let head = out.len();
        let fields = [("X-Sum", &b"7"[..]), (name, b"7")];
        assert_eq!(encoder.end(&mut out, fields), Err(EncodeError::Trailers), "{name}");
        assert_eq!((out.len(), encoder.is_in_message()), (head, true), "nothing was written");
        encoder.end(&mut out, [("X-Sum", &b"7"[..])]).unwrap();
        assert!(out.ends_with(b"\r\n0\r\nX-Sum: 7\r\n\r\n"));
    }
}
