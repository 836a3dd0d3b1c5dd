//! [`Sockets`]: the connections of a loop, by index. Which index a key means, the loop's table
//! says.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Runtime;

use crate::key::SocketKey;
use crate::options::stream::StreamOptions;
use crate::state::socket::{Life, Socket};

/// The connections of a loop, by index. The place of one that is over keeps its memory, and a
/// later one is made in it: they are neither moved in nor out.
#[derive(Default)]
pub(crate) struct Sockets {
    places: Vec<Socket>,
    free: Vec<u32>,
}

impl Sockets {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// How many [`iter`](Sockets::iter) visits: places that are free, too.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The index that the next one gets.
    #[inline]
    pub(crate) fn next(&self) -> usize {
        self.free.last().map_or(self.places.len(), |index| *index as usize)
    }

    /// Makes one at the index that is next.
    #[inline(always)]
    pub(crate) fn make(
        &mut self,
        key: SocketKey,
        life: Life,
        options: &StreamOptions,
        rt: &Runtime<'_>,
    ) -> &mut Socket {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.grow(key);
                self.places.len() - 1
            }
        };
        let s = &mut self.places[index];
        s.begin(key, life, options, rt);
        s
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, key: SocketKey) {
        self.places.push(Socket::over(key));
    }

    /// The connection at this index, if it has this key.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, index: usize, key: SocketKey) -> Option<&mut Socket> {
        match self.places.get_mut(index) {
            Some(s) if s.key == key => Some(s),
            _ => None,
        }
    }

    /// The connection at this index, if there is one.
    pub(crate) fn at(&self, index: usize) -> Option<&Socket> {
        self.places.get(index).filter(|s| s.life != Life::Over)
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut Socket> {
        self.places.get_mut(index).filter(|s| s.life != Life::Over)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Socket)> {
        self.places.iter().enumerate().filter(|(_, s)| s.life != Life::Over)
    }

    /// What was at this index is over.
    #[inline]
    pub(crate) fn free(&mut self, index: usize) {
        // An index is that of a handle, which has 24 bits.
        self.free.push(index as u32);
    }
}
