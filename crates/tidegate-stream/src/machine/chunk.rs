//! [`Chunk`]: bytes to write, lent or shared.
#![forbid(unsafe_code)]

use bytes::Bytes;

/// Bytes to write. Of lent bytes, the part that the kernel does not take at once is copied.
/// Shared bytes are kept without a copy if they are 1 KiB or more, or if the sink takes
/// chunks singly.
///
/// ```
/// use bytes::Bytes;
/// use tidegate_stream::Chunk;
/// let (lent, shared): (Chunk<'_>, Chunk<'_>) = (b"tide".into(), Bytes::from("tide").into());
/// assert_eq!(lent.bytes(), shared.bytes());
/// ```
#[derive(Clone, Debug)]
pub enum Chunk<'a> {
    /// Lent for the call.
    Lent(&'a [u8]),
    /// Shared with their maker.
    Shared(Bytes),
}

impl Chunk<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Lent(b) => b,
            Chunk::Shared(b) => b,
        }
    }

    /// The bytes, to be kept: lent ones are copied.
    pub(crate) fn keep(self) -> Bytes {
        match self {
            Chunk::Lent(b) => Bytes::copy_from_slice(b),
            Chunk::Shared(b) => b,
        }
    }
}

impl<'a> From<&'a [u8]> for Chunk<'a> {
    fn from(b: &'a [u8]) -> Chunk<'a> {
        Chunk::Lent(b)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Chunk<'a> {
    fn from(b: &'a [u8; N]) -> Chunk<'a> {
        Chunk::Lent(b)
    }
}

impl<'a> From<&'a str> for Chunk<'a> {
    fn from(b: &'a str) -> Chunk<'a> {
        Chunk::Lent(b.as_bytes())
    }
}

impl From<Bytes> for Chunk<'_> {
    fn from(b: Bytes) -> Self {
        Chunk::Shared(b)
    }
}

impl From<Vec<u8>> for Chunk<'_> {
    fn from(b: Vec<u8>) -> Self {
        Chunk::Shared(b.into())
    }
}
