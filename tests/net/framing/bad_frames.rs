//! What ends a framed connection: bytes that are no frame, a frame that is cut off, a decoder that
//! goes wrong.

use std::io::ErrorKind;

use tidegate::net::*;
use tidegate::stream::BoxError;

use super::{fault, frames};
use crate::support::*;

#[test]
fn a_frame_that_the_peers_end_cuts_off() {
    let cut = |bytes| Some(FrameFault::Truncated { bytes });
    let (seen, end) = frames(Lines::new(9), b"high\nwater", || usize::MAX);
    assert_eq!((seen.len(), fault(&end)), (1, cut(5)));
    assert_eq!(end.error().unwrap().kind(), ErrorKind::UnexpectedEof);
    let (seen, end) = frames(LengthPrefixed::u16_be(9), b"\0\x04tide\0", || 1);
    assert_eq!((seen.len(), fault(&end)), (1, cut(1)));
    let (_, end) = frames(Delimited::new("--", 9), b"tide-", || 2);
    assert_eq!(fault(&end), cut(5));
    let (_, end) = frames(Lines::new(4).last_may_be_open(true), b"tide!", || 9);
    assert_eq!(fault(&end), Some(FrameFault::TooLong { limit: 4 }));
}

#[test]
fn a_length_shorter_than_itself() {
    let decoder = LengthPrefixed::u16_be(9).counts_itself(true);
    let (_, end) = frames(decoder, b"\0\x01", || 1);
    assert_eq!(fault(&end), Some(FrameFault::BadLength));
}

#[test]
fn the_text_has_stage_and_limit() {
    let (_, end) = frames(Lines::new(4), b"high water\n", || usize::MAX);
    let text = end.to_string();
    assert!(text.starts_with("decode with 127.0.0.1:"), "{text}");
    assert!(text.contains(" ms: a frame is longer than 4 bytes"), "{text}");
    assert_eq!(end.error().unwrap().kind(), ErrorKind::InvalidData);
}

/// Frames before it are answered; nothing behind it is decoded.
#[test]
fn a_bad_frame_may_be_answered() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"a\nb\ntoo long\nc\n");
    let log = Log::default();
    let l = log.clone();
    let framed = On::with(l.clone())
        .close(|l, _, close| l.add(close.reason.to_string()))
        .framed(Lines::new(3), |l, s, line| {
            l.add(String::from_utf8_lossy(line));
            s.write("ok ")
        })
        .on_bad_frame(move |_, s, e| {
            l.add("bad");
            let _ = s.end_with(format!("-ERR {e}"));
        });
    lp.adopt(ours, framed).unwrap();
    turn_until(&mut lp, |_| log.has("bad"));
    assert_eq!(read_to_end(&peer), b"ok ok -ERR a frame is longer than 3 bytes");
    write_all(&peer, b"d\n");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a", "b", "bad", "both sides ended"]);
}

/// A decoder of the user's: one that never has a frame, one whose frames are empty, one that
/// refuses.
#[derive(Clone, Copy)]
enum Odd {
    Never,
    Empty,
    EmptyAtEnd,
    Refuses,
}

impl Decode for Odd {
    type Frame<'a> = &'a [u8];
    fn decode<'a>(&mut self, _: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        match self {
            Odd::Never | Odd::EmptyAtEnd => Ok(None),
            Odd::Empty => Ok(Some(&[])),
            Odd::Refuses => Err("the tide is out".into()),
        }
    }
    fn decode_end<'a>(&mut self, _: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        Ok(matches!(self, Odd::EmptyAtEnd).then_some(&[]))
    }
    fn limit(&self) -> usize {
        1000
    }
}

#[test]
fn decoders_that_go_wrong() {
    for size in [1, 7, usize::MAX] {
        let (_, end) = frames(Odd::Never, &[1; 1001], move || size);
        assert_eq!(fault(&end), Some(FrameFault::TooLong { limit: 1000 }));
        let (_, end) = frames(Odd::Never, &[1; 1000], move || size);
        assert_eq!(fault(&end), Some(FrameFault::Truncated { bytes: 1000 }));
        for odd in [Odd::Empty, Odd::EmptyAtEnd] {
            let (seen, end) = frames(odd, b"abc", move || size);
            assert_eq!((seen.len(), fault(&end)), (0, Some(FrameFault::Empty)));
        }
        let (_, end) = frames(Odd::Refuses, b"abc", move || size);
        assert_eq!(fault(&end), None);
        assert!(end.to_string().contains("the tide is out"), "{end}");
    }
}

/// A frame's callback that panics is its connection's end.
#[test]
fn a_panic() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"a\nb\n");
    let log = Log::default();
    let on = On::with(log.clone()).close(|log, _, close| log.add(close.reason.to_string()));
    let framed = on.framed(Lines::new(3), |log, _, line| {
        log.add(String::from_utf8_lossy(line));
        std::panic::resume_unwind(Box::new(1))
    });
    lp.adopt(ours, framed).unwrap();
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a", "a callback panicked"]);
}
