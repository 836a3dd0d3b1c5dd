//! Any bytes as a PROXY header: parsing neither panics nor changes its mind when more bytes come, and
//! what it takes is the same after it was written again.
#![no_main]

use tidegate_net::ProxyHeader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = ProxyHeader::parse(bytes);
    let mut first = None;
    for cut in 0..=bytes.len().min(300) {
        match (&first, ProxyHeader::parse(&bytes[..cut])) {
            (None, Ok(None)) => {}
            (None, decided) => first = Some(decided),
            (Some(Ok(taken)), decided) => assert_eq!(decided.as_ref(), Ok(taken)),
            (Some(Err(_)), decided) => assert!(decided.is_err()),
        }
    }
    if let Ok(Some((header, length))) = whole {
        assert!(length <= bytes.len());
        let again = header.to_bytes();
        let parsed = ProxyHeader::parse(&again).map(|p| p.map(|(header, _)| header));
        assert_eq!(parsed, Ok(Some(header)));
    }
});
