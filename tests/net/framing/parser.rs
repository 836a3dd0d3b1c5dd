//! The parser: messages that come in pieces, and bytes that are none.

use tidegate::net::*;

use super::{fault, frames};

/// A type, a text with its length before it, and a line.
#[derive(Clone)]
struct Notes;

impl Decode for Notes {
    type Frame<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        let before = *input;
        let length = Parser::parse(input, |p| {
            p.expect(b"NOTE")?;
            let length = u16::from_be_bytes(p.array()?);
            if length > 1000 {
                return Err("too long".into());
            }
            p.bytes(length.into())?;
            let count: usize = std::str::from_utf8(p.line()?)?.parse()?;
            p.bytes(count)?;
            Ok(before.len() - p.rest().len())
        })?;
        Ok(length.map(|length| &before[..length]))
    }

    fn limit(&self) -> usize {
        2000
    }
}

fn note(text: &str, line: &str, behind: &[u8]) -> Vec<u8> {
    let length = (text.len() as u16).to_be_bytes();
    [b"NOTE", &length[..], text.as_bytes(), line.as_bytes(), behind].concat()
}

#[test]
fn wherever_the_bytes_are_cut() {
    let notes = [note("tide", "3\r\n", b"abc"), note("", "0\n", b""), note("\n\r\n", "1\n", b"\n")];
    let bytes = notes.concat();
    for size in 1..=bytes.len() {
        let (seen, end) = frames(Notes, &bytes, move || size);
        assert_eq!(seen, notes, "in pieces of {size}");
        assert!(matches!(end, Reason::Ended), "in pieces of {size}: {end}");
    }
}

#[test]
fn bytes_that_are_no_message() {
    let bad = [
        (note("tide", "three\n", b""), "invalid digit found in string"),
        (note("tide", "\u{ff}\n", b""), "invalid digit found in string"),
        (b"NOTe\0\0".to_vec(), "expected 'NOTE'"),
        (b"NOTE\xff\xff".to_vec(), "too long"),
    ];
    for (bytes, why) in bad {
        for size in 1..=bytes.len() {
            let (seen, end) = frames(Notes, &bytes, move || size);
            assert!(seen.is_empty() && end.to_string().contains(why), "{size}: {end}");
        }
    }
}

/// A length says how much there will be, and nothing is reserved for it.
#[test]
fn a_length_beyond_the_limit() {
    let bytes = [note("", &format!("{}\n", usize::MAX), b""), vec![0; 3000]].concat();
    for size in [1, 7, 100, 3000] {
        let (seen, end) = frames(Notes, &bytes, move || size);
        assert!(seen.is_empty());
        assert_eq!(fault(&end), Some(FrameFault::TooLong { limit: 2000 }), "{size}: {end}");
    }
    let (_, end) = frames(Notes, &note("tide", "9\n", b"short"), || 4);
    assert_eq!(fault(&end), Some(FrameFault::Truncated { bytes: 17 }), "{end}");
}

#[test]
fn what_is_incomplete_takes_nothing() {
    let mut input = &b"NOTE\0\x05hi"[..];
    let parsed = Parser::parse(&mut input, |p| {
        p.expect(b"NOTE")?;
        let [_, length] = p.array()?;
        assert_eq!(p.clone().byte().unwrap(), b'h', "a look ahead");
        p.bytes(length.into())
    });
    assert!(parsed.unwrap().is_none());
    assert_eq!(input, b"NOTE\0\x05hi");
    let error = Parser::parse(&mut input, |p| {
        p.bytes(6)?;
        Err::<(), _>(std::io::Error::other("the tide is out").into())
    });
    assert_eq!(error.unwrap_err().to_string(), "the tide is out");
    assert_eq!(input, b"NOTE\0\x05hi", "nor does what is invalid");
    let mut empty = &b""[..];
    assert_eq!(Parser::parse(&mut empty, |p| p.bytes(0)).unwrap(), Some(&b""[..]));
    assert_eq!(Parser::parse(&mut empty, |p| p.expect(b"")).unwrap(), Some(()));
    assert!(matches!(Parser::parse(&mut empty, |p| p.line()), Ok(None)));
}
