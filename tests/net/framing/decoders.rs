//! The ready-made decoders: the same frames wherever the bytes are cut, and limits to the byte.

use tidegate::net::*;

use super::{fault, frames};

/// In one piece, in pieces of one size, and in two.
fn everywhere<C>(decoder: C, bytes: &[u8], expected: &[&[u8]])
where
    C: for<'a> Decode<Frame<'a> = &'a [u8]> + Clone,
{
    for size in 1..=bytes.len() {
        let (seen, end) = frames(decoder.clone(), bytes, move || size);
        assert_eq!(seen, expected, "in pieces of {size}");
        assert!(matches!(end, Reason::Ended), "in pieces of {size}: {end}");
        let mut first = Some(size);
        let (seen, _) = frames(decoder.clone(), bytes, move || first.take().unwrap_or(usize::MAX));
        assert_eq!(seen, expected, "cut at {size}");
    }
}

#[test]
fn lines() {
    let bytes = b"high\r\n\nwater\r\r\n\r\nat noon\n";
    everywhere(Lines::new(7), bytes, &[b"high", b"", b"water\r", b"", b"at noon"]);
}

#[test]
fn a_last_line_may_be_open() {
    let lines = Lines::new(5).last_may_be_open(true);
    everywhere(lines.clone(), b"high\nwater", &[b"high", b"water"]);
    everywhere(lines, b"high\nwater\r", &[b"high", b"water"]);
}

#[test]
fn delimited() {
    let bytes = b"a\r\n\r\r\n\r\n\r\n\r\nbc\r\n\r\n";
    everywhere(Delimited::new("\r\n\r\n", 8), bytes, &[b"a\r\n\r", b"", b"bc"]);
    everywhere(Delimited::new([0], 3), b"abc\0\0d\0", &[b"abc", b"", b"d"]);
    everywhere(Delimited::new("aab", 8), b"aaaabaab", &[b"aa", b""]);
}

#[test]
fn length_prefixed() {
    let body: &[&[u8]] = &[b"tide", b"", b"gate"];
    let all = [
        LengthPrefixed::u8(4),
        LengthPrefixed::u16_be(4),
        LengthPrefixed::u16_le(4),
        LengthPrefixed::u32_be(4),
        LengthPrefixed::u32_le(4),
        LengthPrefixed::u64_be(4),
        LengthPrefixed::u64_le(4),
    ];
    for decoder in all {
        for decoder in [decoder.clone(), decoder.counts_itself(true)] {
            let mut bytes = Vec::new();
            for frame in body {
                bytes.extend(decoder.prefix(frame.len()).unwrap());
                bytes.extend(*frame);
            }
            everywhere(decoder.clone(), &bytes, body);
            assert_eq!(decoder.prefix(5), None);
        }
    }
    assert_eq!(LengthPrefixed::u16_le(1 << 20).prefix(0x1234), Some(vec![0x34, 0x12]));
    assert_eq!(LengthPrefixed::u16_le(1 << 20).prefix(0x1_0000), None);
    assert_eq!(LengthPrefixed::u8(255).counts_itself(true).prefix(255), None);
}

/// The longest frame passes; one byte more does not, whether its end is there or not.
#[test]
fn limits_are_exact() {
    fn at_limit<C>(decoder: C, whole: &[u8], longer: &[u8], begun: &[u8])
    where
        C: for<'a> Decode<Frame<'a> = &'a [u8]> + Clone,
    {
        for size in [1, 2, 3, usize::MAX] {
            let (seen, end) = frames(decoder.clone(), whole, move || size);
            assert_eq!((seen.len(), fault(&end)), (1, None), "{end}");
            for bytes in [longer, begun] {
                let (seen, end) = frames(decoder.clone(), bytes, move || size);
                assert_eq!(seen.len(), 0);
                assert_eq!(fault(&end), Some(FrameFault::TooLong { limit: 4 }));
            }
        }
    }
    at_limit(Lines::new(4), b"tide\n", b"tide!\n", b"tide!");
    at_limit(Lines::new(4), b"tide\r\n", b"tide!\r\n", b"tide\rx");
    at_limit(Delimited::new("--", 4), b"tide--", b"tide!--", b"tide!!");
    at_limit(LengthPrefixed::u8(4), b"\x04tide", b"\x05tide!", b"\x05");
    at_limit(LengthPrefixed::u32_be(4), b"\0\0\0\x04tide", b"\0\0\0\x05", b"\xff\xff\xff\xff");
    at_limit(LengthPrefixed::u64_le(4), b"\x04\0\0\0\0\0\0\0tide", &[0xff; 8], &[0xff; 9]);
}
