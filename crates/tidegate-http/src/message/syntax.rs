//! Which bytes may stand where in a message. Eight bytes are looked at together where most of them
//! are ordinary. What a head is made of is in `codec/`.
#![forbid(unsafe_code)]

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = 0x80 * EACH;

/// A set of bytes.
pub(crate) type Set = [bool; 256];

/// All visible ASCII, but for these.
const fn visible(without: &[u8]) -> Set {
    let mut is = [false; 256];
    let mut b = 0x21;
    while b < 0x7f {
        is[b] = true;
        b += 1;
    }
    let mut i = 0;
    while i < without.len() {
        is[without[i] as usize] = false;
        i += 1;
    }
    is
}

/// Methods and the names of fields.
pub(crate) static TOKEN: Set = visible(b"\"(),/:;<=>?@[\\]{}");

/// Targets.
static TARGET: Set = visible(b"#");

/// Values of fields, and reasons: no control but HTAB.
static VALUE: Set = {
    let mut is = [true; 256];
    let mut b = 0;
    while b < 0x20 {
        is[b] = b == b'\t' as usize;
        b += 1;
    }
    is[0x7f] = false;
    is
};

/// Letters, digits, and these.
const fn letters(more: &[u8]) -> Set {
    let mut is = [false; 256];
    let mut b = 0;
    while b < 256 {
        is[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let mut i = 0;
    while i < more.len() {
        is[more[i] as usize] = true;
        i += 1;
    }
    is
}

/// Names of hosts and addresses of IPv4, but for `%` and two digits.
pub(crate) static NAME: Set = letters(b"-._~!$&'()*+,;=");
/// Addresses in brackets.
pub(crate) static ADDRESS: Set = letters(b":.-_~");

/// The highest bit of the first byte that is below `from`, 0x7f, or above it; those of later bytes
/// say nothing. 0: there is no such byte.
#[inline]
fn outside(word: u64, from: u64) -> u64 {
    (word.wrapping_sub(from * EACH) | word | word.wrapping_add(EACH)) & HIGHEST
}

/// As [`outside`], for bytes that are no blank and no `#`.
#[inline]
fn not_of_target(word: u64) -> u64 {
    let hash = word ^ (u64::from(b'#') * EACH);
    outside(word, 0x21) | (hash.wrapping_sub(EACH) & !hash & HIGHEST)
}

/// As [`outside`], for bytes that are no letter, no digit, no `-` and no `.`.
#[inline]
fn not_of_name(word: u64) -> u64 {
    let small = word | (0x20 * EACH);
    // The highest bit of each byte that is not below `from`.
    let from = |from: u8| small.wrapping_add(u64::from(0x80 - from) * EACH);
    let letter = from(b'a') & !from(b'z' + 1);
    let digit = from(b'-') & !from(b'9' + 1);
    let slash = word ^ (u64::from(b'/') * EACH);
    let wrong = !(letter | digit) | (slash.wrapping_sub(EACH) & !slash);
    (wrong & HIGHEST) | outside(word, 0x20)
}

/// Where the first byte is, from `at` on, that the set does not have. `wrong` marks in a word the
/// first byte that may be one; what it does not mark the set has.
#[inline]
fn end(bytes: &[u8], mut at: usize, set: &Set, wrong: impl Fn(u64) -> u64) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let wrong = wrong(u64::from_le_bytes(*eight));
        if wrong == 0 {
            at += 8;
            continue;
        }
        at += wrong.trailing_zeros() as usize / 8;
        if !bytes.get(at).is_some_and(|b| set[usize::from(*b)]) {
            return at;
        }
        at += 1;
    }
    end_in(bytes, at, set)
}

/// As [`end`], byte by byte: for what is short.
#[inline]
pub(crate) fn end_in(bytes: &[u8], mut at: usize, set: &Set) -> usize {
    while bytes.get(at).is_some_and(|b| set[usize::from(*b)]) {
        at += 1;
    }
    at
}

/// Where a target ends that begins at `at`.
#[inline]
pub(crate) fn end_of_target(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, &TARGET, not_of_target)
}

/// Where a value ends that begins at `at`, with the blanks behind it.
#[inline]
pub(crate) fn end_of_value(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, &VALUE, |word| outside(word, 0x20))
}

/// Where the name of a host ends that begins at `at`.
#[inline]
pub(crate) fn end_of_name(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, &NAME, not_of_name)
}

/// Whether these bytes are a token: the name of a method or a field.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    // What names of hosts consist of, tokens consist of.
    !bytes.is_empty() && all_in(&TOKEN, bytes, not_of_name)
}

/// Whether these bytes can be the value of a field.
#[inline]
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    all_in(&VALUE, bytes, |word| outside(word, 0x20))
}

/// Whether the set has all of these bytes. `wrong` is as in [`end`].
#[inline]
fn all_in(set: &Set, bytes: &[u8], wrong: impl Fn(u64) -> u64) -> bool {
    let (words, Some(last)) = (bytes.chunks_exact(8), bytes.last_chunk()) else {
        return bytes.iter().all(|b| set[usize::from(*b)]);
    };
    let fits = |word: &[u8; 8]| {
        wrong(u64::from_le_bytes(*word)) == 0 || word.iter().all(|b| set[usize::from(*b)])
    };
    // The last word may begin in the one before it.
    fits(last) && words.filter_map(|word| word.first_chunk()).all(fits)
}

/// The members of a list in a value, without the blanks around them; empty ones are left out.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|m| !m.is_empty())
}

/// Without blanks around it.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mostly what is ordinary, and every byte.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![6 => 0x20..0x7fu8, 1 => any::<u8>(), 1 => Just(b'#')];
        proptest::collection::vec(byte, 0..40)
    }

    proptest! {
        #[test]
        fn words_and_bytes_find_the_same_end(bytes in bytes(), at in 0..8usize) {
            let at = at.min(bytes.len());
            prop_assert_eq!(end_of_value(&bytes, at), end_in(&bytes, at, &VALUE));
            prop_assert_eq!(end_of_target(&bytes, at), end_in(&bytes, at, &TARGET));
            prop_assert_eq!(end_of_name(&bytes, at), end_in(&bytes, at, &NAME));
            prop_assert_eq!(is_value(&bytes), end_in(&bytes, 0, &VALUE) == bytes.len());
            let is_token = end_in(&bytes, 0, &TOKEN) == bytes.len() && !bytes.is_empty();
            prop_assert_eq!(super::is_token(&bytes), is_token);
            let mut bytes = bytes;
            bytes.retain(|b| TOKEN[usize::from(*b)]);
            prop_assert_eq!(super::is_token(&bytes), !bytes.is_empty());
        }
    }
}
