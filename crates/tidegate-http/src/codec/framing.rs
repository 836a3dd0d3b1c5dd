//! What the fields of a head say about the message: how its body ends, whether the connection stays
//! open, what the client expects. One pass over the fields, no lookups.
#![forbid(unsafe_code)]

use crate::message::refusal::{Refusal, bad};
use crate::message::syntax::{is_token, members};

/// How the end of a body is found.
///
/// ```
/// assert_ne!(tidegate_http::codec::Framing::Length(0), tidegate_http::codec::Framing::Chunked);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// By its length in bytes; 0 if there is no body.
    Length(u64),
    /// In chunks.
    Chunked,
    /// The body ends with the connection. Only responses have this.
    UntilEnd,
}

/// What a request expects before its body is sent.
///
/// ```
/// assert_eq!(tidegate_http::codec::Expect::default(), tidegate_http::codec::Expect::Nothing);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    Nothing,
    /// `100-continue`: the status 100.
    Continue,
    /// Something else, which is not supported: the answer is 417.
    Unknown,
}

/// What the fields of a head say.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'b> {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrades: bool,
    pub(super) upgrade: bool,
    pub(super) expect: Expect,
    pub(super) host: Option<&'b [u8]>,
    /// The `Host` is not valid. Set for requests only.
    pub(super) is_host_bad: bool,
}

impl<'b> Said<'b> {
    /// One more field.
    #[inline]
    pub(super) fn add(&mut self, name: &[u8], value: &'b [u8]) -> Result<(), Refusal> {
        // By length: most names are no candidates.
        match *name {
            [b'h' | b'H', b'o' | b'O', b's' | b'S', b't' | b'T'] => {
                match self.host.replace(value) {
                    None => Ok(()),
                    Some(_) => Err(bad("two hosts")),
                }
            }
            _ if matches!(name.len(), 6 | 7 | 10 | 14 | 17) => self.add_other(name, value),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn add_other(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            6 if is(b"expect") => {
                self.expect = match (self.expect, value.eq_ignore_ascii_case(b"100-continue")) {
                    (Expect::Nothing | Expect::Continue, true) => Expect::Continue,
                    _ => Expect::Unknown,
                };
            }
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => {
                for member in members(value) {
                    self.close |= member.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= member.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrades |= member.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if is(b"content-length") => {
                let length = length(value).ok_or(bad("a bad Content-Length"))?;
                if self.length.replace(length).is_some() {
                    return Err(bad("two lengths"));
                }
                self.check_framing()?;
            }
            17 if is(b"transfer-encoding") => {
                if self.chunked {
                    return Err(bad("two transfer encodings"));
                }
                transfer_encoding(value)?;
                self.chunked = true;
                self.check_framing()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_framing(&self) -> Result<(), Refusal> {
        match self.chunked && self.length.is_some() {
            true => Err(bad("a length and a transfer encoding")),
            false => Ok(()),
        }
    }
}

/// Digits alone, and no more than fit.
pub(super) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |all, b| match b {
        b'0'..=b'9' => Some(all * 10 + u64::from(b - b'0')),
        _ => None,
    })
}

/// Only `chunked` is supported. Other codings, alone or before a final `chunked`, are correct but not
/// supported (501). Anything else could be read in two ways, and is refused (400).
fn transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_chunked = |m: &[u8]| m.eq_ignore_ascii_case(b"chunked");
    let looks_chunked = |m: &[u8]| m.len() >= 7 && is_chunked(&m[..7]);
    let mut all = members(value).peekable();
    let mut count = 0;
    while let Some(member) = all.next() {
        count += 1;
        let is_last = all.peek().is_none();
        let fits = match is_last {
            true => is_chunked(member) || count == 1,
            false => true,
        };
        let name = member.split(|b| b" \t;".contains(b)).next().unwrap_or_default();
        if !fits
            || !is_token(name)
            || (looks_chunked(member) && !(is_last && count > 1 && is_chunked(member)))
        {
            return Err(bad("a bad transfer encoding"));
        }
    }
    match count {
        0 => Err(bad("a bad transfer encoding")),
        _ if value.ends_with(b",") || value.starts_with(b",") => {
            Err(bad("a bad transfer encoding"))
        }
        _ => Err(Refusal::new(501, "a transfer encoding that is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfer_encodings() {
        let status = |v: &str| transfer_encoding(v.as_bytes()).map_err(|r| r.status());
        for good in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(status(good), Ok(()), "{good}");
        }
        for unknown in ["gzip, chunked", "identity", "gzip", "xyz", "a, b;q=1, chunked"] {
            assert_eq!(status(unknown), Err(501), "{unknown}");
        }
        for bad in [
            "",
            ",",
            "chunked, chunked",
            "chunkedchunked",
            "chunked-false",
            "chunked, identity",
            "gzip, identity",
            "chunked;a",
            "chunked,",
            ",chunked",
            "\"chunked\"",
            "chunked, gzip",
            "chunked chunked",
            "x chunked\u{e9}(",
            "{}",
        ] {
            assert_ne!(status(bad), Ok(()), "{bad}");
        }
        for bad in
            ["", "chunked, chunked", "chunkedchunked", "chunked-false", "chunked, gzip", "chunked,"]
        {
            assert_eq!(status(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(length(b"0"), Some(0));
        assert_eq!(length(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in [
            "",
            "+5",
            "-1",
            "5,5",
            "0x5",
            "5 ",
            "1_0",
            "18446744073709551616",
            "00000000000000000005",
        ] {
            assert_eq!(length(bad.as_bytes()), None, "{bad}");
        }
    }
}
