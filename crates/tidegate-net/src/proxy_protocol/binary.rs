//! Version 2 of the PROXY protocol: 16 bytes, two addresses, values with types.
//!
//! A family or a transport that has no TCP addresses is taken as unknown, as nginx does, and what
//! follows is skipped, as after `LOCAL`. One without a meaning is refused, as haproxy does.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::crc32c::crc32c;
use crate::proxy_protocol::fault::ProxyFault;
use crate::proxy_protocol::header::{ProxyHeader, ProxyVersion, Values};

/// How it begins.
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of the rest.
const FIXED: usize = 16;

const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The longest name that a proxy may give to a connection.
const UNIQUE_ID: usize = 128;

/// Bytes that begin with [`SIGNATURE`]: the header and its length, or `None` if more has to come.
/// So many bytes may follow the fixed ones.
pub(crate) fn decode(
    bytes: &[u8],
    limit: usize,
) -> Result<Option<(ProxyHeader, usize)>, ProxyFault> {
    let malformed = ProxyFault::Malformed;
    let Some(command) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(malformed("neither LOCAL nor PROXY of version 2")),
    };
    let Some([family, high, low]) = bytes.get(13..FIXED) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > limit {
        return Err(ProxyFault::TooLong { bytes: FIXED + length, limit: FIXED + limit });
    }
    let Some(whole) = bytes.get(..FIXED + length) else { return Ok(None) };
    let mut header = ProxyHeader { local, ..ProxyHeader::new(ProxyVersion::V2, None) };
    let rest = match *family {
        TCP4 | TCP6 if !local => {
            let mut rest = &whole[FIXED..];
            header.addresses = Some(addresses(*family, &mut rest)?);
            rest
        }
        // UNSPEC to AF_UNIX, UNSPEC to DGRAM.
        0x00..=0x02 | 0x10..=0x12 | 0x20..=0x22 | 0x30..=0x32 => {
            return Ok(Some((header, whole.len())));
        }
        _ if local => return Ok(Some((header, whole.len()))),
        _ => return Err(malformed("a family or a transport without a meaning")),
    };
    let mut values = Values(rest);
    while let Some(value) = values.next() {
        match value? {
            (ProxyHeader::CRC32C, sum) => {
                check(whole, sum, whole.len() - values.0.len())?;
                header.checksum = true;
            }
            (ProxyHeader::UNIQUE_ID, id) if id.len() > UNIQUE_ID => {
                return Err(malformed("a unique id has at most 128 bytes"));
            }
            (kind, value) => {
                header.values.push(kind);
                // It came with a length of two bytes.
                header.values.extend((value.len() as u16).to_be_bytes());
                header.values.extend_from_slice(value);
            }
        }
    }
    Ok(Some((header, whole.len())))
}

/// Takes source and destination.
fn addresses(family: u8, rest: &mut &[u8]) -> Result<(SocketAddr, SocketAddr), ProxyFault> {
    let short = || ProxyFault::Malformed("it is too short for its addresses");
    let (from, to): (IpAddr, IpAddr) = if family == TCP4 {
        (take::<4>(rest).ok_or_else(short)?.into(), take::<4>(rest).ok_or_else(short)?.into())
    } else {
        (take::<16>(rest).ok_or_else(short)?.into(), take::<16>(rest).ok_or_else(short)?.into())
    };
    let mut port = || take::<2>(rest).map(u16::from_be_bytes).ok_or_else(short);
    Ok(((from, port()?).into(), (to, port()?).into()))
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

/// Compares with the checksum of the whole, in which the sum itself, which ends there, counts as
/// zeros.
fn check(whole: &[u8], sum: &[u8], end: usize) -> Result<(), ProxyFault> {
    let Ok(said) = <[u8; 4]>::try_from(sum) else {
        return Err(ProxyFault::Malformed("a checksum has 4 bytes"));
    };
    let bytes = whole.iter().enumerate();
    let bytes = bytes.map(|(i, b)| if (end - 4..end).contains(&i) { 0 } else { *b });
    match crc32c(bytes) == u32::from_be_bytes(said) {
        true => Ok(()),
        false => Err(ProxyFault::Checksum),
    }
}

pub(crate) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.push(if header.local { 0x20 } else { 0x21 });
    let (family, pair) = match header.addresses.filter(|_| !header.local) {
        None => (0, None),
        Some((from, to)) => (if from.is_ipv4() { TCP4 } else { TCP6 }, Some((from, to))),
    };
    out.extend([family, 0, 0]);
    if let Some((from, to)) = pair {
        for ip in [from.ip(), to.ip()] {
            match ip {
                IpAddr::V4(v4) => out.extend(v4.octets()),
                IpAddr::V6(v6) => out.extend(v6.octets()),
            }
        }
        out.extend(from.port().to_be_bytes());
        out.extend(to.port().to_be_bytes());
    }
    out.extend_from_slice(&header.values);
    if header.checksum {
        out.extend([ProxyHeader::CRC32C, 0, 4, 0, 0, 0, 0]);
    }
    let length = (out.len() - FIXED) as u16;
    out[14..FIXED].copy_from_slice(&length.to_be_bytes());
    if header.checksum {
        let at = out.len() - 4;
        let sum = crc32c(out.iter().copied());
        out[at..].copy_from_slice(&sum.to_be_bytes());
    }
    out
}
