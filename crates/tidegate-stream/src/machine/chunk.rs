//! [`Chunk`]: bytes to write, lent or shared.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use bytes::Bytes;

/// Bytes to write: every `write` takes what becomes a chunk.
///
/// | lent | given away | either |
/// |---|---|---|
/// | `&[u8]`, `&[u8; N]`, `&Vec<u8>`, `&Bytes` | `Vec<u8>`, `Bytes`, `Box<[u8]>` | `Cow<[u8]>` |
/// | `&str`, `&String` | `String` | `Cow<str>` |
///
/// Of borrowed bytes, the part that the kernel does not take at once is copied. Bytes that are given
/// away are kept without a copy if they are 1 KiB or more, or if the sink takes one chunk at a time.
/// An array is lent (`&[5, 0]`): given away it would cost an allocation. Other types become one of
/// these first, as a `BytesMut` by `freeze`.
///
/// ```
/// use bytes::Bytes;
/// use tidegate_stream::Chunk;
/// let text = String::from("tide");
/// let lent: [Chunk<'_>; 3] = [b"tide".into(), "tide".into(), (&text).into()];
/// let shared: [Chunk<'_>; 3] = [Bytes::from("tide").into(), vec![0; 4].into(), String::new().into()];
/// assert_eq!(lent[0].bytes(), shared[0].bytes());
/// ```
#[derive(Clone, Debug)]
pub enum Chunk<'a> {
    /// Borrowed for the call.
    Lent(&'a [u8]),
    /// Shared, by reference counting.
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

/// `From` for what is lent, and for what is given away.
macro_rules! from {
    ($(lent [$($n:ident)?] $L:ty;)* $(shared $S:ty;)*) => {
        $(impl<'a $(, const $n: usize)?> From<&'a $L> for Chunk<'a> {
            #[inline]
            fn from(b: &'a $L) -> Chunk<'a> {
                Chunk::Lent(b.as_ref())
            }
        })*
        $(impl From<$S> for Chunk<'_> {
            #[inline]
            fn from(b: $S) -> Self {
                Chunk::Shared(b.into())
            }
        })*
    };
}

from! {
    lent [] [u8];
    lent [N] [u8; N];
    lent [] str;
    lent [] Vec<u8>;
    lent [] String;
    lent [] Bytes;
    shared Bytes;
    shared Vec<u8>;
    shared String;
    shared Box<[u8]>;
}

impl<'a> From<Cow<'a, [u8]>> for Chunk<'a> {
    #[inline]
    fn from(b: Cow<'a, [u8]>) -> Chunk<'a> {
        match b {
            Cow::Borrowed(b) => b.into(),
            Cow::Owned(b) => b.into(),
        }
    }
}

impl<'a> From<Cow<'a, str>> for Chunk<'a> {
    #[inline]
    fn from(b: Cow<'a, str>) -> Chunk<'a> {
        match b {
            Cow::Borrowed(b) => b.into(),
            Cow::Owned(b) => b.into(),
        }
    }
}
