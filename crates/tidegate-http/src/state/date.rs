//! [`Date`]: the value of the field `Date`, made once a second.
#![forbid(unsafe_code)]

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// The text of the second that runs.
#[derive(Default)]
pub(crate) struct Date {
    text: [u8; 29],
    /// When the next one begins, in the loop's nanoseconds.
    next: u64,
}

impl Date {
    /// Itself, with the text of this moment. `now` is the loop's time.
    #[inline]
    pub(crate) fn at(&mut self, now: u64) -> &Date {
        if now >= self.next {
            self.make(now);
        }
        self
    }

    #[inline]
    pub(crate) fn text(&self) -> &[u8; 29] {
        &self.text
    }

    /// Until when the text is right.
    #[inline]
    pub(crate) fn until(&self) -> u64 {
        self.next
    }

    #[cold]
    fn make(&mut self, now: u64) {
        let wall = SystemTime::now();
        let part = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        self.next = now + u64::from(1_000_000_000 - part);
        // After the year 9999 the text keeps what it has.
        let _ = write!(&mut self.text[..], "{}", httpdate::HttpDate::from(wall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_a_second() {
        let mut date = Date::default();
        let first = *date.at(5).text();
        assert!(first.ends_with(b" GMT") && date.next > 5 && date.next <= 1_000_000_005);
        date.text[0] = b'?';
        assert_eq!(date.at(date.next - 1).text()[0], b'?');
        assert_ne!(date.at(date.next).text()[0], b'?');
    }
}
