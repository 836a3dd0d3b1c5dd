//! [`Block`]: a piece of the write queue, and what it costs in memory.
#![forbid(unsafe_code)]

use std::cell::Cell;

use bytes::Bytes;

/// Pieces smaller than this are gathered in a tail block; larger ones keep
/// their own buffer.
pub(crate) const SMALL: usize = 1024;
/// A tail block grows to at most this size.
pub(crate) const TAIL: usize = 16 * 1024;
/// Memory that a small piece with its own buffer costs in addition to its bytes: a place in a
/// queue that grows by doubling, and an allocation.
const PIECE: usize = 2 * size_of::<Block>() + 32;

/// A piece of the queue.
#[derive(Debug)]
pub(crate) enum Block {
    /// Shared with its maker, never copied.
    Shared(Bytes),
    /// Small writes, appended.
    Tail(Vec<u8>),
    /// A tail that was shared. The memory that sharing costs is not counted: otherwise a writer that
    /// got `Ready` could be over the limit without another write. At most as many of these wait as
    /// one gathered write takes.
    Lent(Bytes),
}

thread_local! {
    /// The memory of a tail block that is out: the next stream that is corked begins with it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Block {
    /// A copy of few bytes, behind which there may be room already.
    pub(crate) fn tail(data: &[u8], is_corked: bool) -> Block {
        let mut tail = match is_corked {
            true => SPARE.try_with(Cell::take).unwrap_or_default(),
            false => Vec::new(),
        };
        tail.reserve_exact(data.len());
        tail.extend_from_slice(data);
        Block::Tail(tail)
    }

    /// It is out, and nobody needs it any more.
    pub(crate) fn retire(self) {
        if let Block::Tail(mut tail) = self {
            tail.clear();
            let _ = SPARE.try_with(|spare| {
                let other = spare.take();
                spare.set(if tail.capacity() < other.capacity() { other } else { tail });
            });
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Block::Shared(b) | Block::Lent(b) => b,
            Block::Tail(v) => v,
        }
    }

    #[inline]
    pub(crate) fn held(&self) -> usize {
        match self {
            Block::Shared(b) if b.len() < SMALL => b.len() + PIECE,
            Block::Shared(b) | Block::Lent(b) => b.len(),
            Block::Tail(v) => v.capacity(),
        }
    }

    /// Another handle to the same bytes. From now on nothing is appended to this block.
    pub(crate) fn share(&mut self) -> Bytes {
        let shared = match self {
            Block::Shared(b) | Block::Lent(b) => return b.clone(),
            Block::Tail(v) => {
                v.shrink_to_fit();
                Bytes::from(std::mem::take(v))
            }
        };
        *self = Block::Lent(shared.clone());
        shared
    }
}
