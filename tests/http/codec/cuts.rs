//! Random messages, and random bytes: it does not matter how they are cut, and what the encoder
//! writes is what the decoder reads.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate::http::codec::*;

use super::{Told, decode};

/// Bytes that are nearly messages.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just("GET / HTTP/1.1\r\nHost: a\r\n".to_owned()),
        Just("POST / HTTP/1.0\r\n".to_owned()),
        Just("GET <a HTTP/1.1\r\n".to_owned()),
        Just("Host: a\n".to_owned()),
        Just("HTTP/1.1 200 OK\r\n".to_owned()),
        Just("Content-Length: 5\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("Connection: close\r\n".to_owned()),
        Just("Expect: 100-continue\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r\n\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("0\r\n".to_owned()),
        Just("5\r\n01234\r\n".to_owned()),
        Just("5;a=b\r\n01234\r\n".to_owned()),
        Just("A: b\r\n".to_owned()),
        "[ -~]{0,10}",
        "[0-9a-f]{1,17}",
    ];
    vec(pieces, 0..12).prop_map(|p| p.concat().into_bytes())
}

fn pieces<'b>(mut bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut all = Vec::new();
    for cut in cuts {
        let (a, b) = bytes.split_at((*cut).min(bytes.len()));
        all.push(a);
        bytes = b;
    }
    all.push(bytes);
    all
}

/// A head that comes whole is refused for what a head in pieces is refused for: the first line
/// without CR, and nothing else before it.
#[test]
fn two_faults_are_one_refusal_however_cut() {
    let bytes = b"GET <a HTTP/1.1\r\nHost: a\n\r\n\r\n";
    let whole = decode(&mut RequestDecoder::new(Limits::default()), [&bytes[..]]).0;
    let cut = decode(&mut RequestDecoder::new(Limits::default()), bytes.chunks(3)).0;
    assert_eq!(whole, cut);
    assert!(format!("{whole:?}").contains("a line without CR"), "{whole:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_says_the_same(bytes in nearly(), cuts in vec(0usize..20, 0..10), small: bool) {
        let limits = match small {
            true => Limits { max_head: 64, max_trailers: 16, max_chunk_extensions: 8, ..Limits::default() },
            false => Limits::default(),
        };
        let whole = decode(&mut RequestDecoder::new(limits), [&bytes[..]]).0;
        let cut = decode(&mut RequestDecoder::new(limits), pieces(&bytes, &cuts)).0;
        prop_assert_eq!(&whole, &cut);
        let whole = decode(&mut ResponseDecoder::new(limits), [&bytes[..]]).0;
        let cut = decode(&mut ResponseDecoder::new(limits), pieces(&bytes, &cuts)).0;
        prop_assert_eq!(&whole, &cut);
    }

    #[test]
    fn random_bytes_are_no_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode(&mut RequestDecoder::new(Limits::default()), [&bytes[..]]);
        decode(&mut ResponseDecoder::new(Limits::default()), [&bytes[..]]);
    }

    #[test]
    fn what_is_written_is_read(
        parts in vec(vec(any::<u8>(), 0..50), 0..6),
        known: bool,
        value in "[ -~]{0,20}",
        cuts in vec(0usize..40, 0..10),
    ) {
        let all = parts.concat();
        let length = if known { Length::Known(all.len() as u64) } else { Length::Unknown };
        let (mut e, mut out) = (Encoder::new(), Vec::new());
        let fields = [("x-value", value.as_bytes())];
        e.response(&mut out, Answering::default(), 200, length, None, fields).unwrap();
        for part in &parts {
            e.body(&mut out, part).unwrap();
        }
        e.end(&mut out, []).unwrap();
        let mut decoder = ResponseDecoder::new(Limits::default());
        let told = decode(&mut decoder, pieces(&out, &cuts)).0;
        let mut body: Vec<u8> = Vec::new();
        for t in &told[1..] {
            match t {
                Told::Body(part) => body.extend(part),
                t => prop_assert_eq!(t, &Told::End),
            }
        }
        prop_assert_eq!(told.last(), Some(&Told::End));
        prop_assert_eq!(&body, &all);

        let mut out = Vec::new();
        e.request(&mut out, "POST", "/", "a", length, fields).unwrap();
        for part in &parts {
            e.body(&mut out, part).unwrap();
        }
        e.end(&mut out, []).unwrap();
        let told = decode(&mut RequestDecoder::new(Limits::default()), pieces(&out, &cuts)).0;
        prop_assert_eq!(told.last(), Some(&Told::End));
        prop_assert!(all.is_empty() || told[1] == Told::Body(all));
    }
}
