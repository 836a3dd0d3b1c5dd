//! What heads of requests are refused, each whole and cut at every byte: the rows of the strict
//! policy.

use tidegate::http::codec::*;

use super::{Told, decode, every_cut, is_one, refused, requests};

/// A GET with these lines in its head.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn line(start: &str) -> String {
    format!("{start}\r\nHost: a\r\n\r\n")
}

#[test]
fn a_plain_request() {
    assert!(is_one(with("")));
    assert!(is_one(with("A:b\r\nA-b!#$%&'*+.^_`|~1: \t c d\u{e9} \t\r\nE:\r\n")));
    let bytes = with("X-One: 1\r\nx-two:  a b \r\n");
    let mut fields = Fields::new();
    let mut decoder = RequestDecoder::new(Limits::default());
    let (n, Event::Head(head)) = decoder.next(bytes.as_bytes(), &mut fields) else { panic!() };
    assert_eq!(n, bytes.len());
    let all: Vec<_> = head.fields.iter().collect();
    assert_eq!(all, [("Host", &b"a"[..]), ("X-One", b"1"), ("x-two", b"a b")]);
    assert_eq!((head.method, head.target, head.host()), ("GET", "/", "a"));
    assert_eq!((head.framing, head.keep_alive, head.upgrade), (Framing::Length(0), true, false));
}

#[test]
fn n25_bare_cr_and_lf() {
    for bad in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(refused(bad), 400, "{bad:?}");
    }
}

#[test]
fn n26_empty_lines_before_a_request() {
    for n in 0..=8 {
        assert!(is_one("\r\n".repeat(n) + &with("")), "{n}");
    }
    assert_eq!(refused("\r\n".repeat(9) + &with("")), 400);
    assert_eq!(refused("\r\n".repeat(9)), 400);
    // They begin nothing.
    let mut decoder = RequestDecoder::new(Limits::default());
    for _ in 0..8 {
        decode(&mut decoder, [&b"\r"[..]]);
        assert!(!decoder.is_in_head());
        decode(&mut decoder, [&b"\r\n"[..]]);
        assert!(!decoder.is_in_head());
    }
    // Each request has its own.
    let two = ("\r\n".repeat(8) + &with("")).repeat(2);
    assert_eq!(requests(two).iter().filter(|t| **t == Told::End).count(), 2);
}

