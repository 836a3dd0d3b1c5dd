//! The decoders of HTTP: bytes that are cut anyhow say the same as whole ones, and a head that is
//! accepted is one for httparse, too, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_http::codec::*;

#[derive(PartialEq, Debug)]
enum Told {
    Head(String),
    Body(Vec<u8>),
    Trailers(String),
    End,
    Refused(Refusal),
    Cut(bool),
}

fn told<H: std::fmt::Debug>(event: Event<'_, H>) -> Option<Told> {
    Some(match event {
        Event::More => return None,
        Event::Head(head) => Told::Head(format!("{head:?}")),
        Event::Body(part) => Told::Body(part.to_vec()),
        Event::Trailers(fields) => Told::Trailers(format!("{fields:?}")),
        Event::End => Told::End,
        Event::Refused(why) => Told::Refused(why),
    })
}

/// All events of these pieces; the parts of a body joined.
fn decode<'p>(
    mut next: impl FnMut(&[u8]) -> (usize, Option<Told>),
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Told> {
    let (mut all, mut rest): (Vec<Told>, Vec<u8>) = (Vec::new(), Vec::new());
    for piece in pieces {
        rest.extend(piece);
        loop {
            let (n, event) = next(&rest);
            assert!(n <= rest.len());
            rest.drain(..n);
            match (event, all.last_mut()) {
                (None, _) => break,
                (Some(Told::Body(part)), Some(Told::Body(before))) => before.extend(part),
                (Some(Told::Refused(why)), _) => {
                    all.push(Told::Refused(why));
                    return all;
                }
                (Some(event), _) => all.push(event),
            }
        }
        assert!(rest.len() <= 16 * 1024, "what is kept has a bound");
    }
    all
}

fn requests<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: Limits) -> Vec<Told> {
    let mut decoder = RequestDecoder::new(limits);
    let next = |bytes: &[u8]| {
        let mut fields = Fields::new();
        let (n, event) = decoder.next(bytes, &mut fields);
        (n, told(event))
    };
    let mut all = decode(next, pieces);
    all.push(Told::Cut(decoder.eof().is_err()));
    all
}

fn responses<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: Limits) -> Vec<Told> {
    let mut decoder = ResponseDecoder::new(limits);
    let next = |bytes: &[u8]| {
        let mut fields = Fields::new();
        let (n, event) = decoder.next(bytes, &mut fields);
        (n, told(event))
    };
    let mut all = decode(next, pieces);
    all.push(Told::Cut(decoder.eof().is_err()));
    all
}

/// A first head that is accepted, as httparse reads it.
fn beside_httparse(bytes: &[u8], limits: Limits) {
    let mut fields = Fields::new();
    if let (n, Event::Head(head)) = RequestDecoder::new(limits).next(bytes, &mut fields) {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut theirs = httparse::Request::new(&mut headers);
        assert_eq!(theirs.parse(bytes), Ok(httparse::Status::Complete(n)));
        assert_eq!((theirs.method, theirs.path), (Some(head.method), Some(head.target)));
        assert_eq!(theirs.version, Some(u8::from(head.version == Version::Http11)));
        assert!(head.fields.iter().eq(theirs.headers.iter().map(|h| (h.name, h.value))));
    }
    let mut fields = Fields::new();
    if let (n, Event::Head(head)) = ResponseDecoder::new(limits).next(bytes, &mut fields) {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut theirs = httparse::Response::new(&mut headers);
        assert_eq!(theirs.parse(bytes), Ok(httparse::Status::Complete(n)));
        assert_eq!((theirs.code, theirs.reason), (Some(head.status), Some(head.reason)));
        assert_eq!(theirs.version, Some(u8::from(head.version == Version::Http11)));
        assert!(head.fields.iter().eq(theirs.headers.iter().map(|h| (h.name, h.value))));
    }
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (cut, small, bytes) = input;
    let bytes = &bytes[..bytes.len().min(16 * 1024)];
    let limits = match small {
        true => {
            Limits { max_head: 64, max_trailers: 20, max_chunk_extensions: 8, ..Limits::default() }
        }
        false => Limits::default(),
    };
    beside_httparse(bytes, limits);
    let size = usize::from(cut).max(1);
    assert_eq!(requests([bytes], limits), requests(bytes.chunks(size), limits));
    assert_eq!(responses([bytes], limits), responses(bytes.chunks(size), limits));
});
