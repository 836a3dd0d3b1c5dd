//! [`Delimited`]: frames that end with certain bytes, and the search for these.
#![forbid(unsafe_code)]

use std::io::BufRead;

use tidegate_stream::BoxError;

use crate::framed::decode::Decode;
use crate::framed::fault::FrameFault;

/// Frames that end with a delimiter, which is no part of them.
///
/// ```
/// use tidegate_net::{Decode, Delimited};
/// let mut heads = Delimited::new("\r\n\r\n", 8 << 10);
/// let mut input = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"[..];
/// let head = heads.decode(&mut input).unwrap().unwrap();
/// assert_eq!(head, b"GET / HTTP/1.1\r\nHost: a");
/// assert_eq!(input, b"GET");
/// ```
#[derive(Clone, Debug)]
pub struct Delimited {
    delimiter: Vec<u8>,
    max: usize,
    search: Search,
}

impl Delimited {
    /// Frames of at most `max` bytes, the delimiter not counted. Without a delimiter no frame
    /// ever ends.
    pub fn new(delimiter: impl AsRef<[u8]>, max: usize) -> Delimited {
        Delimited { delimiter: delimiter.as_ref().to_vec(), max, search: Search::default() }
    }
}

impl Decode for Delimited {
    type Frame<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        let too_long = || Err(FrameFault::TooLong { limit: self.max }.into());
        match self.search.find(&self.delimiter, input) {
            Some(frame) if frame.len() <= self.max => Ok(Some(frame)),
            // All of the delimiter but its last byte may be there.
            None if input.len() < self.max.saturating_add(self.delimiter.len()) => Ok(None),
            _ => too_long(),
        }
    }

    fn limit(&self) -> usize {
        self.max.saturating_add(self.delimiter.len())
    }
}

/// How far the input was searched: no byte is looked at twice while a frame grows.
#[derive(Clone, Default, Debug)]
pub(crate) struct Search {
    seen: usize,
}

impl Search {
    /// What stands before the first delimiter; takes both off the input.
    pub(crate) fn find<'a>(&mut self, delimiter: &[u8], input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let last = *delimiter.last()?;
        loop {
            let mut rest = input.get(self.seen..)?;
            // memchr(3), which the standard library has under this name; a slice never fails.
            let skipped = rest.skip_until(last).unwrap_or(0);
            self.seen += skipped;
            let (seen, behind) = input.split_at(self.seen);
            if let Some(frame) = seen.strip_suffix(delimiter) {
                *input = behind;
                self.seen = 0;
                return Some(frame);
            }
            if behind.is_empty() {
                return None;
            }
        }
    }
}
