//! [`Lines`]: frames that end with a line feed.
#![forbid(unsafe_code)]

use tidegate_stream::BoxError;

use crate::framed::decode::Decode;
use crate::framed::delimited::Search;
use crate::framed::fault::FrameFault;

/// Lines, without their `\n` or `\r\n`, as bytes: whether they are UTF-8 is for you to say.
///
/// A last line without `\n` is a truncated frame, unless
/// [`last_may_be_open`](Lines::last_may_be_open) is set.
///
/// ```
/// use tidegate_net::{Decode, Lines};
/// let mut lines = Lines::new(1024);
/// let mut input = &b"high\r\nwater"[..];
/// assert_eq!(lines.decode(&mut input).unwrap(), Some(&b"high"[..]));
/// assert_eq!(lines.decode(&mut input).unwrap(), None);
/// assert_eq!(input, b"water");
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    max: usize,
    last_may_be_open: bool,
    search: Search,
}

impl Lines {
    /// Lines of at most `max` bytes, what ends them not counted.
    pub fn new(max: usize) -> Lines {
        Lines { max, last_may_be_open: false, search: Search::default() }
    }

    /// The end of the connection ends a line, too.
    pub fn last_may_be_open(self, yes: bool) -> Lines {
        Lines { last_may_be_open: yes, ..self }
    }

    fn line<'a>(&self, line: &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.max {
            return Err(FrameFault::TooLong { limit: self.max }.into());
        }
        Ok(Some(line))
    }
}

impl Decode for Lines {
    type Frame<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        match self.search.find(b"\n", input) {
            Some(line) => self.line(line),
            // A carriage return at the end may belong to the line feed that is to come.
            None => self.line(input).map(|_| None),
        }
    }

    fn decode_end<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
        if !self.last_may_be_open {
            return Ok(None);
        }
        self.line(std::mem::take(input))
    }

    fn limit(&self) -> usize {
        self.max.saturating_add(1)
    }
}
