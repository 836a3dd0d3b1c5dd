//! Control messages: the bytes beside a datagram, as recv(2) describes them. Reading them is a
//! function of bytes; nothing here makes a system call. Linux' layout.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use super::facts::{Beside, Outgoing};

/// Each message begins at a multiple of this.
const ALIGN: usize = size_of::<usize>();

/// The length (with the header), the level and the type.
const HEADER: usize = size_of::<usize>() + 8;

/// `UDP_SEGMENT` and `UDP_GRO`, `<linux/udp.h>`.
pub(crate) const UDP_SEGMENT: i32 = 103;
pub(crate) const UDP_GRO: i32 = 104;

/// Room for the messages that are asked for at once, and for one that nobody asked for.
pub(crate) const ROOM: usize = 192;

fn aligned(n: usize) -> usize {
    n.saturating_add(ALIGN - 1) & !(ALIGN - 1)
}

fn int(bytes: &[u8]) -> Option<i32> {
    bytes.get(..4)?.try_into().ok().map(i32::from_ne_bytes)
}

fn long(bytes: &[u8]) -> Option<i64> {
    match ALIGN {
        8 => bytes.get(..8)?.try_into().ok().map(i64::from_ne_bytes),
        _ => int(bytes).map(i64::from),
    }
}

/// Reads the messages. What is unknown, cut off or out of range is passed over.
pub(crate) fn parse(mut rest: &[u8]) -> Beside {
    let mut found = Beside::default();
    while let Some(header) = rest.get(..HEADER) {
        let Ok(len) = header[..ALIGN].try_into().map(usize::from_ne_bytes) else { break };
        let (level, kind) = (int(&header[ALIGN..]), int(&header[ALIGN + 4..]));
        if len < HEADER || len > rest.len() {
            break;
        }
        if let (Some(level), Some(kind)) = (level, kind) {
            read(level, kind, &rest[HEADER..len], &mut found);
        }
        rest = rest.get(aligned(len)..).unwrap_or_default();
    }
    found
}

fn read(level: i32, kind: i32, data: &[u8], found: &mut Beside) {
    match (level, kind) {
        // struct in_pktinfo: the interface, the local address, the header's destination.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let local: Option<[u8; 4]> = data.get(4..8).and_then(|b| b.try_into().ok());
            let to: Option<[u8; 4]> = data.get(8..12).and_then(|b| b.try_into().ok());
            if let (Some(local), Some(to), Some(index)) = (local, to, int(data)) {
                let local = Ipv4Addr::from(local);
                found.to = Some(Ipv4Addr::from(to).into());
                found.local = (!local.is_unspecified()).then_some(local.into());
                found.interface = u32::try_from(index).ok().filter(|i| *i != 0);
            }
        }
        // struct in6_pktinfo: the destination, the interface.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let to: Option<[u8; 16]> = data.get(..16).and_then(|b| b.try_into().ok());
            if let (Some(to), Some(index)) = (to, data.get(16..).and_then(int)) {
                let to = IpAddr::from(Ipv6Addr::from(to)).to_canonical();
                found.to = Some(to);
                // Of IPv4 the message of IPv4 knows better.
                let is_own = to.is_ipv6() && !to.is_multicast() && !to.is_unspecified();
                found.local = found.local.or(is_own.then_some(to));
                found.interface = u32::try_from(index).ok().filter(|i| *i != 0);
            }
        }
        // One byte in IPv4, an int in IPv6.
        (libc::IPPROTO_IP, libc::IP_TOS) => found.tos = data.first().copied(),
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            found.tos = int(data).and_then(|tos| u8::try_from(tos).ok());
        }
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => found.time = time(data),
        (libc::IPPROTO_UDP, UDP_GRO) => {
            found.segment = int(data).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        }
        _ => {}
    }
}

/// struct timespec.
fn time(data: &[u8]) -> Option<SystemTime> {
    let (seconds, nanos) = (long(data)?, long(data.get(ALIGN..)?)?);
    let nanos = u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000)?;
    let since = Duration::new(u64::try_from(seconds).ok()?, nanos);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The control messages of one call, in memory that is aligned for them.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control {
    pub(crate) bytes: [u8; ROOM],
}

impl Control {
    pub(crate) const EMPTY: Control = Control { bytes: [0; ROOM] };

