//! [`Origin`]: the server that a URL names, and how a URL is read.
#![forbid(unsafe_code)]

use std::fmt;

/// Scheme, host and port. Connections are kept for each origin.
///
/// ```
/// let origin = tidegate_http::Origin::parse("HTTPS://Tide.Example/high").unwrap();
/// assert_eq!((origin.host(), origin.port(), origin.is_secure()), ("tide.example", 443, true));
/// assert_eq!(origin.to_string(), "https://tide.example:443");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of a URL; `None` if that is none of `http` or `https`.
    pub fn parse(url: &str) -> Option<Origin> {
        split(url).ok().map(|(origin, _)| origin)
    }

    /// The host in lower case: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the scheme is `https`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The value of `Host`: the port only if it is not the scheme's.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        match (self.host.contains(':'), self.port == usual) {
            (false, true) => self.host.clone(),
            (false, false) => format!("{}:{}", self.host, self.port),
            (true, true) => format!("[{}]", self.host),
            (true, false) => format!("[{}]:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A URL as origin and target. The error says what is wrong.
pub(crate) fn split(url: &str) -> Result<(Origin, String), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("a URL without a scheme")?;
    let secure = match () {
        () if scheme.eq_ignore_ascii_case("http") => false,
        () if scheme.eq_ignore_ascii_case("https") => true,
        () => return Err("a scheme that is neither http nor https"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err("a URL with a user");
    }
    if !path.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'#') {
        return Err("a URL with a character that must be encoded, or with a fragment");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or("a bad address in a URL")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "a bad address in a URL")?;
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    if host.is_empty() || !host.bytes().all(is_of_name) {
        return Err("a bad host in a URL");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => {
            if secure {
                443
            } else {
                80
            }
        }
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| "a bad port in a URL")?
        }
        _ => return Err("a bad port in a URL"),
    };
    let target = match path.as_bytes() {
        [b'/', ..] => path.to_owned(),
        _ => format!("/{path}"),
    };
    Ok((Origin { secure, host: host.to_ascii_lowercase(), port }, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, origin, target, host) in [
            ("http://a", "http://a:80", "/", "a"),
            ("HTTP://A.b:8080/x?y", "http://a.b:8080", "/x?y", "a.b:8080"),
            ("https://a?q", "https://a:443", "/?q", "a"),
            ("http://a:443/", "http://a:443", "/", "a:443"),
            ("http://[::1]:81/%20", "http://[::1]:81", "/%20", "[::1]:81"),
            ("http://[::1]", "http://[::1]:80", "/", "[::1]"),
        ] {
            let (found, found_target) = split(url).unwrap();
            assert_eq!((found.to_string(), found_target), (origin.into(), target.into()), "{url}");
            assert_eq!(found.authority(), host, "{url}");
        }
    }

    #[test]
    fn no_urls() {
        for url in [
            "",
            "a",
            "a/b",
            "ftp://a",
            "http://",
            "http:///",
            "http://u@a",
            "http://a:x",
            "http://a:",
            "http://a:65536",
            "http://a:+1",
            "http://a/ b",
            "http://a/é",
            "http://é",
            "http://a#f",
            "http://[::1",
            "http://[x]",
            "http://a b",
            "http://a\r\nb",
            "http://a/\r\nb",
            "http://[::1]x",
        ] {
            assert!(split(url).is_err(), "{url:?}");
        }
    }
}
