//! A 4-ary heap of deadlines that knows where each of its entries is. Which timers the entries
//! are, and which deadlines are out of date, is in `timers.rs`.
#![forbid(unsafe_code)]

/// Start numbers end here, and with them a numbering: see `Timers::renumber`.
pub(crate) const START_BITS: u32 = 64 - ENTRY_BITS;
/// As many as there can be handles.
const ENTRY_BITS: u32 = 24;
const ARITY: usize = 4;
/// The place of an entry that is not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A deadline with its start number, by which ties are ordered, and the entry it is of. All in
/// one number, so that one comparison orders them: 64, 40 and 24 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Node(u128);

impl Node {
    #[inline(always)]
    pub(crate) fn new(deadline: u64, start: u64, entry: u32) -> Node {
        debug_assert!(start < 1 << START_BITS && entry < 1 << ENTRY_BITS);
        Node(u128::from(deadline) << 64 | u128::from(start << ENTRY_BITS | u64::from(entry)))
    }

    #[inline(always)]
    pub(crate) fn deadline(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[inline(always)]
    pub(crate) fn start(self) -> u64 {
        self.0 as u64 >> ENTRY_BITS
    }

    #[inline(always)]
    pub(crate) fn entry(self) -> u32 {
        self.0 as u32 & ((1 << ENTRY_BITS) - 1)
    }
}

/// The heap. Places are beside the nodes and not in the entries: each move of a node writes one,
/// and so close together they stay in the cache.
#[derive(Default)]
pub(crate) struct Heap {
    nodes: Vec<Node>,
    /// By entry.
    places: Vec<u32>,
}

impl Heap {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<Node> {
        self.nodes.first().copied()
    }

    /// Where the entry is, if it is in the heap.
    #[inline]
    pub(crate) fn place(&self, entry: u32) -> Option<usize> {
        self.places.get(entry as usize).filter(|at| **at != NOWHERE).map(|at| *at as usize)
    }

    #[inline]
    pub(crate) fn at(&self, place: usize) -> Node {
        self.nodes[place]
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, node: Node) {
        let (entry, at) = (node.entry() as usize, self.nodes.len());
        self.nodes.push(node);
        if entry == self.places.len() {
            self.places.push(at as u32);
        } else {
            self.set_place(entry, at as u32);
        }
        // Most are later than those that were started before.
        if at > 0 && node < self.nodes[(at - 1) / ARITY] {
            self.up(at, node);
        }
    }

    #[inline]
    fn set_place(&mut self, entry: usize, at: u32) {
        if entry > self.places.len() {
            self.places.resize(entry + 1, NOWHERE);
        }
        self.places[entry] = at;
    }

    /// Another node for this place, which does not come before the one that is there.
    pub(crate) fn put_off(&mut self, place: usize, node: Node) {
        self.fill(place, node);
    }

    /// Another node for this place, which comes before the one that is there.
    pub(crate) fn bring_forward(&mut self, place: usize, node: Node) {
        self.up(place, node);
    }

    /// Takes out what is at this place.
    pub(crate) fn remove(&mut self, place: usize) {
        self.places[self.nodes[place].entry() as usize] = NOWHERE;
        let Some(last) = self.nodes.pop() else { return };
        if place < self.nodes.len() {
            self.fill(place, last);
        }
    }

    /// Whether more than `most` nodes have a deadline of `now` or before. Looks at no more of
    /// them than that, and their children.
    pub(crate) fn has_more_due(&self, now: u64, most: usize) -> bool {
        let mut left = most;
        !self.count_down(0, now, &mut left)
    }

    /// Counts the due nodes from this one on down; `false` if they are more than `left`.
    fn count_down(&self, at: usize, now: u64, left: &mut usize) -> bool {
        if self.nodes.get(at).is_none_or(|n| n.deadline() > now) {
            return true;
        }
        let Some(less) = left.checked_sub(1) else { return false };
        *left = less;
        (1..=ARITY).all(|n| self.count_down(ARITY * at + n, now, left))
    }

    /// The least node by its true value, which is never before its value in the heap.
    pub(crate) fn least(&self, truth: impl Fn(Node) -> Node + Copy) -> Option<Node> {
        let mut least = truth(self.first()?);
        for n in 1..=ARITY {
            self.find_less(n, truth, &mut least);
        }
        Some(least)
    }

    fn find_less(&self, at: usize, truth: impl Fn(Node) -> Node + Copy, least: &mut Node) {
        let Some(node) = self.nodes.get(at).filter(|n| **n < *least) else { return };
        *least = truth(*node).min(*least);
        for n in 1..=ARITY {
            self.find_less(ARITY * at + n, truth, least);
        }
    }

    /// Keeps the nodes that `keep` returns, and orders them anew.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Node) -> Option<Node>) {
        let mut kept = 0;
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            if let Some(node) = keep(node) {
                self.nodes[kept] = node;
                kept += 1;
            } else {
                self.places[node.entry() as usize] = NOWHERE;
            }
        }
        self.nodes.truncate(kept);
        for (at, node) in self.nodes.iter().enumerate() {
            self.places[node.entry() as usize] = at as u32;
        }
        let parents = kept.saturating_sub(1).div_ceil(ARITY);
        for at in (0..parents).rev() {
            self.down(at, self.nodes[at]);
        }
    }

    /// Panics unless no node is before its parent, and each entry has its place.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(self.place(node.entry()), Some(at));
            assert!(at == 0 || self.nodes[(at - 1) / ARITY] < *node);
        }
        assert_eq!(self.places.iter().filter(|at| **at != NOWHERE).count(), self.len());
    }

    #[inline(always)]
    fn set(&mut self, at: usize, node: Node) {
        self.nodes[at] = node;
        self.places[node.entry() as usize] = at as u32;
    }

    #[inline(never)]
    fn up(&mut self, mut at: usize, node: Node) {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            let above = self.nodes[parent];
            if node > above {
                break;
            }
            self.set(at, above);
            at = parent;
        }
        self.set(at, node);
    }

    fn down(&mut self, mut at: usize, node: Node) {
        while let Some((child, least)) = self.least_child(at) {
            if node < least {
                break;
            }
            self.set(at, least);
            at = child;
        }
        self.set(at, node);
    }

    /// Fills a hole. Most nodes that do so belong far down: the hole goes there without a look
    /// at the node, which then goes up, be it beyond where the hole was.
    fn fill(&mut self, mut at: usize, node: Node) {
        while let Some((child, least)) = self.least_child(at) {
            self.set(at, least);
            at = child;
        }
        self.up(at, node);
    }

    #[inline(always)]
    fn least_child(&self, at: usize) -> Option<(usize, Node)> {
        let first = ARITY * at + 1;
        let lesser = |a: (usize, Node), b: (usize, Node)| if b.1 < a.1 { b } else { a };
        if let Some(&[a, b, c, d]) = self.nodes.get(first..first + ARITY) {
            let left = lesser((first, a), (first + 1, b));
            return Some(lesser(left, lesser((first + 2, c), (first + 3, d))));
        }
        let last = self.nodes.iter().enumerate().skip(first);
        last.map(|(at, node)| (at, *node)).reduce(lesser)
    }
}
