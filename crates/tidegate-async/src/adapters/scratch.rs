//! Memory through which a read goes when the reader's buffer is not initialized: a copy of what
//! came costs less than zeros for all that might come. One buffer for each thread.
#![forbid(unsafe_code)]

use std::cell::Cell;

/// As much as the loop's own read buffer.
const SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends up to `most` bytes of it. Called from inside of `f`, or while the thread ends, it lends
/// memory that is made for this call.
pub(crate) fn lend<R>(most: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = SCRATCH.try_with(Cell::take).unwrap_or_default();
    if buffer.is_empty() {
        buffer.resize(SIZE, 0);
    }
    let result = f(&mut buffer[..most.min(SIZE)]);
    let _ = SCRATCH.try_with(|scratch| scratch.set(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_buffer_of_at_most_its_size() {
        let at = lend(10, |b| (b.len(), b.as_ptr() as usize));
        let again = lend(usize::MAX, |b| (b.len(), b.as_ptr() as usize));
        assert_eq!((at.0, again.0, at.1), (10, SIZE, again.1));
    }

    #[test]
    fn a_call_inside_of_another_has_other_memory() {
        let inner = |outer: &mut [u8]| {
            outer[0] = 1;
            lend(1, |inner| (inner[0], outer[0]))
        };
        assert_eq!(lend(1, inner), (0, 1));
    }
}
