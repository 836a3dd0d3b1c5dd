//! Headers that are taken or refused: the inputs of the tests of haproxy and nginx, each cut at every
//! byte, and what is made comes back the same.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::*;

/// A header of version 2: command, family, length and the bytes after it.
fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [binary::SIGNATURE, &[command, family, high, low][..], rest].concat()
}

/// With the right length.
fn whole(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    v2(command, family, rest.len() as u16, rest)
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

/// 192.0.2.1:123 to 192.0.2.2:5678, as in nginx' tests.
const V4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0, 123, 0x16, 0x2e];

/// 127.0.0.1:42 to 127.0.0.1:1337, as in haproxy's.
const LO: &[u8] = &[127, 0, 0, 1, 127, 0, 0, 1, 0, 42, 5, 57];

fn addressed(values: &[u8]) -> Vec<u8> {
    whole(0x21, 0x11, &[V4, values].concat())
}

fn sealed(values: &[u8]) -> Vec<u8> {
    let mut header = addressed(&[values, &value(ProxyHeader::CRC32C, &[0; 4])].concat());
    let (at, sum) = (header.len() - 4, crate::proxy_protocol::crc32c::crc32c(header.clone()));
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Taken: the header, and the source that it names.
fn taken() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v6: Vec<u8> = ["2001:db8::1", "2001:db8::2"]
        .iter()
        .flat_map(|ip| ip.parse::<std::net::Ipv6Addr>().unwrap().octets())
        .chain([0, 123, 0x16, 0x2e])
        .collect();
    let text = |line: &str| line.as_bytes().to_vec();
    let one = Some("192.0.2.1:123");
    vec![
        // nginx, proxy_protocol.t.
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), one),
        (text("PROXY TCP6 2001:Db8::1 2001:Db8::2 123 5678\r\n"), Some("[2001:db8::1]:123")),
        (text("PROXY UNKNOWN\r\n"), None),
        (text("PROXY UNKNOWN 1 2 3 4 5 6\r\n"), None),
        // nginx, proxy_protocol2.t.
        (addressed(&[]), one),
        (whole(0x21, 0x21, &v6), Some("[2001:db8::1]:123")),
        (addressed(&[0; 9]), one),
        (whole(0x21, 0x01, &[]), None),
        // haproxy, proxy_protocol_tlv_validation.vtc and proxy_protocol_tlv_embedded_nul.vtc.
        (whole(0x21, 0x11, &[LO, &value(2, b"12345")].concat()), Some("127.0.0.1:42")),
        (whole(0x21, 0x11, &[LO, &value(0x20, &[0; 5])].concat()), Some("127.0.0.1:42")),
        (whole(0x21, 0x11, &[LO, &value(2, b"public\0x")].concat()), Some("127.0.0.1:42")),
        // The document of the protocol: the longest lines, LOCAL with and without bytes, the rest.
        (
            text("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
            Some("255.255.255.255:65535"),
        ),
        (text(&format!("PROXY UNKNOWN {} 65535\r\n", "f".repeat(85))), None),
        (text("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), Some("0.0.0.0:0")),
        (whole(0x20, 0x00, &[]), None),
        (whole(0x20, 0x11, V4), None),
        (whole(0x20, 0xff, &[7; 200]), None),
        (whole(0x21, 0x12, V4), None),
        (whole(0x21, 0x31, &[0; 216]), None),
        (sealed(&value(2, b"tide.example")), one),
        (addressed(&value(5, &[7; 128])), one),
    ]
}

fn refused() -> Vec<(Vec<u8>, ProxyFault)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let malformed = ProxyFault::Malformed;
    let long = ProxyFault::TooLong { bytes: 108, limit: 107 };
    let (end, family) = ("the line does not end with CR LF", "neither TCP4 nor TCP6 nor UNKNOWN");
    let (ip, number) =
        ("an address is not one of this family", "a port is not a number up to 65535");
    let beyond = "a value goes beyond the header";
    let mut wrong = sealed(&value(2, b"tide.example"));
    wrong[17] ^= 1;
    let lines = [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\n", end),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\r\n", end),
        ("PROXY TCP5 192.0.2.1 192.0.2.2 123 5678\r\n", family),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 123 5678\r\n", family),
        ("PROXY UNKNOWNX\r\n", family),
        ("PROXY \r\n", family),
        ("PROXY  TCP4 192.0.2.1 192.0.2.2 123 5678\r\n", family),
        ("PROXY TCP4\r\n", "a word is missing"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123\r\n", "a word is missing"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678 9\r\n", "there are too many words"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 5678 \r\n", "there are too many words"),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 123 5678\r\n", ip),
        ("PROXY TCP4 192.0.2.256 192.0.2.2 123 5678\r\n", ip),
        ("PROXY TCP4 2001:db8::1 192.0.2.2 123 5678\r\n", ip),
        ("PROXY TCP6 192.0.2.1 2001:db8::1 123 5678\r\n", ip),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 123 5678\r\n", ip),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 0123 5678\r\n", number),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +123 5678\r\n", number),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 5678\r\n", number),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 65536\r\n", number),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 123 \r\n", number),
    ];
    let mut all: Vec<_> = lines.map(|(line, rule)| (text(line), malformed(rule))).into();
    all.extend([
        (text("GET / HTTP/1.1\r\n\r\n"), ProxyFault::Missing),
        (text("proxy TCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), ProxyFault::Missing),
        (text("PROXYTCP4 192.0.2.1 192.0.2.2 123 5678\r\n"), ProxyFault::Missing),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), ProxyFault::Missing),
        (b"\r\n\r\nQUIT\n".to_vec(), ProxyFault::Missing),
        (text(&format!("PROXY UNKNOWN {}\r\n", "f".repeat(92))), long),
        (text(&format!("PROXY UNKNOWN {}", "f".repeat(200))), long),
        (whole(0x22, 0x11, V4), malformed("neither LOCAL nor PROXY of version 2")),
        (whole(0x11, 0x11, V4), malformed("neither LOCAL nor PROXY of version 2")),
        // nginx, proxy_protocol2.t, takes the first of these; haproxy does not.
        (whole(0x21, 0x41, &[1, 2, 3, 4]), malformed("a family or a transport without a meaning")),
        (whole(0x21, 0x13, V4), malformed("a family or a transport without a meaning")),
        (whole(0x21, 0x11, &V4[1..]), malformed("it is too short for its addresses")),
        (whole(0x21, 0x21, V4), malformed("it is too short for its addresses")),
        // haproxy, proxy_protocol_tlv_validation.vtc: too long, and not to the end.
        (v2(0x21, 0x11, 20, &[LO, &[2, 0, 10], b"1234512345"].concat()), malformed(beyond)),
        (v2(0x21, 0x11, 20, &[LO, &[2, 0, 4], b"1234", b"GET /"].concat()), malformed(beyond)),
        (addressed(&value(3, b"432")), malformed("a checksum has 4 bytes")),
        // nginx takes this one: it has no checksums.
        (addressed(&value(3, b"4321")), ProxyFault::Checksum),
        (wrong, ProxyFault::Checksum),
        (addressed(&value(5, &[7; 129])), malformed("a unique id has at most 128 bytes")),
        (v2(0x21, 0x11, 4097, &[]), ProxyFault::TooLong { bytes: 4113, limit: 4112 }),
    ]);
    all
}

