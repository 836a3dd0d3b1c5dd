//! [`Entry`]: one thing that a loop did, packed into two words; [`Kinds`]: the names in it.
//!
//! Numbers that do not fit are the largest that do. Handles are at most 2^24, and a call that takes
//! four hours is not shown more exactly.
#![forbid(unsafe_code)]

use tidegate::Key;
use tidegate::observe::Id;

use super::turn::{Bits, Who};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A turn began.
    Turn { number: u64, at: u64 },
    /// The kernel answered. `before`: handles that were queued when the turn began.
    Polled { events: u64, queued: u64, before: u64, waited: u64 },
    /// A handle was called.
    Called { who: Handle, bits: Bits, place: usize, took: u64 },
    /// A server accepted.
    Batch { server: Handle, accepted: u64, stopped: u8 },
    /// A phase is over.
    Phase { place: usize, took: u64 },
    /// The turn is over.
    End { took: u64, left_out: u64 },
}

/// A handle, without the number of its loop; and the number of its kind in [`Kinds`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Handle(u64);

impl Handle {
    pub(crate) fn new(kind: u8, key: Key) -> Handle {
        let place = u64::from(key.generation()) << 24 | key.index() as u64;
        Handle(u64::from(kind) << 52 | place)
    }

    /// Never 0: generations begin at 1.
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn of_word(word: u64) -> Handle {
        Handle(word)
    }

    fn kind(self) -> u8 {
        (self.0 >> 52) as u8
    }
}

const fn fit(value: u64, bits: u32) -> u64 {
    let most = (1 << bits) - 1;
    if value < most { value } else { most }
}

impl Entry {
    /// The lowest byte of the first word is its number.
    #[inline]
    pub(crate) fn pack(self) -> [u64; 2] {
        match self {
            Entry::Turn { number, at } => [1 | fit(number, 56) << 8, at],
            Entry::Polled { events, queued, before, waited } => {
                let counts = fit(events, 18) | fit(queued, 18) << 18 | fit(before, 18) << 36;
                [2 | counts << 8, waited]
            }
            Entry::Called { who, bits, place, took } => {
                let small = u64::from(bits.0) | (place as u64 & 0xf) << 8;
                [3 | small << 8 | fit(took, 44) << 20, who.0]
            }
            Entry::Batch { server, accepted, stopped } => {
                [4 | u64::from(stopped) << 8 | fit(accepted, 48) << 16, server.0]
            }
            Entry::Phase { place, took } => [5 | (place as u64) << 8, took],
            Entry::End { took, left_out } => [6 | fit(left_out, 56) << 8, took],
        }
    }

    /// `None`: nothing was written there.
    pub(crate) fn unpack([first, second]: [u64; 2]) -> Option<Entry> {
        let rest = first >> 8;
        Some(match first & 0xff {
            1 => Entry::Turn { number: rest, at: second },
            2 => {
                let count = |n: u32| rest >> (18 * n) & 0x3_ffff;
                Entry::Polled {
                    events: count(0),
                    queued: count(1),
                    before: count(2),
                    waited: second,
                }
            }
            3 => Entry::Called {
                who: Handle(second),
                bits: Bits(rest as u8),
                place: (rest >> 8 & 0xf) as usize,
                took: rest >> 12,
            },
            4 => Entry::Batch { server: Handle(second), accepted: rest >> 8, stopped: rest as u8 },
            5 => Entry::Phase { place: rest as usize, took: second },
            6 => Entry::End { took: second, left_out: rest },
            _ => return None,
        })
    }
}

/// The names that entries have as numbers: of kinds, and why batches stopped.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    names: Vec<(&'static str, char)>,
    loop_id: u16,
}

impl Default for Kinds {
    /// A name for which no number is left gets number 0.
    fn default() -> Kinds {
        Kinds { names: vec![("handle", 'h')], loop_id: 0 }
    }
}

impl Kinds {
    /// One more name; the last byte is the most. `key`: a handle of this kind.
    pub(crate) fn add(&mut self, name: &'static str, key: Key) -> u8 {
        let Ok(number) = u8::try_from(self.names.len()) else { return 0 };
        let letter = Id::of(name, key).to_string().chars().next();
        self.names.push((name, letter.unwrap_or('h')));
        self.loop_id = key.loop_id();
        number
    }

    pub(crate) fn name(&self, number: u8) -> &'static str {
        self.names.get(usize::from(number)).map_or("handle", |(name, _)| name)
    }

    pub(crate) fn kind(&self, of: Handle) -> &'static str {
        self.name(of.kind())
    }

    pub(crate) fn who(&self, of: Handle) -> Who {
        let letter = self.names.get(usize::from(of.kind())).map_or('h', |(_, letter)| *letter);
        Who::Live {
            letter,
            loop_id: self.loop_id,
            index: of.0 as u32 & 0xff_ffff,
            generation: (of.0 >> 24) as u32 & 0xfff_ffff,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate::prelude::*;

    use super::*;

    #[test]
    fn an_entry_comes_out_as_it_went_in_and_large_numbers_do_not_touch_their_neighbours() {
        let who = Handle(0xab_cdef_0123_4567);
        let entries = |n: u64| {
            [
                Entry::Turn { number: n & ((1 << 56) - 1), at: n },
                Entry::Polled { events: 1, queued: 3, before: 0x3_fffe, waited: n },
                Entry::Called { who, bits: Bits(0x2a), place: 8, took: n & ((1 << 44) - 1) },
                Entry::Batch { server: who, accepted: 64, stopped: 0xff },
                Entry::Phase { place: 5, took: n },
                Entry::End { took: n, left_out: 7 },
            ]
        };
        for entry in [0, 1, 0x1234_5678_9abc, u64::MAX].into_iter().flat_map(entries) {
            assert_eq!(Entry::unpack(entry.pack()), Some(entry));
        }
        assert_eq!(Entry::unpack([0, 0]), None);
        let long = Entry::Called { who, bits: Bits(1), place: 4, took: u64::MAX };
        let most = Entry::Called { who, bits: Bits(1), place: 4, took: (1 << 44) - 1 };
        assert_eq!(Entry::unpack(long.pack()), Some(most));
        let many = Entry::Polled { events: u64::MAX, queued: 0, before: u64::MAX, waited: 5 };
        let most = Entry::Polled { events: 0x3_ffff, queued: 0, before: 0x3_ffff, waited: 5 };
        assert_eq!(Entry::unpack(many.pack()), Some(most));
    }

    #[test]
    fn a_handle_has_the_name_that_all_observers_give_it() {
        let mut lp = Loop::new().unwrap();
        let mut kinds = Kinds::default();
        let key = lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
        let socket = kinds.add("socket", key.into());
        let handle = Handle::new(socket, key.into());
        assert_eq!(kinds.who(handle).to_string(), Id::connection(key).to_string());
        assert_eq!(kinds.kind(handle), "socket");
        let unknown = Handle::new(200, key.into());
        assert_eq!(kinds.kind(unknown), "handle");
        for n in 2..300 {
            assert_eq!(kinds.add("timer", key.into()), u8::try_from(n).unwrap_or(0));
        }
    }
}
