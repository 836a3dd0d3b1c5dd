//! [`Crowd`]: which connections give way when all queues together hold too much. Pure: how much
//! each holds goes in, an index comes out.
//!
//! A look at all connections finds the longest queue, and costs as much as there are connections.
//! So a look has to be paid for: each call pays for some visits, and the next look comes when the
//! last one is paid. In between those that were found give way, the longest first.
//!
//! | a connection that was found | next |
//! |---|---|
//! | may not give way any more | forgotten |
//! | holds less than half of what it did | found with what it holds now |
//! | else | gives way |
#![forbid(unsafe_code)]

use std::collections::BinaryHeap;

/// Visits that one call pays for. With so many connections or fewer, each call looks at all.
const PAID: usize = 64;

#[derive(Default)]
pub(crate) struct Crowd {
    /// How much a connection held when it was found, and its index.
    found: BinaryHeap<(usize, usize)>,
    /// Visits of the last look that are not paid yet.
    debt: usize,
}

impl Crowd {
    /// Room is needed. Whether to look at all connections, of which there are so many.
    pub(crate) fn begin(&mut self, all: usize) -> bool {
        self.debt = self.debt.saturating_sub(PAID);
        if self.debt > 0 {
            return false;
        }
        self.debt = all;
        self.found.clear();
        true
    }

    /// This one may give way, and holds so much.
    pub(crate) fn add(&mut self, held: usize, index: usize) {
        self.found.push((held, index));
    }

    /// The one that gives way. `held` says how much a connection holds now; `None`: it may not
    /// give way.
    pub(crate) fn take(&mut self, mut held: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
        while let Some((before, index)) = self.found.pop() {
            match held(index) {
                None | Some(0) => {}
                Some(now) if now < before / 2 => self.found.push((now, index)),
                Some(_) => return Some(index),
            }
        }
        None
    }

    /// There are no connections.
    pub(crate) fn clear(&mut self) {
        *self = Crowd::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the layer uses it: one call, with all connections and what each holds; how many of
    /// them it visited, and which gives way.
    fn call(crowd: &mut Crowd, all: &[usize], writer: usize) -> (usize, Option<usize>) {
        let mut visits = 0;
        if crowd.begin(all.len()) {
            visits += all.len();
            for (index, held) in all.iter().enumerate().filter(|(i, h)| *i != writer && **h > 0) {
                crowd.add(*held, index);
            }
        }
        let way = crowd.take(|index| {
            visits += 1;
            Some(all[index]).filter(|_| index != writer)
        });
        crowd.add(all[writer], writer);
        (visits, way)
    }

    /// Many connections, each of which writes once beyond the limit, as a broadcast does.
    #[test]
    fn a_call_does_not_visit_every_connection() {
        const ALL: usize = 10_000;
        let mut all = vec![1_000; ALL];
        let (mut crowd, mut visits) = (Crowd::default(), 0);
        for writer in 0..ALL {
            all[writer] += 500;
            let (visited, way) = call(&mut crowd, &all, writer);
            visits += visited;
            all[way.expect("there is always one that holds bytes")] = 0;
        }
        assert!(visits < ALL * 2 * PAID, "{visits} visits for {ALL} writes");
    }

    /// All drain a little between two calls: none is put back more often than it halves.
    #[test]
    fn queues_that_shrink_are_not_visited_again_and_again() {
        const ALL: usize = 10_000;
        let mut all = vec![1 << 20; ALL];
        let (mut crowd, mut visits) = (Crowd::default(), 0);
        for writer in 0..ALL / 2 {
            for held in &mut all {
                *held -= *held / 100;
            }
            all[writer] = 1;
            let (visited, way) = call(&mut crowd, &all, writer);
            visits += visited;
            all[way.expect("there is always one that holds bytes")] = 0;
        }
        assert!(visits < ALL * 2 * PAID, "{visits} visits for {ALL} writes");
    }

    proptest! {
        /// A writer never gives way to itself; the one that does holds bytes, and of few
        /// connections it holds most.
        #[test]
        fn the_longest_queue_gives_way(
            mut all in prop::collection::vec(0usize..1000, 2..200),
            writes in prop::collection::vec((any::<prop::sample::Index>(), 1usize..1000), 1..300),
        ) {
            let mut crowd = Crowd::default();
            for (writer, bytes) in writes {
                let writer = writer.index(all.len());
                all[writer] += bytes;
                let others = all.iter().enumerate().filter(|(i, _)| *i != writer);
                let most = others.map(|(_, held)| *held).max().unwrap();
                let (_, way) = call(&mut crowd, &all, writer);
                let Some(way) = way else {
                    prop_assert!(most == 0 || all.len() > PAID);
                    continue;
                };
                prop_assert!(way != writer && all[way] > 0);
                prop_assert!(all.len() > PAID || all[way] == most);
                all[way] = 0;
            }
        }
    }
}
