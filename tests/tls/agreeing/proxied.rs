//! TLS behind a header of the PROXY protocol: neither knows of the other.

use tidegate::net::{ConnectOptions, ProxyHeader, ProxyProtocol};
use tidegate::prelude::*;
use tidegate::tls::{Tls, TlsVersion};

use crate::peer::*;
use crate::support::*;
use crate::{ours, tide};

/// The header and the ClientHello in one segment, and cut; by a client of ours, too.
#[test]
fn a_header_and_then_tls() {
    let (ca, tls) = tide();
    let header = ProxyHeader::v2("192.0.2.7:51000".parse().unwrap(), "[::1]:443".parse().unwrap());
    let bytes = header.to_bytes();
    for cut in [None, Some(0), Some(10), Some(bytes.len())] {
        let mut lp = guarded();
        let expected = ProxyProtocol::new("127.0.0.1".parse().unwrap());
        // The order of the calls does not matter.
        let options =
            ListenOptions::new("127.0.0.1:0").filter(tls.clone()).proxy_protocol(expected);
        let log = Log::default();
        let said = log.clone();
        let server = lp.listen(options, move |mut conn| {
            said.add(format!("{}", conn.peer_addr().unwrap()));
            assert!(conn.filter::<Tls>().is_some() && conn.proxy_header().is_some());
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.end_with(chunk);
            }));
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let Some(cut) = cut else {
            let back = Log::default();
            let got = back.clone();
            let to = ConnectOptions::new(at).filter(ours(&ca)).proxy_header(header.clone());
            let key =
                lp.connect(to, On::new().data(move |_, c| got.add(String::from_utf8_lossy(c))));
            let _ = lp.socket(key).write("tide");
            lp.run().unwrap();
            assert_eq!((back.lines(), log.lines().len()), (vec!["tide".to_owned()], 1));
            continue;
        };
        let config = client_config(&ca, TlsVersion::V1_3, &[]);
        let bytes = bytes.clone();
        let peer = std::thread::spawn(move || {
            let mut peer = Peer::client(at, config, "tide.example");
            write_all(&peer.tcp, &bytes[..cut]);
            write_all(&peer.tcp, &bytes[cut..]);
            peer.handshake().unwrap();
            peer.send(b"tide").unwrap();
            peer.receive(4).unwrap()
        });
        lp.run().unwrap();
        assert_eq!(peer.join().unwrap(), b"tide");
        assert_eq!(log.lines(), ["[::ffff:192.0.2.7]:51000"]);
    }
}
