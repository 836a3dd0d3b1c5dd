//! [`Tape`]: what a loop did, in small records of fixed size. The thread of the loop writes them with
//! a few plain stores; another thread reads them when it wants to, without a lock. The oldest give
//! way. `follow.rs` makes turns of them.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::entry::Entry;

/// Records that are kept, 128 KiB: about 1,000 turns of an echo, or 100 that are as long as a turn
/// may be here.
const RECORDS: u64 = 8 * 1024;

type Record = [AtomicU64; 2];

pub(crate) struct Tape {
    /// Records so far.
    head: AtomicU64,
    /// What the loop does now, and since when: changed more often than a record is made.
    now: AtomicU64,
    since: AtomicU64,
    records: Box<[Record]>,
}

impl Default for Tape {
    fn default() -> Tape {
        let records = (0..RECORDS).map(|_| Record::default()).collect();
        Tape { head: AtomicU64::new(0), now: AtomicU64::new(0), since: AtomicU64::new(0), records }
    }
}

impl Tape {
    fn record(&self, n: u64) -> Option<&Record> {
        self.records.get((n % RECORDS) as usize)
    }

    /// One more record. For one thread alone.
    #[inline]
    pub(crate) fn push(&self, entry: Entry) {
        let n = self.head.load(Relaxed);
        let [first, second] = entry.pack();
        // A reader that sees a part of this record also sees that `n` records were written, so that
        // the one that was here before is gone.
        fence(Release);
        if let Some(record) = self.record(n) {
            record[0].store(first, Relaxed);
            record[1].store(second, Relaxed);
        }
        self.head.store(n + 1, Release);
    }

    /// What the loop does now. For the thread that pushes.
    #[inline]
    pub(crate) fn set_now(&self, what: u64, since: u64) {
        self.since.store(since, Relaxed);
        self.now.store(what, Release);
    }

    /// What it does, and since when.
    pub(crate) fn now(&self) -> (u64, u64) {
        let what = self.now.load(Acquire);
        (what, self.since.load(Relaxed))
    }

    /// Reads the records from the `n`th on. Returns the number of the first that there still is, which
    /// is more than `n` if some are gone.
    pub(crate) fn read(&self, n: u64, into: &mut Vec<[u64; 2]>) -> u64 {
        into.clear();
        let head = self.head.load(Acquire);
        let from = n.clamp(head.saturating_sub(RECORDS), head);
        into.extend((from..head).filter_map(|n| {
            let record = self.record(n)?;
            Some([record[0].load(Relaxed), record[1].load(Relaxed)])
        }));
        // What was overwritten meanwhile is not what was asked for; the record after the last may be
        // half written.
        fence(Acquire);
        let kept = (self.head.load(Relaxed) + 1).saturating_sub(RECORDS);
        let gone = kept.saturating_sub(from).min(head - from);
        into.drain(..gone as usize);
        from + gone
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn numbered(n: u64) -> Entry {
        Entry::Turn { number: n, at: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn number_of(record: [u64; 2]) -> u64 {
        match Entry::unpack(record) {
            Some(Entry::Turn { number, at }) => {
                assert_eq!(Entry::Turn { number, at }, numbered(number), "halves of two records");
                number
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_gets_what_is_new_and_the_number_of_the_first_that_is_left() {
        let (tape, mut into) = (Tape::default(), Vec::new());
        assert_eq!((tape.read(0, &mut into), into.len()), (0, 0));
        (0..5).for_each(|n| tape.push(numbered(n)));
        assert_eq!((tape.read(2, &mut into), into.len()), (2, 3));
        assert_eq!(tape.read(9, &mut into), 5, "there are only five");
        (5..RECORDS + 10).for_each(|n| tape.push(numbered(n)));
        let first = tape.read(3, &mut into);
        assert_eq!(first, 11, "one less than there is room for: the next may be half written");
        let seen: Vec<_> = into.iter().map(|r| number_of(*r)).collect();
        assert_eq!(seen, (11..RECORDS + 10).collect::<Vec<_>>());
    }

    #[test]
    fn no_record_is_a_mixture_while_another_thread_writes() {
        let (tape, done) = (Tape::default(), AtomicBool::new(false));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                (0..40 * RECORDS).for_each(|n| tape.push(numbered(n)));
                done.store(true, Release);
            });
            let (mut next, mut into, mut seen) = (0, Vec::new(), 0);
            loop {
                let was_done = done.load(Acquire);
                let first = tape.read(next, &mut into);
                assert!(first >= next);
                for (n, record) in (first..).zip(&into) {
                    assert_eq!(number_of(*record), n);
                    seen += 1;
                }
                next = first + into.len() as u64;
                if was_done {
                    break;
                }
            }
            assert_eq!(next, 40 * RECORDS, "the last is read");
            assert!(seen >= RECORDS - 1, "{seen}");
        });
    }
}
