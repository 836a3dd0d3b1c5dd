//! [`LengthPrefixed`]: frames that begin with their length.
#![forbid(unsafe_code)]

use tidegate_stream::BoxError;

use crate::framed::decode::Decode;
use crate::framed::fault::FrameFault;

/// Frames that begin with their length, which is no part of them.
///
/// ```
/// use tidegate_net::{Decode, LengthPrefixed};
/// let mut frames = LengthPrefixed::u16_be(1024);
/// let mut input = &b"\x00\x04tide\x00"[..];
/// assert_eq!(frames.decode(&mut input).unwrap(), Some(&b"tide"[..]));
/// assert_eq!(frames.decode(&mut input).unwrap(), None);
/// assert_eq!(LengthPrefixed::u16_be(1024).prefix(4), Some(vec![0, 4]));
/// ```
///
/// A server of requests and answers. Length and frame leave in one system call:
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Flow, LengthPrefixed, Net, On, SocketCx};
/// fn send(s: &mut SocketCx<'_>, frame: &[u8]) -> Flow {
///     let Some(length) = LengthPrefixed::u32_be(1024).prefix(frame.len()) else {
///         s.destroy_with("the frame is too long");
///         return Flow::Closed;
///     };
///     s.write_gathered(&[length.as_slice().into(), frame.into()])
/// }
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     let frames = LengthPrefixed::u32_be(1024);
///     conn.accept(On::new().framed(frames, |s, frame| send(s, &frame.to_ascii_uppercase())));
/// })?;
/// let at = lp.server(server).local_addr()?;
/// let client = lp.connect(at, On::new().framed(LengthPrefixed::u32_be(1024), |s, frame| {
///     assert_eq!(frame, b"TIDE");
///     s.end();
///     Flow::Ready
/// }));
/// let _ = send(&mut lp.socket(client), b"tide");
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    size: usize,
    is_little_endian: bool,
    counts_itself: bool,
    max: usize,
}

impl LengthPrefixed {
    fn of(size: usize, is_little_endian: bool, max: usize) -> LengthPrefixed {
        LengthPrefixed { size, is_little_endian, counts_itself: false, max }
    }

    /// A length of one byte; frames of at most `max` bytes.
    pub fn u8(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(1, false, max)
    }

    /// A length of two bytes, big-endian; frames of at most `max` bytes.
    pub fn u16_be(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(2, false, max)
    }

    /// A length of two bytes, little-endian; frames of at most `max` bytes.
    pub fn u16_le(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(2, true, max)
    }

    /// A length of four bytes, big-endian; frames of at most `max` bytes.
    pub fn u32_be(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(4, false, max)
    }

    /// A length of four bytes, little-endian; frames of at most `max` bytes.
    pub fn u32_le(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(4, true, max)
    }

    /// A length of eight bytes, big-endian; frames of at most `max` bytes.
    pub fn u64_be(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(8, false, max)
    }

    /// A length of eight bytes, little-endian; frames of at most `max` bytes.
    pub fn u64_le(max: usize) -> LengthPrefixed {
        LengthPrefixed::of(8, true, max)
    }

    /// The length includes its own bytes; `max` does not.
    pub fn counts_itself(self, yes: bool) -> LengthPrefixed {
        LengthPrefixed { counts_itself: yes, ..self }
    }

    /// The length of a frame of so many bytes, to be written before it; `None` if that is more
    /// than `max`, or than the length has room for.
    pub fn prefix(&self, frame: usize) -> Option<Vec<u8>> {
        let length = if self.counts_itself { frame.checked_add(self.size)? } else { frame };
        let bytes = (length as u64).to_be_bytes();
        let (high, low) = bytes.split_at(8 - self.size);
        if frame > self.max || high.iter().any(|byte| *byte != 0) {
            return None;
        }
        let mut prefix = low.to_vec();
        if self.is_little_endian {
            prefix.reverse();
        }
        Some(prefix)
    }

    /// A length, as it stands before a frame.
    fn length(&self, prefix: &[u8]) -> u64 {
        let append = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
        if self.is_little_endian {
            prefix.iter().rev().fold(0, append)
        } else {
            prefix.iter().fold(0, append)
        }
    }
}

impl Decode for LengthPrefixed {
    type Frame<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        let Some((prefix, rest)) = input.split_at_checked(self.size) else { return Ok(None) };
        let own = if self.counts_itself { self.size as u64 } else { 0 };
        let length = self.length(prefix).checked_sub(own).ok_or(FrameFault::BadLength)?;
        if length > self.max as u64 {
            return Err(FrameFault::TooLong { limit: self.max }.into());
        }
        let Some((frame, rest)) = rest.split_at_checked(length as usize) else { return Ok(None) };
        *input = rest;
        Ok(Some(frame))
    }

    fn limit(&self) -> usize {
        self.max.saturating_add(self.size)
    }
}