    /// Writes the messages for one send; how many bytes they have.
    pub(crate) fn write(&mut self, out: &Outgoing<'_>, is_v4: bool) -> usize {
        let mut at = 0;
        if out.from.is_some() || out.interface.is_some() {
            let index = out.interface.unwrap_or(0);
            match (is_v4, out.from.map(|from| from.to_canonical())) {
                (true, from) => {
                    let mut info = [0; 12];
                    info[..4].copy_from_slice(&index.to_ne_bytes());
                    if let Some(IpAddr::V4(from)) = from {
                        info[4..8].copy_from_slice(&from.octets());
                    }
                    at = self.put(at, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
                }
                (false, from) => {
                    let mut info = [0; 20];
                    if let Some(IpAddr::V6(from)) = from {
                        info[..16].copy_from_slice(&from.octets());
                    }
                    info[16..].copy_from_slice(&index.to_ne_bytes());
                    at = self.put(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
                }
            }
        }
        if let Some(ecn) = out.ecn {
            let ecn = i32::from(ecn).to_ne_bytes();
            at = match is_v4 {
                true => self.put(at, libc::IPPROTO_IP, libc::IP_TOS, &ecn),
                false => self.put(at, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &ecn),
            };
        }
        if let Some(segment) = out.segment {
            at = self.put(at, libc::IPPROTO_UDP, UDP_SEGMENT, &segment.to_ne_bytes());
        }
        at
    }

    /// Appends a message; where the next begins. `ROOM` is enough for all of them.
    fn put(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = HEADER + data.len();
        let end = at + aligned(len);
        self.bytes[at..end].fill(0);
        let message = &mut self.bytes[at..at + len];
        message[..ALIGN].copy_from_slice(&len.to_ne_bytes());
        message[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        message[ALIGN + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..].copy_from_slice(data);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let found = parse(&bytes);
            prop_assert!(found.segment != Some(0));
        }

        /// Bytes that look like messages, cut anywhere.
        #[test]
        fn a_cut_message_is_passed_over(
            index in any::<u32>(),
            segment in 1..u16::MAX,
            cut in 0usize..=80,
        ) {
            let mut control = Control::EMPTY;
            let from = Some(IpAddr::from([127, 0, 0, 9]));
            let out = Outgoing { from, interface: Some(index), ecn: Some(3), segment: Some(segment),
                ..Outgoing::default() };
            let len = control.write(&out, true);
            let found = parse(&control.bytes[..cut.min(len)]);
            let ends = cut >= HEADER + 12;
            prop_assert_eq!(found.to.is_some(), ends);
            if cut >= aligned(HEADER + 12) + HEADER + 4 {
                prop_assert_eq!(found.tos, Some(3));
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            v6 in any::<[u8; 16]>(),
            index in 1..i32::MAX as u32,
            ecn in 0..4u8,
        ) {
            let mut control = Control::EMPTY;
            let from = Ipv6Addr::from(v6);
            prop_assume!(from.to_ipv4_mapped().is_none());
            let out = Outgoing { from: Some(from.into()), interface: Some(index), ecn: Some(ecn),
                ..Outgoing::default() };
            let len = control.write(&out, false);
            let found = parse(&control.bytes[..len]);
            prop_assert_eq!(found.to, Some(IpAddr::from(from)));
            prop_assert_eq!((found.interface, found.tos), (Some(index), Some(ecn)));
        }
    }

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut control = Control::EMPTY;
        let end = control.put(0, level, kind, data);
        control.bytes[..end].to_vec()
    }

    #[test]
    fn a_time_a_train_and_a_mapped_address() {
        let mut data = 1_700_000_000i64.to_ne_bytes().to_vec();
        data.extend(5i64.to_ne_bytes());
        let mut all = message(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &data);
        all.extend(message(libc::IPPROTO_UDP, UDP_GRO, &1200i32.to_ne_bytes()));
        let mut info = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets().to_vec();
        info.extend(7u32.to_ne_bytes());
        all.extend(message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info));
        let found = parse(&all);
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        assert_eq!((found.time, found.segment), (Some(time), Some(1200)));
        assert_eq!((found.to, found.interface), (Some([10, 0, 0, 1].into()), Some(7)));
    }

    #[test]
    fn nonsense_lengths_end_the_list() {
        assert_eq!(parse(&[0; 64]), Beside::default());
        let mut huge = message(libc::IPPROTO_UDP, UDP_GRO, &9i32.to_ne_bytes());
        huge[..ALIGN].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(parse(&huge), Beside::default());
    }
}
