//! [`Prepared`]: the head of an answer that was written, to be written again. What the encoder makes
//! of the same status, fields and request is the same, but for the length of the body, until the
//! text of the date changes.
#![forbid(unsafe_code)]

use memchr::memchr;

use crate::codec::Answering;
use crate::exchange::response::Response;

/// Longer heads are not kept.
const LONGEST: usize = 1024;
/// Nor those with more fields.
const MOST_FIELDS: usize = 16;

#[derive(Default)]
pub(crate) struct Prepared {
    status: u16,
    to: Answering,
    /// Until when the date in it is right, in the loop's nanoseconds.
    until: u64,
    /// How long the name and the value of each of the user's fields are.
    fields: Vec<(u16, u16)>,
    /// Where the first of them begins.
    from: usize,
    /// All of the head; empty: there is none.
    head: Vec<u8>,
    /// The length of the body that it says, and where.
    length: u64,
    digits: (usize, usize),
    goes_on: bool,
}

impl Prepared {
    /// Whether this head answers with this response to this request, and a date that is right until
    /// then.
    #[inline]
    pub(crate) fn is_of(&self, response: &Response<'_>, to: Answering, until: u64) -> bool {
        self.until == until
            && self.status == response.status
            && self.to == to
            && self.has_fields(response)
    }

    /// Values with line ends are none of a head's: so the lengths are compared, too.
    #[inline]
    fn has_fields(&self, response: &Response<'_>) -> bool {
        let (list, more) = (response.list, &response.more);
        if self.fields.len() != list.len() + more.len() {
            return false;
        }
        let mut head = self.head.get(self.from..).unwrap_or_default();
        let (of_list, of_more) = self.fields.split_at(list.len());
        for ((name, value), lengths) in list.iter().zip(of_list) {
            match after(head, (name.as_bytes(), value.as_bytes()), *lengths) {
                Some(rest) => head = rest,
                None => return false,
            }
        }
        for ((name, value), lengths) in more.iter().zip(of_more) {
            match after(head, (name.as_bytes(), value), *lengths) {
                Some(rest) => head = rest,
                None => return false,
            }
        }
        true
    }

    /// Writes it, with the length of the body. Whether the connection goes on after the answer.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, length: u64) -> bool {
        if length == self.length {
            out.extend_from_slice(&self.head);
        } else {
            self.write_with(out, length);
        }
        self.goes_on
    }

    fn write_with(&self, out: &mut Vec<u8>, length: u64) {
        let (from, to) = self.digits;
        out.extend_from_slice(&self.head[..from]);
        let (mut digits, mut at, mut left) = ([0; 20], 20, length);
        while at == 20 || left > 0 {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        out.extend_from_slice(&digits[at..]);
        out.extend_from_slice(&self.head[to..]);
    }

    /// Keeps a head that was written, unless the user's fields frame the body.
    pub(crate) fn keep(
        &mut self,
        head: &[u8],
        response: &Response<'_>,
        to: Answering,
        until: u64,
        (length, goes_on): (u64, bool),
    ) {
        let is_framed = |name: &str| matches!(name.len(), 14 | 17);
        let count = response.list.len() + response.more.len();
        let has_body = !to.head && !matches!(response.status, 204 | 304);
        if head.len() > LONGEST || count > MOST_FIELDS || !has_body {
            return;
        }
        self.head.clear();
        self.fields.clear();
        self.until = 0;
        let mut fields_len = 0;
        for (name, value) in response.fields() {
            if is_framed(name) {
                return;
            }
            fields_len += name.len() + value.len() + 4;
            self.fields.push((name.len() as u16, value.len() as u16));
        }
        let Some(from) = memchr(b'\n', head).map(|end| end + 1) else { return };
        let number = from + fields_len + b"Content-Length: ".len();
        let digits = head.get(number..).into_iter().flatten();
        let digits = digits.take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return;
        }
        self.head.extend_from_slice(head);
        (self.status, self.to, self.until) = (response.status, to, until);
        (self.from, self.digits) = (from, (number, number + digits));
        (self.length, self.goes_on) = (length, goes_on);
    }
}

