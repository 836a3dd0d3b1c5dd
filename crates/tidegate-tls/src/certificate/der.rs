//! Reads DER: tag, length, value. Every length is checked; nothing is trusted.
#![forbid(unsafe_code)]

/// What is left of a text in DER.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// The next value, and its tag.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            len = bytes.iter().fold(0, |len, b| len << 8 | usize::from(*b));
            rest = after;
        }
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// Seconds since 1970 of a `UTCTime` or a `GeneralizedTime`.
pub(super) fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z")?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: std::ops::Range<usize>| {
        Some(text.get(at)?.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0')))
    };
    let (year, at) = match (tag, text.len()) {
        (0x17, 12) => (number(0..2).map(|y| if y < 50 { 2000 + y } else { 1900 + y })?, 2),
        (0x18, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let field = |i: usize| number(at + 2 * i..at + 2 * i + 2);
    let (month, day) = (field(0)?, field(1)?);
    let (hour, minute, second) = (field(2)?, field(3)?, field(4)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 {
        return None;
    }
    // Days since 1970-01-01 of a date of the Gregorian calendar, with years that begin in March.
    let shifted = (month + 9) % 12;
    let y = if month <= 2 { year - 1 } else { year };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * shifted + 2) / 5 + day - 1;
    days.checked_sub(719_468)?.checked_mul(86_400)?.checked_add(hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(seconds(0x17, b"700101000000Z"), Some(0));
        assert_eq!(seconds(0x17, b"000301000000Z"), Some(951_868_800));
        assert_eq!(seconds(0x18, b"20240229235959Z"), Some(1_709_251_199));
        assert_eq!(seconds(0x18, b"99991231235959Z"), Some(253_402_300_799));
        for (tag, bad) in [(0x17, &b"7001010000Z"[..]), (0x18, b"20241301000000Z"), (1, b"Z")] {
            assert_eq!(seconds(tag, bad), None);
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        assert_eq!(Der(&[4, 2, 1]).next(), None);
        assert_eq!(Der(&[4, 0x80]).next(), None);
        assert_eq!(Der(&[4, 0x85, 1, 1, 1, 1, 1]).next(), None);
        assert_eq!(Der(&[4, 0x81, 1, 9]).next(), Some((4, &[9][..])));
    }
}
