//! [`Queued`]: what a writing half holds while it holds something: bytes, and ids that wait.
//!
//! When these are accepted, and what is reported about them, is decided in `write.rs`. A stream whose
//! writes go out at once has no such queue.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use bytes::Bytes;

use crate::machine::block::{Block, TAIL};

/// Memory that a waiting id costs.
const EXPECTED_SIZE: usize = size_of::<(u64, u64)>();

/// Places of an empty queue that are kept for the next time.
const KEPT: usize = 16;

/// Memory of a stream that is not in its queue. See
/// [`WriteState::count_beside`](crate::WriteState::count_beside).
///
/// ```
/// let none = tidegate_stream::Beside::default();
/// assert_eq!((none.accepted, none.received), (0, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// Bytes that were accepted for writing and are not queued yet.
    pub accepted: usize,
    /// Bytes that came from the peer and were not delivered yet.
    pub received: usize,
}

/// Bytes in order, and the ids of writes, each with the number of bytes that must be out before
/// it.
#[derive(Debug, Default)]
pub(crate) struct Queued {
    blocks: VecDeque<Block>,
    /// Bytes of the first block that are out already.
    sent: usize,
    len: usize,
    held: usize,
    /// Bytes that have left since there is a queue.
    out: u64,
    expected: VecDeque<(u64, u64)>,
    /// Memory that is not in here: see `beside.rs`.
    pub(super) beside: Beside,
    /// What was accepted is not all in here.
    pub(super) held_back: bool,
}

impl Queued {
    pub(crate) fn push(&mut self, block: Block) {
        self.len += block.bytes().len();
        self.held += block.held();
        self.blocks.push_back(block);
    }

    /// A copy of few bytes, behind others if there is room.
    pub(crate) fn append(&mut self, data: &[u8], is_corked: bool) {
        match self.blocks.back_mut() {
            Some(Block::Tail(v)) if v.len() + data.len() <= TAIL => {
                let before = v.capacity();
                if before - v.len() < data.len() {
                    v.reserve_exact((before * 2).clamp(data.len(), TAIL - v.len()));
                    self.held += v.capacity() - before;
                }
                v.extend_from_slice(data);
                self.len += data.len();
            }
            _ => self.push(Block::tail(data, is_corked)),
        }
    }

    /// This id belongs to the bytes that were queued last.
    pub(crate) fn expect(&mut self, id: u64) {
        self.held += EXPECTED_SIZE;
        self.expected.push_back((self.out + self.len as u64, id));
    }

    /// This id belongs to bytes that were never queued.
    pub(crate) fn expect_never(&mut self, id: u64) {
        self.held += EXPECTED_SIZE;
        self.expected.push_back((u64::MAX, id));
    }

    /// The first `n` bytes are out. How many pieces are out whole: they are still there, because
    /// their end may run a user's `Drop`, which may panic.
    pub(crate) fn advance(&mut self, n: usize) -> usize {
        debug_assert!(n <= self.len, "more was sent than was queued");
        let n = n.min(self.len);
        self.len -= n;
        self.out += n as u64;
        self.sent += n;
        let mut whole = 0;
        for block in &self.blocks {
            let size = block.bytes().len();
            if self.sent < size {
                break;
            }
            self.sent -= size;
            self.held -= block.held();
            whole += 1;
        }
        whole
    }

    /// Drops so many pieces that are out. Nothing else is to be done after this.
    pub(crate) fn drop_first(&mut self, pieces: usize) {
        self.blocks.drain(..pieces).for_each(Block::retire);
    }

    pub(crate) fn gather<'s>(&'s self, out: &mut [&'s [u8]]) -> usize {
        let mut skip = self.sent;
        let mut n = 0;
        for (block, slot) in self.blocks.iter().zip(out.iter_mut()) {
            *slot = &block.bytes()[skip..];
            skip = 0;
            n += 1;
        }
        n
    }

    pub(crate) fn lend(&mut self, out: &mut Vec<Bytes>, pieces: usize) -> usize {
        let mut skip = self.sent;
        let mut bytes = 0;
        for block in self.blocks.iter_mut().take(pieces) {
            self.held -= block.held();
            let piece = block.share();
            self.held += block.held();
            let piece = piece.slice(skip..);
            skip = 0;
            bytes += piece.len();
            out.push(piece);
        }
        bytes
    }

    /// Takes the blocks out. `len` still says how many bytes did not go out.
    pub(crate) fn discard(&mut self) -> VecDeque<Block> {
        self.held -= self.blocks.iter().map(Block::held).sum::<usize>();
        self.sent = 0;
        std::mem::take(&mut self.blocks)
    }

    /// Whether the first id that waits has its bytes out; `None` if none waits.
    pub(crate) fn is_next_out(&self) -> Option<bool> {
        self.expected.front().map(|(end, _)| *end <= self.out)
    }

    /// The next id, and whether its bytes are out.
    pub(crate) fn take_expected(&mut self) -> Option<(u64, bool)> {
        let (end, id) = self.expected.pop_front()?;
        self.held -= EXPECTED_SIZE;
        Some((id, end <= self.out))
    }

    /// Whether neither bytes nor ids wait, here or in front of it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let is_alone = !self.held_back && self.beside == Beside::default();
        self.len == 0 && self.blocks.is_empty() && self.expected.is_empty() && is_alone
    }

    /// Whether many pieces or ids waited at once.
    pub(crate) fn was_long(&self) -> bool {
        self.blocks.capacity() > KEPT || self.expected.capacity() > KEPT
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.held + self.beside.accepted + self.beside.received
    }

    /// Of these, what counts against the limit.
    #[inline]
    pub(crate) fn accepted(&self) -> usize {
        self.held + self.beside.accepted
    }
}
