//! The body of a message: by its length, in chunks, or until the end of the connection. This state
//! machine keeps no bytes. It consumes all that it gets, except trailers that are not complete.
//!
//! | state | bytes | next |
//! |---|---|---|
//! | Length, UntilEnd | data | the same, until nothing is left |
//! | Size | 1 to 16 hexadecimal digits | Size |
//! | Size | `;` | Extension |
//! | Size, Extension | CR | SizeLf |
//! | SizeLf | LF | Data; after the last chunk Trailers |
//! | Data | data | DataCr when nothing is left |
//! | DataCr, DataLf | CR, LF | Size |
//! | Trailers | fields and an empty line | Done |
#![forbid(unsafe_code)]

use crate::codec::fields::{FieldList, find_end, trailers};
use crate::codec::framing::Framing;
use crate::message::limits::Limits;
use crate::message::refusal::{Refusal, bad};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Length,
    UntilEnd,
    Size(u8),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// The body that is read.
#[derive(Clone, Debug)]
pub(super) struct Body {
    state: State,
    /// Of the length or of the chunk.
    left: u64,
    /// Bytes of extensions so far.
    extensions: u32,
    /// How much of the trailers was looked at.
    seen: usize,
}

/// What bytes of a body say.
pub(super) enum Part<'b> {
    More,
    Data(&'b [u8]),
    Trailers(FieldList<'b>),
    End,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Body {
        let (state, left) = match framing {
            Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size(0), 0),
            Framing::UntilEnd => (State::UntilEnd, 0),
        };
        Body { state, left, extensions: 0, seen: 0 }
    }

    /// Whether all of it was read.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The end of the connection. Whether it is that of the body, too.
    pub(super) fn eof(&mut self) -> bool {
        if self.state == State::UntilEnd {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// The next part; how many bytes it and what is around it take.
    pub(super) fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
    ) -> Result<(usize, Part<'b>), Refusal> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok((at, Part::End)),
                State::Trailers => {
                    let (n, part) = self.trailers(&bytes[at..], limits)?;
                    return Ok((at + n, part));
                }
                State::Length | State::UntilEnd | State::Data if at < bytes.len() => {
                    let rest = &bytes[at..];
                    let n = match self.state {
                        State::UntilEnd => rest.len(),
                        _ => usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len()),
                    };
                    if self.state != State::UntilEnd {
                        self.left -= n as u64;
                    }
                    if self.left == 0 && self.state == State::Length {
                        self.state = State::Done;
                    } else if self.left == 0 && self.state == State::Data {
                        self.state = State::DataCr;
                    }
                    return Ok((at + n, Part::Data(&rest[..n])));
                }
                _ => {}
            }
            let Some(byte) = bytes.get(at) else { return Ok((at, Part::More)) };
            at += 1;
            self.state = self.step(*byte, limits)?;
        }
    }

    /// A byte around the data.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        Ok(match (self.state, byte) {
            (State::Size(1..), b'\r') => State::SizeLf,
            (State::Size(1..), b';') => self.extend(limits)?,
            (State::Size(digits), _) => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    b'A'..=b'F' => byte - b'A' + 10,
                    _ => return Err(bad("a bad size of a chunk")),
                };
                if digits == 16 {
                    return Err(bad("a large size of a chunk"));
                }
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => self.extend(limits)?,
            (State::Extension, _) => return Err(bad("a bad extension of a chunk")),
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::SizeLf, _) => return Err(bad("a CR without LF")),
            _ => return Err(bad("a chunk of another size")),
        })
    }

    fn extend(&mut self, limits: &Limits) -> Result<State, Refusal> {
        self.extensions += 1;
        if self.extensions > limits.max_chunk_extensions {
            return Err(Refusal::new(413, "long extensions of chunks"));
        }
        Ok(State::Extension)
    }

    fn trailers<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
    ) -> Result<(usize, Part<'b>), Refusal> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.state = State::Done;
                return Ok((2, Part::End));
            }
            [] | [b'\r'] => return Ok((0, Part::More)),
            _ => {}
        }
        let within = &bytes[..bytes.len().min(limits.max_trailers as usize)];
        match find_end(within, self.seen)? {
            Some(n) => {
                let fields = trailers(&bytes[..n], limits.max_headers as usize)?;
                self.state = State::Done;
                Ok((n, Part::Trailers(fields)))
            }
            None if within.len() == limits.max_trailers as usize => {
                Err(Refusal::new(431, "long trailers"))
            }
            None => {
                self.seen = bytes.len();
                Ok((0, Part::More))
            }
        }
    }
}
