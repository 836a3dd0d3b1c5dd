//! Linux: the route to an address, by netlink (rtnetlink(7), `RTM_GETROUTE`). What is sent and what
//! comes back are plain bytes, and reading them is a function of bytes.

use std::ffi::CStr;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// `struct nlmsghdr` and `struct rtmsg`.
const HEADER: usize = 16;
const ROUTE: usize = 12;

/// Attributes begin at multiples of this, after a length and a type of 16 bits each.
const ALIGN: usize = 4;

/// The name of the interface, and the gateway, of the route to this target.
pub(crate) fn to(target: SocketAddr) -> Option<(Option<String>, Option<IpAddr>)> {
    let netlink = Some(Protocol::from(libc::NETLINK_ROUTE));
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, netlink).ok()?;
    // The kernel answers inside of the write.
    socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let scope = match target {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    socket.write_all(&request(target.ip().to_canonical(), scope)).ok()?;
    let mut answer = [0; 4096];
    let len = socket.read(&mut answer).ok()?;
    let (index, gateway) = parse(answer.get(..len)?)?;
    Some((index.and_then(name_of), gateway))
}

fn request(to: IpAddr, scope: u32) -> Vec<u8> {
    let (family, address) = match to {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut route = [0; ROUTE];
    route[0] = family as u8;
    route[1] = address.len() as u8 * 8;
    let mut body = route.to_vec();
    put(&mut body, libc::RTA_DST, &address);
    if scope != 0 {
        put(&mut body, libc::RTA_OIF, &scope.to_ne_bytes());
    }
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(libc::RTM_GETROUTE.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn put(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    body.extend((4 + data.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(data);
}

fn short(bytes: &[u8]) -> Option<u16> {
    bytes.get(..2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn int(bytes: &[u8]) -> Option<u32> {
    bytes.get(..4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The index of the interface and the gateway. `None` if this is no route.
fn parse(message: &[u8]) -> Option<(Option<u32>, Option<IpAddr>)> {
    let (len, kind) = (int(message)? as usize, short(message.get(4..)?)?);
    if kind != libc::RTM_NEWROUTE {
        return None;
    }
    let mut rest = message.get(HEADER + ROUTE..len.min(message.len()))?;
    let (mut index, mut gateway) = (None, None);
    while let (Some(len), Some(kind)) = (short(rest), rest.get(2..).and_then(short)) {
        let Some(data) = rest.get(4..usize::from(len)) else { break };
        match kind {
            libc::RTA_OIF => index = int(data),
            libc::RTA_GATEWAY => gateway = ip(data),
            _ => {}
        }
        let next = usize::from(len).next_multiple_of(ALIGN);
        rest = rest.get(next..).unwrap_or_default();
    }
    Some((index, gateway))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn name_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the function asks for, and it ends the name with a zero.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the name was ended by a zero inside of the buffer.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
            let mut route = bytes;
            if route.len() >= 6 {
                route[4..6].copy_from_slice(&libc::RTM_NEWROUTE.to_ne_bytes());
                let len = (route.len() as u32).to_ne_bytes();
                route[..4].copy_from_slice(&len);
                parse(&route);
            }
        }

        #[test]
        fn what_was_said_is_read(address in any::<[u8; 16]>(), index in any::<u32>()) {
            let mut message = request(IpAddr::from(address), index);
            message[4..6].copy_from_slice(&libc::RTM_NEWROUTE.to_ne_bytes());
            let at = HEADER + ROUTE + 2;
            message[at..at + 2].copy_from_slice(&libc::RTA_GATEWAY.to_ne_bytes());
            let found = (Some(index).filter(|i| *i != 0), Some(IpAddr::from(address)));
            prop_assert_eq!(parse(&message), Some(found));
        }
    }
}
