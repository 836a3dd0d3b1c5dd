//! Version 1 of the PROXY protocol: one line of text, of 107 bytes at most.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy_protocol::fault::ProxyFault;
use crate::proxy_protocol::header::{ProxyHeader, ProxyVersion};

/// How it begins.
pub(crate) const PREFIX: &[u8] = b"PROXY ";

/// The longest line, with its end.
const LONGEST: usize = 107;

/// Bytes that begin with [`PREFIX`]: the header and its length, or `None` if more has to come.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyFault> {
    let seen = &bytes[..bytes.len().min(LONGEST)];
    let end = seen.iter().position(|b| matches!(b, b'\r' | b'\n'));
    let line = match end.map(|end| (end, &seen[end..])) {
        Some((end, [b'\r', b'\n', ..])) => &seen[PREFIX.len()..end],
        Some((_, [b'\r'])) | None if seen.len() < LONGEST => return Ok(None),
        Some((_, [b'\r'])) | None => {
            return Err(ProxyFault::TooLong { bytes: LONGEST + 1, limit: LONGEST });
        }
        Some(_) => return Err(ProxyFault::Malformed("the line does not end with CR LF")),
    };
    let length = PREFIX.len() + line.len() + 2;
    Ok(Some((ProxyHeader::new(ProxyVersion::V1, addresses(line)?), length)))
}

fn addresses(line: &[u8]) -> Result<Option<(SocketAddr, SocketAddr)>, ProxyFault> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let malformed = ProxyFault::Malformed;
    let line = std::str::from_utf8(line).map_err(|_| malformed("the line is not text"))?;
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(malformed("a word is missing"));
    let v4 = match word()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return Err(malformed("neither TCP4 nor TCP6 nor UNKNOWN")),
    };
    let address = |text: &str| match v4 {
        true => text.parse::<Ipv4Addr>().map(IpAddr::from),
        false => text.parse::<Ipv6Addr>().map(IpAddr::from),
    };
    let wrong = |_| malformed("an address is not one of this family");
    let (from, to) = (address(word()?).map_err(wrong)?, address(word()?).map_err(wrong)?);
    let (from, to) = ((from, port(word()?)?), (to, port(word()?)?));
    if words.next().is_some() {
        return Err(malformed("there are too many words"));
    }
    Ok(Some((from.into(), to.into())))
}

/// Digits alone, without a zero in front.
fn port(text: &str) -> Result<u16, ProxyFault> {
    let digits =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or(ProxyFault::Malformed("a port is not a number up to 65535"))
}

pub(crate) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let line = match header.addresses {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some((from, to)) => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
    };
    line.into_bytes()
}