const ALL: Accepted = Accepted { v1: true, v2: true, limit: 4096 };

#[test]
fn taken_whole_and_not_before() {
    for (bytes, source) in taken() {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], ALL), Ok(None), "{shown:?} cut at {cut}");
        }
        for rest in [&b""[..], b"G", b"\r\n", &value(2, b"54321")] {
            let (header, length) = decode(&[&bytes, rest].concat(), ALL).unwrap().unwrap();
            assert_eq!(length, bytes.len(), "{shown:?}");
            assert_eq!(header.source().map(|at| at.to_string()).as_deref(), source, "{shown:?}");
        }
    }
}

/// What is refused is refused however it is cut, at the byte that shows it, and nothing of it is
/// taken before.
#[test]
fn refused_at_every_cut() {
    for (bytes, fault) in refused() {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let mut seen = None;
        for cut in 0..=bytes.len() {
            let decoded = decode(&bytes[..cut], ALL);
            match seen {
                None if decoded == Ok(None) => {}
                None => seen = Some(decoded),
                // It stays refused.
                Some(_) => assert!(decoded.is_err(), "{shown:?} cut at {cut}: {decoded:?}"),
            }
        }
        assert_eq!(decode(&bytes, ALL), Err(fault), "{shown:?}");
        assert!(seen.is_some_and(|s| s.is_err()), "{shown:?}");
    }
}

