//! The target of a request, and the `Host` that goes with it.
#![forbid(unsafe_code)]

use crate::codec::fields::all_in;
use crate::message::refusal::{Refusal, bad};

/// Letters, digits, and these.
const fn table(more: &[u8]) -> [bool; 256] {
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

/// What names and addresses of IPv4 consist of, but for `%` and two digits.
static NAME: [bool; 256] = table(b"-._~!$&'()*+,;=");
/// What stands in brackets.
static ADDRESS: [bool; 256] = table(b":.-_~");
/// What targets consist of.
static TARGET: [bool; 256] = table(b"!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

/// Checks the target, and returns its authority if it has one.
pub(super) fn check<'b>(method: &str, target: &'b str) -> Result<Option<&'b str>, Refusal> {
    let bytes = target.as_bytes();
    if method == "CONNECT" {
        let has_port = target.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
        });
        return match has_port && is_authority(bytes) {
            true => Ok(Some(target)),
            false => Err(bad("CONNECT without host and port")),
        };
    }
    if !all_in(&TARGET, bytes) {
        return Err(bad("a bad character in the target"));
    }
    match bytes {
        [b'/', ..] => Ok(None),
        b"*" if method == "OPTIONS" => Ok(None),
        _ => match authority(target) {
            Some(host) if !host.is_empty() && is_authority(host.as_bytes()) => Ok(Some(host)),
            _ => Err(bad("a bad target")),
        },
    }
}

/// The authority of `http://authority/path`.
fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether this is `uri-host [":" port]`. Empty is one.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let after_host = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|b| *b == b']') else { return false };
            if end == 0 || !rest[..end].iter().all(|b| ADDRESS[usize::from(*b)]) {
                return false;
            }
            &rest[end + 1..]
        }
        _ => {
            let after = after_name(bytes);
            if after.len() == bytes.len() && !bytes.is_empty() {
                return false;
            }
            after
        }
    };
    match after_host {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What comes after a name, or an address of IPv4.
fn after_name(bytes: &[u8]) -> &[u8] {
    let mut left = bytes;
    loop {
        let end = left.iter().position(|b| !NAME[usize::from(*b)]);
        left = end.map_or(&[], |end| &left[end..]);
        match left {
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                left = rest;
            }
            after => return after,
        }
    }
}

/// Whether two authorities name the same host, and the same port if both have one.
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let split = |bytes: &[u8]| {
        let from = bytes.iter().rposition(|b| *b == b']').unwrap_or(0);
        let colon = bytes[from..].iter().position(|b| *b == b':').map(|at| from + at);
        match colon {
            Some(at) => (bytes[..at].to_ascii_lowercase(), bytes[at + 1..].to_vec()),
            None => (bytes.to_ascii_lowercase(), Vec::new()),
        }
    };
    let ((host_a, port_a), (host_b, port_b)) = (split(a), split(b));
    host_a == host_b && (port_a.is_empty() || port_b.is_empty() || port_a == port_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["", "a", "a:80", "a:", "[::1]", "[::1]:8080", "127.0.0.1:1", "a%20b", "a_b.c"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "- - -", "a b", "a:b", "a:123456", "[::1", "[]", "[::1]x", ":80", "a@b", "a/b", "a%2",
            "ä",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn targets() {
        for good in ["/", "/a?b", "http://a", "http://a/", "HTTPS://a:1?x", "/%zz|"] {
            assert!(check("GET", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "*",
            "a:80",
            "/#",
            "/é",
            "ftp://a/",
            "http://",
            "http:///",
            "http://u@a/",
            "http://a:b/",
        ] {
            assert_eq!(check("GET", bad).map_err(|r| r.status()), Err(400), "{bad}");
        }
        assert_eq!(check("OPTIONS", "*"), Ok(None));
        assert_eq!(check("GET", "http://a:1/x"), Ok(Some("a:1")));
        assert_eq!(check("CONNECT", "a:1"), Ok(Some("a:1")));
        assert_eq!(check("CONNECT", "[::1]:1"), Ok(Some("[::1]:1")));
        for bad in ["a", "a:", ":1", "/", "http://a:1", "a:1/"] {
            assert!(check("CONNECT", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_host() {
        assert!(is_same(b"A:80", b"a") && is_same(b"[::1]:80", b"[::1]") && is_same(b"a", b"A"));
        assert!(!is_same(b"a:80", b"a:81") && !is_same(b"a", b"b") && !is_same(b"[::1]", b"[::2]"));
    }
}
