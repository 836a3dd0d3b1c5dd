//! [`Codec`]: a decoder of `tokio_util` as a [`Decode`]. Feature `codec`.
//!
//! `tokio_util`'s decoders take bytes out of a buffer that is theirs; ours are lent the bytes of the
//! connection, which may go to another handler. So `bytes` repeats what is not decoded yet: it
//! begins where the next input begins. After frames stopped in the middle of a chunk, the next
//! input may be shorter than `bytes`, and a frame longer than it; what it took too much is `owed`.
#![forbid(unsafe_code)]

use bytes::BytesMut;
use tidegate_stream::BoxError;
use tokio_util::codec::Decoder;

use crate::framed::decode::Decode;

/// Any [`Decoder`] of `tokio_util` as a [`Decode`], for [`Framed`](crate::Framed) and
/// [`On::framed`](crate::On::framed). Feature `codec`.
///
/// Its frames are owned, and all bytes are copied once: decoders of our own
/// ([`Lines`](crate::Lines), ...) copy nothing. A connection that waits for a new frame keeps
/// nothing; the beginning of a frame is kept twice.
///
/// A frame must take at least one byte; a decoder that makes several frames of the same bytes gets
/// [`FrameFault::Empty`](crate::FrameFault::Empty). `decode_eof` is called only if the peer ends
/// while bytes are left. An error of the decoder is the source of a
/// [`Stage::Decode`](crate::Stage::Decode).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Codec, Flow, Net, On};
/// use tokio_util::codec::LinesCodec;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     let lines = Codec::new(LinesCodec::new_with_max_length(1024));
///     conn.accept(On::new().framed(lines, |s, line: String| s.write(line.to_uppercase() + "\n")));
/// })?;
/// let at = lp.server(server).local_addr()?;
/// let lines = Codec::new(LinesCodec::new());
/// let client = lp.connect(at, On::new().framed(lines, |_, line| {
///     assert_eq!(line, "HIGH WATER");
///     Flow::Ready
/// }));
/// let _ = lp.socket(client).end_with("high water\n");
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Codec<D> {
    decoder: D,
    limit: usize,
    bytes: BytesMut,
    owed: usize,
}

impl<D: Decoder> Codec<D> {
    /// A decoder of `tokio_util`, with a limit of 1 MiB for what may wait for the rest of its frame.
    pub fn new(decoder: D) -> Codec<D> {
        Codec { decoder, limit: 1 << 20, bytes: BytesMut::new(), owed: 0 }
    }

    /// As many bytes may wait for the rest of their frame. Decoders may have a limit, too,
    /// too.
    ///
    /// ```
    /// use tidegate_net::{Codec, Decode};
    /// use tokio_util::codec::LengthDelimitedCodec;
    /// let codec = Codec::new(LengthDelimitedCodec::new()).with_limit(8 << 20);
    /// assert_eq!(codec.limit(), 8 << 20);
    /// ```
    pub fn with_limit(self, bytes: usize) -> Codec<D> {
        Codec { limit: bytes, ..self }
    }

    /// Makes `bytes` repeat the input, and lets the decoder take a frame.
    fn take<F>(
        &mut self,
        input: &mut &[u8],
        decode: impl FnOnce(&mut D, &mut BytesMut) -> Result<Option<F>, D::Error>,
    ) -> Result<Option<F>, BoxError>
    where
        D::Error: Into<BoxError>,
    {
        self.skip(input);
        if input.is_empty() {
            return Ok(None);
        }
        if let Some(new) = input.get(self.bytes.len()..) {
            self.bytes.extend_from_slice(new);
        }
        let before = self.bytes.len();
        let frame = decode(&mut self.decoder, &mut self.bytes).map_err(Into::into)?;
        self.owed = before.saturating_sub(self.bytes.len());
        self.skip(input);
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        Ok(frame)
    }

    /// What the decoder has taken is not shown again.
    fn skip(&mut self, input: &mut &[u8]) {
        let n = self.owed.min(input.len());
        *input = &input[n..];
        self.owed -= n;
    }
}

impl<D> Decode for Codec<D>
where
    D: Decoder + 'static,
    D::Error: Into<BoxError>,
{
    type Frame<'a> = D::Item;

    fn decode(&mut self, input: &mut &[u8]) -> Result<Option<D::Item>, BoxError> {
        self.take(input, D::decode)
    }

    fn decode_end(&mut self, input: &mut &[u8]) -> Result<Option<D::Item>, BoxError> {
        self.take(input, D::decode_eof)
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_util::codec::{LengthDelimitedCodec, LinesCodec};

    use super::*;

    /// Shows the bytes in windows of these lengths, from the first byte that is not taken.
    fn frames<D>(decoder: D, bytes: &[u8], windows: &[usize]) -> Vec<D::Item>
    where
        D: Decoder + 'static,
        D::Error: Into<BoxError>,
    {
        let (mut codec, mut at, mut frames) = (Codec::new(decoder), 0usize, Vec::new());
        let most = [usize::MAX; 64];
        for window in windows.iter().chain(&most) {
            let mut input = &bytes[at..at.saturating_add(*window).min(bytes.len())];
            let shown = input.len();
            frames.extend(codec.decode(&mut input).unwrap());
            at += shown - input.len();
        }
        assert_eq!((at, codec.bytes.capacity()), (bytes.len(), 0), "an idle one keeps nothing");
        frames
    }

    proptest! {
        #[test]
        fn the_same_frames_however_the_bytes_are_shown(
            lengths in prop::collection::vec(0usize..40, 0..40),
            windows in prop::collection::vec(1usize..100, 0..200),
        ) {
            let lines: Vec<String> = lengths.iter().map(|n| "~".repeat(*n)).collect();
            let bytes: String = lines.iter().map(|l| format!("{l}\n")).collect();
            prop_assert_eq!(frames(LinesCodec::new(), bytes.as_bytes(), &windows), lines);

            let bytes: Vec<u8> = lengths
                .iter()
                .flat_map(|n| [&(*n as u32).to_be_bytes()[..], &vec![7; *n]].concat())
                .collect();
            let got = frames(LengthDelimitedCodec::new(), &bytes, &windows);
            prop_assert_eq!(got.iter().map(|f| f.len()).collect::<Vec<_>>(), lengths);
        }
    }
}
