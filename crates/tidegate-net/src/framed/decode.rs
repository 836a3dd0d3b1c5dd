//! [`Decode`]: how a protocol's frames are cut from the bytes that come.
#![forbid(unsafe_code)]

use tidegate_stream::BoxError;

/// Cuts frames from the bytes of a connection, for [`Framed`](crate::Framed). Ready-made are
/// [`Lines`](crate::Lines), [`Delimited`](crate::Delimited) and
/// [`LengthPrefixed`](crate::LengthPrefixed).
///
/// A frame may borrow from the input, so that no byte of it is copied. A [`Parser`](crate::Parser)
/// takes a frame apart and notices when the rest is still to come.
///
/// ```
/// use tidegate_net::{BoxError, Decode, Parser};
/// /// A type and a value: one byte, then as many as that byte says.
/// struct Records;
/// struct Record<'a> { kind: u8, value: &'a [u8] }
/// impl Decode for Records {
///     type Frame<'a> = Record<'a>;
///     fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Record<'a>>, BoxError> {
///         Parser::parse(input, |p| {
///             let [kind, len] = p.array()?;
///             if kind > 7 {
///                 return Err(format!("no record is of type {kind}").into());
///             }
///             Ok(Record { kind, value: p.bytes(len.into())? })
///         })
///     }
/// }
/// let mut input = &b"\x01\x02hi\x02"[..];
/// let record = Records.decode(&mut input).unwrap().unwrap();
/// assert_eq!((record.kind, record.value, input), (1, &b"hi"[..], &b"\x02"[..]));
/// assert!(Records.decode(&mut input).unwrap().is_none());
/// ```
pub trait Decode: 'static {
    /// A frame; it may borrow from the input.
    type Frame<'a>;

    /// Takes one frame off the front of `input`. `None`: more bytes are needed. Then the next
    /// call gets what is left of `input` again, with more behind it, so that a decoder can note
    /// how far it has looked.
    ///
    /// An error is the end of decoding: see [`Framed`](crate::Framed).
    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Self::Frame<'a>>, BoxError>;

    /// The peer has ended its side, and these bytes are left of which
    /// [`decode`](Decode::decode) wanted more. Takes a last frame, if the protocol has one that
    /// the end completes. What is left then is [`FrameFault::Truncated`](crate::FrameFault).
    fn decode_end<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Self::Frame<'a>>, BoxError> {
        let _ = input;
        Ok(None)
    }

    /// As many bytes may wait for the rest of their frame; 1 MiB by default. More are
    /// [`FrameFault::TooLong`](crate::FrameFault).
    fn limit(&self) -> usize {
        1 << 20
    }
}