#[test]
fn n27_to_n29_names_and_values_of_fields() {
    for bad in [
        "A : b",
        "A\t: b",
        " A: b",
        "\tA: b",
        ": b",
        "A",
        "A b: c",
        "A\0: b",
        "A: b\0",
        "A: \u{1}",
        "A: \u{7f}",
        "(A): b",
        "A\u{e9}: b",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: \u{b}b",
        "A;b: c",
        "\"A\": b",
    ] {
        assert_eq!(refused(with(&format!("{bad}\r\n"))), 400, "{bad:?}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
}

#[test]
fn n30_hosts() {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost:{value}\r\n\r\n");
    for good in ["a", " a:80 ", " [::1]:8080", " 127.0.0.1", "", " a_b.c"] {
        assert!(is_one(host(good)), "{good:?}");
    }
    for bad in
        [" - - - -", " a b", " a:b", " a@b", " a/b", " [::1", " a,b", " a:80:80", " http://a"]
    {
        let expected = if bad == " a,b" { 0 } else { 400 }; // a comma may be in a name
        assert_eq!(refused(host(bad)), expected, "{bad:?}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    assert!(is_one("GET / HTTP/1.0\r\n\r\n"));
    let lax = Limits { require_host: false, ..Limits::default() };
    let all = every_cut(|| RequestDecoder::new(lax), b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(all.last(), Some(&Told::End));
}

#[test]
fn n31_the_host_of_the_target_counts() {
    let host = |bytes: &str| {
        let mut fields = Fields::new();
        match RequestDecoder::new(Limits::default()).next(bytes.as_bytes(), &mut fields).1 {
            Event::Head(head) => head.host().to_owned(),
            event => format!("{event:?}"),
        }
    };
    assert_eq!(host("GET http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n"), "b:1");
    assert_eq!(host("CONNECT a:1 HTTP/1.1\r\nHost: A:1\r\n\r\n"), "a:1");
    assert_eq!(host("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), "a:1");
    assert_eq!(refused("CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n"), 400);
    assert_eq!(refused("CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n"), 400);
}

#[test]
fn n32_content_lengths() {
    let length = |value: &str| with(&format!("Content-Length:{value}\r\n"));
    assert!(is_one(length(" 3") + "abc"));
    assert!(is_one(length("0003 ") + "abc"));
    for bad in [
        "",
        " +3",
        " -3",
        " 3,3",
        " 3 3",
        " 0x3",
        " 3.0",
        " 12345678901234567890",
        " a",
        " 3\u{661}",
    ] {
        assert_eq!(refused(length(bad) + "abc"), 400, "{bad:?}");
    }
    assert_eq!(refused(with("Content-Length: 3\r\nContent-Length: 3\r\n") + "abc"), 400);
    assert_eq!(refused(with("Content-Length: 3\r\nContent-Length: 4\r\n") + "abc"), 400);
    assert_eq!(refused(with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")), 400);
    assert_eq!(refused(with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")), 400);
}

#[test]
fn n33_to_n36_transfer_encodings() {
    let coded = |value: &str| with(&format!("Transfer-Encoding:{value}\r\n")) + "0\r\n\r\n";
    for good in [" chunked", " Chunked", "\tCHUNKED "] {
        assert!(is_one(coded(good)), "{good:?}");
    }
    for unknown in [" gzip, chunked", " identity", " xyz", " gzip"] {
        assert_eq!(refused(coded(unknown)), 501, "{unknown:?}");
    }
    for bad in [
        "",
        " ,",
        " chunked, chunked",
        " chunkedchunked",
        " chunked-false",
        " chunked, gzip",
        " chunked;x",
        " \"chunked\"",
        " gzip, identity",
        " ,chunked",
        " chunked,",
    ] {
        assert_eq!(refused(coded(bad)), 400, "{bad:?}");
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(refused(with(twice) + "0\r\n\r\n"), 400);
    assert_eq!(refused(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")), 400);
    assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

#[test]
fn n37_n38_targets_and_methods() {
    for good in [
        "GET / HTTP/1.1",
        "GET /a?b=%20|x HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "GET HTTPS://a:443?q HTTP/1.1",
        "BREW / HTTP/1.1",
        "get / HTTP/1.1",
        "M-SEARCH / HTTP/1.1",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456 / HTTP/1.1",
    ] {
        assert!(is_one(line(good)), "{good}");
    }
    for bad in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "CONNECT a HTTP/1.1",
        "CONNECT a: HTTP/1.1",
        "CONNECT http://a:1/ HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "/ HTTP/1.1",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567 / HTTP/1.1",
        "GET /",
        "GET",
        "GET / /a HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
    ] {
        assert_eq!(refused(line(bad)), 400, "{bad:?}");
    }
}

#[test]
fn n39_versions() {
    for other in ["2.0", "1.2", "0.9", "3.0", "9.9"] {
        assert_eq!(refused(line(&format!("GET / HTTP/{other}"))), 505, "{other}");
    }
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    for bad in [
        "HTTP/1",
        "HTTP/1.",
        "HTTP/11",
        "HTTP/01.1",
        "HTTP/1.1.1",
        "http/1.1",
        "HTTPS/1.1",
        "ICE/1.0",
        "HTTP/a.b",
    ] {
        assert_eq!(refused(line(&format!("GET / {bad}"))), 400, "{bad}");
    }
}

#[test]
fn n40_expectations_and_connections() {
    let head = |lines: &str, version: &str| {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let mut fields = Fields::new();
        match RequestDecoder::new(Limits::default()).next(bytes.as_bytes(), &mut fields).1 {
            Event::Head(head) => (head.expect, head.keep_alive, head.upgrade),
            event => panic!("{event:?}"),
        }
    };
    let none = Expect::Nothing;
    assert_eq!(head("", "1.1"), (none, true, false));
    assert_eq!(head("", "1.0"), (none, false, false));
    assert_eq!(head("Connection: keep-alive\r\n", "1.0"), (none, true, false));
    assert_eq!(head("Connection: keep-alive, close\r\n", "1.0"), (none, false, false));
    assert_eq!(head("Connection: x, CLOSE\r\n", "1.1"), (none, false, false));
    assert_eq!(head("Connection: x\r\nConnection: close\r\n", "1.1"), (none, false, false));
    assert_eq!(head("Connection: closed\r\n", "1.1"), (none, true, false));
    assert_eq!(head("Connection: Upgrade\r\nUpgrade: x\r\n", "1.1"), (none, true, true));
    assert_eq!(head("Upgrade: x\r\n", "1.1"), (none, true, false));
    assert_eq!(head("Connection: upgrade\r\nUpgrade: x\r\n", "1.0"), (none, false, false));
    assert_eq!(head("Expect: 100-Continue\r\n", "1.1").0, Expect::Continue);
    assert_eq!(head("Expect: 100-continue\r\n", "1.0").0, Expect::Nothing);
    assert_eq!(head("Expect: 200-ok\r\n", "1.1").0, Expect::Unknown);
    assert_eq!(head("Expect: x\r\nExpect: 100-continue\r\n", "1.1").0, Expect::Unknown);
}

/// Each limit: exactly it passes, one more does not.
#[test]
fn n44_limits() {
    let limits = Limits { max_head: 200, max_target: 50, max_headers: 5, ..Limits::default() };
    let status =
        |bytes: String| match every_cut(|| RequestDecoder::new(limits), bytes.as_bytes()).last() {
            Some(Told::Refused(status, _)) => *status,
            _ => 0,
        };
    let padded = |len: usize| {
        let without = with("A: \r\n").len();
        with(&format!("A: {}\r\n", "a".repeat(len - without)))
    };
    assert_eq!((status(padded(200)), status(padded(201)), status(padded(500))), (0, 431, 431));
    let target = |len: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(len - 1)));
    assert_eq!((status(target(50)), status(target(51))), (0, 414));
    assert_eq!(status(line(&format!("GET /{} HTTP/1.1", "a".repeat(300)))), 414);
    let many = |n: usize| with(&"A: b\r\n".repeat(n - 1));
    assert_eq!((status(many(5)), status(many(6))), (0, 431));
    // No end in sight.
    assert_eq!(status("a".repeat(200)), 414);
    assert_eq!(status("a".repeat(199)), 0);
}

/// The default limits, at their edge, cut there.
#[test]
fn the_default_limit_of_a_head() {
    let head = |len: usize| {
        with(&format!("A: {}\r\n", "a".repeat(len - with("A: \r\n").len()))).into_bytes()
    };
    for (len, expected) in [(16_384, None), (16_385, Some(431))] {
        let bytes = head(len);
        for cut in [1, len - 3, len - 2, len - 1, len] {
            let mut decoder = RequestDecoder::new(Limits::default());
            let (all, _) = decode(&mut decoder, [&bytes[..cut], &bytes[cut..]]);
            let status = match all.last() {
                Some(Told::Refused(status, _)) => Some(*status),
                _ => None,
            };
            assert_eq!(status, expected, "{len} cut at {cut}");
        }
    }
    let many = |n: usize| with(&"A: b\r\n".repeat(n - 1));
    let mut decoder = RequestDecoder::new(Limits::default());
    assert_eq!(decode(&mut decoder, [many(100).as_bytes()]).0.last(), Some(&Told::End));
    let mut decoder = RequestDecoder::new(Limits::default());
    let all = decode(&mut decoder, [many(101).as_bytes()]).0;
    assert_eq!(all, [Told::Refused(431, "too many fields")]);
}

#[test]
fn the_end_inside_of_a_request() {
    for (cut, expected) in [("", None), ("\r\n", None), ("G", Some(Told::Cut))] {
        assert_eq!(requests(cut).last().cloned(), expected, "{cut:?}");
    }
    assert_eq!(requests(with("Content-Length: 3\r\n") + "ab").last(), Some(&Told::Cut));
    assert_eq!(requests(with("Transfer-Encoding: chunked\r\n") + "0\r\n").last(), Some(&Told::Cut));
}

/// What comes behind a request is not touched.
#[test]
fn pipelined_requests() {
    let two = with("Content-Length: 3\r\n") + "abc" + &with("") + "GET / HT";
    let all = requests(two);
    let ends = all.iter().filter(|t| **t == Told::End).count();
    assert_eq!((ends, all.last()), (2, Some(&Told::Cut)));
}