#[test]
fn only_the_versions_that_are_accepted() {
    for (bytes, _) in taken() {
        let v1 = bytes.starts_with(text::PREFIX);
        let other = Accepted { v1: !v1, v2: v1, limit: 4096 };
        assert_eq!(decode(&bytes, other), Err(ProxyFault::Missing));
        let same = Accepted { v1, v2: !v1, limit: 4096 };
        assert!(decode(&bytes, same).unwrap().is_some());
    }
}

#[test]
fn values_are_found() {
    // nginx, proxy_protocol2_tlv.t, with a checksum that is right.
    let inner = [value(0x21, b"TLSv1.2"), value(0x22, b"example.com"), value(0x23, b"AES256-SHA")];
    let tls = [&[1, 0, 0, 0, 255][..], &inner.concat()].concat();
    let values =
        [value(1, b"ALPN1"), value(2, b"localhost"), value(5, b"UNIQQ"), value(0x20, &tls)];
    let (header, _) = decode(&sealed(&values.concat()), ALL).unwrap().unwrap();
    assert_eq!(header.value(ProxyHeader::ALPN), Some(&b"ALPN1"[..]));
    assert_eq!(header.authority(), Some("localhost"));
    assert_eq!(header.value(ProxyHeader::UNIQUE_ID), Some(&b"UNIQQ"[..]));
    assert_eq!(header.tls_value(0x22), Some(&b"example.com"[..]));
    assert_eq!((header.tls_value(0x24), header.value(0xee)), (None, None));
    assert_eq!(header.values().count(), 4);
    assert_eq!(header.destination(), "192.0.2.2:5678".parse().ok());
    // The same bytes again, the checksum last.
    assert_eq!(header.to_bytes(), sealed(&values.concat()));
}

#[test]
fn two_families_become_one() {
    let (v4, v6) = ("192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
    let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
    assert_eq!(ProxyHeader::v1(mapped, v4).to_bytes(), b"PROXY TCP4 192.0.2.1 192.0.2.1 1 1\r\n");
    let line = ProxyHeader::v1(v4, v6).to_bytes();
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    assert_eq!(ProxyHeader::local().to_bytes(), whole(0x20, 0, &[]));
    assert!(ProxyHeader::local().with(1, &[0; 65_600]).is_err());
    assert!(ProxyHeader::v2(v4, v6).with(1, &[0; 65_480]).is_ok());
}

fn address() -> impl Strategy<Value = std::net::SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| (ip, port).into())
}

proptest! {
    #[test]
    fn what_is_made_comes_back(
        from in address(),
        to in address(),
        values in prop::collection::vec((4u8..=255, prop::collection::vec(any::<u8>(), 0..64)), 0..4),
        checksum in any::<bool>(),
        v1 in any::<bool>(),
    ) {
        let mut header = if v1 { ProxyHeader::v1(from, to) } else { ProxyHeader::v2(from, to) };
        for (kind, value) in values.into_iter().filter(|_| !v1) {
            header = header.with(kind, &value).unwrap();
        }
        if checksum && !v1 {
            header = header.with_checksum();
        }
        let bytes = header.to_bytes();
        prop_assert_eq!(ProxyHeader::parse(&bytes), Ok(Some((header, bytes.len()))));
    }

    /// Any bytes: no panic, and an answer that stays when more comes.
    #[test]
    fn any_bytes(
        front in prop_oneof![Just(&b""[..]), Just(text::PREFIX), Just(&binary::SIGNATURE[..])],
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        more in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = [front, &bytes].concat();
        let all = [&bytes[..], &more].concat();
        match decode(&bytes, ALL) {
            Ok(Some((header, length))) => {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(decode(&all, ALL), Ok(Some((header, length))));
            }
            Err(_) => prop_assert!(decode(&all, ALL).is_err()),
            Ok(None) => {}
        }
    }
}