/// What is behind this field in a head that begins with it; the lengths are those of the head's.
#[inline]
fn after<'h>(head: &'h [u8], field: (&[u8], &[u8]), lengths: (u16, u16)) -> Option<&'h [u8]> {
    let (name, value) = (usize::from(lengths.0), usize::from(lengths.1));
    let (line, rest) = head.split_at_checked(name + value + 4)?;
    (line[..name] == *field.0 && line[name + 2..name + 2 + value] == *field.1).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Encoder, Length};
    use crate::message::version::Version;

    /// Some are no fields, some frame the body, and two of them read as three others.
    const FIELDS: [(&str, &str); 12] = [
        ("A", "1"),
        ("A", "2"),
        ("AA", "1"),
        ("A", "1\r\nA: 2"),
        ("A", "1\r\nAA: 1\r\nA: 2"),
        ("A: 1\r\nA", "2"),
        ("A", ""),
        ("Date", "today"),
        ("Connection", "close"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("X-Content-Length", "Content-Length: 7"),
    ];

    type Answer = (usize, Vec<usize>, (bool, bool, u64), u64, u64);

    fn answers() -> impl Strategy<Value = Vec<Answer>> {
        let at = prop_oneof![6 => 0..6usize, 1 => 0..FIELDS.len()];
        let fields = proptest::collection::vec(at, 0..4);
        let status = prop_oneof![8 => Just(0usize), 1 => 0..4usize];
        let rarely = || proptest::bool::weighted(0.1);
        let to =
            (rarely(), proptest::bool::weighted(0.9), prop_oneof![8 => Just(0u64), 1 => 1..3u64]);
        let length = prop_oneof![Just(5u64), 0..12u64, any::<u64>()];
        let until = rarely().prop_map(|later| 1 + u64::from(later));
        let answer = (status, fields, to, length, until);
        // Each of them some times.
        proptest::collection::vec((answer, 1..4usize), 1..12).prop_map(|all| {
            all.into_iter().flat_map(|(a, times)| std::iter::repeat_n(a, times)).collect()
        })
    }

    /// Whether the head of an answer with these fields is kept.
    fn is_kept(fields: &[(&str, &str)]) -> bool {
        let (mut prepared, mut out) = (Prepared::default(), Vec::new());
        let (response, to) = (Response::new(200).headers(fields), Answering::default());
        let length = Length::Known(5);
        let written = Encoder::new().response(
            &mut out,
            to,
            200,
            length,
            Some(&[b'0'; 29]),
            response.fields(),
        );
        prepared.keep(&out, &response, to, 1, (5, written.unwrap()));
        prepared.is_of(&response, to, 1)
    }

    #[test]
    fn long_heads_are_not_kept() {
        assert!(is_kept(&[("A", "1"); MOST_FIELDS]));
        assert!(!is_kept(&[("A", "1"); MOST_FIELDS + 1]));
        assert!(is_kept(&[("A", &"1".repeat(LONGEST - 200))]));
        assert!(!is_kept(&[("A", &"1".repeat(LONGEST))]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_kept_head_is_what_the_encoder_writes(answers in answers()) {
            let mut prepared = Prepared::default();
            for (status, at, (head, keep_alive, hint), length, until) in answers {
                let fields: Vec<_> = at.iter().map(|at| FIELDS[*at]).collect();
                let (list, more) = fields.split_at(fields.len() / 2);
                let mut response = Response::new([200, 404, 204, 304][status]).headers(list);
                for (name, value) in more {
                    response = response.header(name, value);
                }
                let version = if head { Version::Http10 } else { Version::Http11 };
                let to = Answering { version, head: head && keep_alive, keep_alive, hint };
                let date = [b'0' + until as u8; 29];
                let mut out = b"what was written before\n".to_vec();
                let from = out.len();
                let encoded = Encoder::new().response(
                    &mut out, to, response.status, Length::Known(length), Some(&date),
                    response.fields(),
                );
                if prepared.is_of(&response, to, until) {
                    let mut kept = Vec::new();
                    let goes_on = prepared.write(&mut kept, length);
                    prop_assert_eq!(encoded, Ok(goes_on));
                    prop_assert_eq!(kept, &out[from..]);
                } else if let Ok(goes_on) = encoded {
                    prepared.keep(&out[from..], &response, to, until, (length, goes_on));
                    let frames = fields.iter().any(|(name, _)| matches!(name.len(), 14 | 17));
                    let is_kept = !to.head && !frames && status < 2;
                    prop_assert_eq!(prepared.is_of(&response, to, until), is_kept);
                }
            }
        }
    }
}
