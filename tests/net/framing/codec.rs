//! Decoders of `tokio_util`: the same frames wherever the bytes are cut and whenever frames stop;
//! their errors and the limit.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;

use tidegate::net::*;
use tidegate::prelude::*;
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec, LinesCodecError};

use super::Cut;
use crate::support::*;

/// The lines of these bytes, which come in pieces of this length, and how that ended.
fn lines<D>(codec: Codec<D>, bytes: &[u8], size: usize) -> (Vec<String>, Reason)
where
    D: Decoder<Item = String> + 'static,
    D::Error: Into<tidegate::stream::BoxError>,
{
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, bytes);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let (seen, end) = (Log::default(), Rc::new(RefCell::new(None)));
    let (l, e) = (seen.clone(), end.clone());
    let on = On::new().close(move |_, close| *e.borrow_mut() = Some(close.reason));
    let framed = on.framed(codec, move |_, line| {
        l.add(line);
        Flow::Ready
    });
    lp.adopt(ours, Cut::new(framed, move || size)).unwrap();
    lp.run().unwrap();
    (seen.lines(), end.take().unwrap())
}

#[test]
fn lines_in_pieces() {
    let bytes = b"high\r\n\nwater\nat noon\n";
    for size in 1..=bytes.len() {
        let (seen, end) = lines(Codec::new(LinesCodec::new()), bytes, size);
        assert_eq!(seen, ["high", "", "water", "at noon"], "in pieces of {size}");
        assert!(matches!(end, Reason::Ended), "{end}");
    }
}

/// `decode_eof` completes what the decoder lets it.
#[test]
fn the_end_completes_a_last_line() {
    let (seen, end) = lines(Codec::new(LinesCodec::new()), b"high\nwater", 3);
    assert_eq!(seen, ["high", "water"]);
    assert!(matches!(end, Reason::Ended), "{end}");
}

/// Frames stop at each answer, inside of more bytes than one read delivers again.
#[test]
fn every_frame_comes_once_and_none_while_it_is_paused() {
    const FRAMES: usize = 300;
    let mut lp = guarded();
    let (peer, ours) = pair();
    let sent = std::thread::spawn(move || {
        for n in 0..FRAMES {
            let frame = vec![n as u8; 1 + n * 13 % 5000];
            write_all(&peer, &(frame.len() as u32).to_be_bytes());
            write_all(&peer, &frame);
        }
        peer
    });
    let (next, paused) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let n = next.clone();
    let codec = Codec::new(LengthDelimitedCodec::new());
    let framed = Framed::new(codec, move |s, frame| {
        assert!(!paused.replace(true), "a frame of a paused connection");
        let at = n.replace(n.get() + 1);
        assert_eq!((frame.len(), frame[0]), (1 + at * 13 % 5000, at as u8));
        let (key, paused) = (s.key(), paused.clone());
        s.next_tick(move |cx| {
            cx.next_tick(move |cx| {
                paused.set(false);
                cx.socket(key).resume();
            });
        });
        if at % 2 == 0 {
            s.pause();
            return Flow::Ready;
        }
        Flow::Full
    });
    lp.adopt(ours, framed).unwrap();
    turn_until(&mut lp, |_| next.get() == FRAMES);
    drop(sent.join());
    lp.run().unwrap();
}

#[test]
fn an_error_of_the_decoder_is_the_source() {
    let codec = Codec::new(LinesCodec::new_with_max_length(4));
    let (seen, end) = lines(codec, b"high\nwater\nlow\n", 100);
    assert_eq!(seen, ["high"]);
    let error = end.error().unwrap();
    assert_eq!((error.stage(), error.kind()), (Stage::Decode, ErrorKind::InvalidData));
    let source = std::error::Error::source(error).unwrap();
    let source: &std::io::Error = source.downcast_ref().unwrap();
    let source = source.get_ref().unwrap().downcast_ref::<LinesCodecError>();
    assert!(matches!(source, Some(LinesCodecError::MaxLineLengthExceeded)));
}

/// The decoder has no limit here; what may wait has.
#[test]
fn a_beginning_that_is_too_long() {
    let codec = Codec::new(LinesCodec::new()).with_limit(10);
    let (seen, end) = lines(codec, b"short\nnever ending", 100);
    assert_eq!(seen, ["short"]);
    assert_eq!(super::fault(&end), Some(FrameFault::TooLong { limit: 10 }));
}

/// Frames that take no byte would never end.
#[test]
fn a_frame_of_nothing() {
    struct Again;
    impl Decoder for Again {
        type Item = String;
        type Error = std::io::Error;
        fn decode(&mut self, _: &mut bytes::BytesMut) -> std::io::Result<Option<String>> {
            Ok(Some(String::new()))
        }
    }
    let (seen, end) = lines(Codec::new(Again), b"x", 1);
    assert!(seen.is_empty());
    assert_eq!(super::fault(&end), Some(FrameFault::Empty));
}
