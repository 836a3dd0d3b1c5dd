//! Bodies in chunks, each whole and cut at every byte.

use tidegate::http::codec::*;

use super::{Told, decode, every_cut, requests};

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// The body, if it is accepted; else the status.
fn read(body: &str) -> Result<String, u16> {
    let all = requests(chunked(body));
    match all.last() {
        Some(Told::Refused(status, _)) => return Err(*status),
        Some(Told::Cut) => return Err(0),
        _ => {}
    }
    let parts = all.iter().filter_map(|t| match t {
        Told::Body(part) => Some(part.as_slice()),
        _ => None,
    });
    Ok(String::from_utf8(parts.collect::<Vec<_>>().concat()).unwrap())
}

#[test]
fn chunks() {
    let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 300, "x".repeat(300));
    for (body, expected) in [
        ("0\r\n\r\n", ""),
        ("4\r\ntide\r\n0\r\n\r\n", "tide"),
        ("4\r\ntide\r\n3\r\n is\r\n0\r\n\r\n", "tide is"),
        ("A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
        ("0000000000000004\r\ntide\r\n0000000000000000\r\n\r\n", "tide"),
        ("4;a\r\ntide\r\n0;b=c;d=\"e f\"\r\n\r\n", "tide"),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        (&long, &"x".repeat(300)),
    ] {
        assert_eq!(read(body).as_deref(), Ok(expected), "{body:?}");
    }
}

#[test]
fn n41_bad_chunks() {
    for bad in [
        "\r\n\r\n",
        "x\r\n",
        "-4\r\ntide",
        "+4\r\ntide",
        " 4\r\ntide",
        "4 \r\ntide",
        "0x4\r\ntide",
        "4_0\r\n",
        "4\ntide\n0\n\n",
        "4\r\ntide\n0\r\n\r\n",
        "4\r\ntides\r\n",
        "4\r\ntid\r\n0\r\n\r\n",
        "4\r\ntide0\r\n\r\n",
        "4\r\ntide\r0\r\n",
        "00000000000000004\r\ntide",
        "4;a\ntide",
        "4;a\r\rtide",
        "4;\0\r\ntide",
        "4;\u{7f}\r\ntide",
        "4\r\r\ntide",
        "4\rtide",
        "g\r\n",
        "4 ;a\r\ntide",
        "4\t\r\ntide",
        ";a\r\n",
        "1ffffffffffffffff\r\n",
    ] {
        assert_eq!(read(bad), Err(400), "{bad:?}");
    }
}

#[test]
fn n42_extensions_have_a_limit() {
    let limits = Limits { max_chunk_extensions: 20, ..Limits::default() };
    let status = |n: usize| {
        let half = "a".repeat(n / 2 - 1);
        let body = chunked(&format!("1;{half}\r\nx\r\n0;{half}\r\n\r\n"));
        match every_cut(|| RequestDecoder::new(limits), body.as_bytes()).last() {
            Some(Told::Refused(status, _)) => *status,
            _ => 0,
        }
    };
    assert_eq!((status(20), status(22)), (0, 413));
    let mut decoder = RequestDecoder::new(Limits::default());
    let long = chunked(&format!("1;{}", "a".repeat(16 * 1024)));
    let all = decode(&mut decoder, long.as_bytes().chunks(1000)).0;
    assert_eq!(all.last(), Some(&Told::Refused(413, "long extensions of chunks")));
}

#[test]
fn n43_trailers() {
    let all = requests(chunked("1\r\nx\r\n0\r\nX-Sum: 7 \r\nx-b:\r\n\r\n"));
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(all[2..], [Told::Trailers(vec![field("X-Sum", "7"), field("x-b", "")]), Told::End]);
    for bad in [
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
        "host: b",
        "Authorization: x",
        "Trailer: x",
        "Set-Cookie: a",
        "A : b",
        " A: b",
        "A",
        ": b",
        "A: \0",
        "A: b\r\n c",
        "A: b\rc",
        "Content-Type: x",
    ] {
        assert_eq!(read(&format!("0\r\n{bad}\r\n\r\n")), Err(400), "{bad:?}");
    }
    assert_eq!(read("0\r\nA: b\n\r\n"), Err(400));
    assert_eq!(read("0\r\n\n"), Err(400));
    assert_eq!(read("0\r\n\rA: b\r\n\r\n"), Err(400));
}

#[test]
fn trailers_have_limits() {
    let limits = Limits { max_trailers: 40, max_headers: 4, ..Limits::default() };
    let status = |fields: String| {
        let body = chunked(&format!("0\r\n{fields}\r\n"));
        match every_cut(|| RequestDecoder::new(limits), body.as_bytes()).last() {
            Some(Told::Refused(status, _)) => *status,
            _ => 0,
        }
    };
    let long = |n: usize| format!("A: {}\r\n", "b".repeat(n - 7));
    assert_eq!((status(long(40)), status(long(41))), (0, 431));
    assert_eq!((status("A: b\r\n".repeat(4)), status("A: b\r\n".repeat(5))), (0, 431));
}
