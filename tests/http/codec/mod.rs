//! The codec without a connection: what it accepts and refuses, and that it does not matter how the
//! bytes are cut. Here stands what reads a whole input, however it is cut.

mod bodies;
mod cuts;
mod encoder;
mod requests;
mod responses;

use tidegate::http::codec::*;

/// An event, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Head(String),
    Body(Vec<u8>),
    Trailers(Vec<(String, Vec<u8>)>),
    End,
    Refused(u16, &'static str),
    /// What `eof` said.
    Cut,
}

fn kept(fields: FieldList<'_>) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

/// Of requests and responses.
pub(crate) trait Decode {
    fn decode(&mut self, bytes: &[u8]) -> (usize, Option<Told>);
    fn end(&mut self) -> Option<Told>;
}

fn told<H: std::fmt::Debug>(event: Event<'_, H>) -> Option<Told> {
    Some(match event {
        Event::More => return None,
        Event::Head(head) => Told::Head(format!("{head:?}")),
        Event::Body(part) => Told::Body(part.to_vec()),
        Event::Trailers(fields) => Told::Trailers(kept(fields)),
        Event::End => Told::End,
        Event::Refused(why) => Told::Refused(why.status(), why.what()),
    })
}

impl Decode for RequestDecoder {
    fn decode(&mut self, bytes: &[u8]) -> (usize, Option<Told>) {
        let mut fields = Fields::new();
        let (n, event) = self.next(bytes, &mut fields);
        (n, told(event))
    }
    fn end(&mut self) -> Option<Told> {
        self.eof().err().map(|_| Told::Cut)
    }
}

impl Decode for ResponseDecoder {
    fn decode(&mut self, bytes: &[u8]) -> (usize, Option<Told>) {
        let mut fields = Fields::new();
        let (n, event) = self.next(bytes, &mut fields);
        (n, told(event))
    }
    fn end(&mut self) -> Option<Told> {
        match self.eof() {
            Ok(true) => Some(Told::End),
            Ok(false) => None,
            Err(_) => Some(Told::Cut),
        }
    }
}

/// All events of these pieces, the parts of a body joined; and what was left over.
pub(crate) fn decode<'p>(
    decoder: &mut impl Decode,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<Told>, usize) {
    let (mut all, mut rest): (Vec<Told>, Vec<u8>) = (Vec::new(), Vec::new());
    for piece in pieces {
        rest.extend(piece);
        loop {
            let (n, event) = decoder.decode(&rest);
            rest.drain(..n);
            match (event, all.last_mut()) {
                (None, _) => break,
                (Some(Told::Body(part)), Some(Told::Body(before))) => before.extend(part),
                (Some(Told::Refused(status, what)), _) => {
                    all.push(Told::Refused(status, what));
                    assert_eq!(decoder.decode(&rest).1, all.last().cloned(), "again and again");
                    return (all, rest.len());
                }
                (Some(event), _) => all.push(event),
            }
        }
    }
    all.extend(decoder.end());
    (all, rest.len())
}

/// The same, whole, cut in two at every byte, and byte by byte; all must say the same.
pub(crate) fn every_cut<D: Decode>(make: impl Fn() -> D, bytes: &[u8]) -> Vec<Told> {
    let whole = decode(&mut make(), [bytes]).0;
    for cut in 0..=bytes.len() {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(decode(&mut make(), [a, b]).0, whole, "cut at {cut}");
    }
    assert_eq!(decode(&mut make(), bytes.chunks(1)).0, whole, "byte by byte");
    whole
}

pub(crate) fn requests(bytes: impl AsRef<[u8]>) -> Vec<Told> {
    every_cut(|| RequestDecoder::new(Limits::default()), bytes.as_ref())
}

/// The status with which a request is refused; 0 if it is not.
pub(crate) fn refused(bytes: impl AsRef<[u8]>) -> u16 {
    match requests(bytes).last() {
        Some(Told::Refused(status, _)) => *status,
        _ => 0,
    }
}

/// Whether it is one request, whole.
pub(crate) fn is_one(bytes: impl AsRef<[u8]>) -> bool {
    let all = requests(bytes);
    let heads = all.iter().filter(|t| matches!(t, Told::Head(_))).count();
    heads == 1 && all.last() == Some(&Told::End)
}
