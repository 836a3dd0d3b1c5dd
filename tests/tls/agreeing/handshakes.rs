//! What both sides agree on, with each version, from either side.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;

use proptest::prelude::*;
use tidegate::prelude::*;
use tidegate::tls::{ClientAuth, Roots, Tls, TlsClient, TlsServer, TlsVersion};

use crate::authority::{Authority, NOW};
use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

/// What a connection agreed on.
fn agreed(tls: &Tls) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(tls.is_ready() && tls.cipher_suite().is_some() && tls.key_exchange().is_some());
    let (version, alpn) = (tls.version().unwrap(), tls.alpn().map(text));
    format!("{version} {alpn:?} {:?} {}", tls.server_name(), tls.is_resumed())
}

#[test]
fn b01_a_server_of_ours_agrees_on_version_and_protocol() {
    for of in BOTH {
        for (offers, expected) in [(&["h2", "echo"][..], Some("echo")), (&[], None)] {
            let ca = Authority::new();
            let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
            let tls = builder.alpn(["echo", "x"]).build().unwrap();
            let mut lp = guarded();
            let log = Log::default();
            let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
            let seen = log.clone();
            let server = lp.listen(options, move |mut conn| {
                seen.add(agreed(conn.filter::<Tls>().unwrap()));
                conn.accept(On::new().data(|s, chunk| {
                    let _ = s.end_with(chunk);
                }));
            });
            let at = lp.server(server.unwrap()).local_addr().unwrap();
            let config = client_config(&ca, of, offers);
            let got = beside(&mut lp, move || {
                let mut peer = Peer::client(at, config, "tide.example");
                peer.handshake().unwrap();
                peer.send(b"high water").unwrap();
                peer.receive(100).unwrap()
            });
            assert_eq!(got, b"high water");
            let line = format!("{of} {:?} Some(\"tide.example\") false", expected);
            assert_eq!(log.lines(), [line]);
            let stats = tls.stats();
            assert_eq!((stats.handshakes, stats.failed, stats.under_way), (1, 0, 0));
            assert_eq!(stats.tls12, u64::from(of == TlsVersion::V1_2));
        }
    }
}

#[test]
fn b01_a_client_of_ours_connects_when_the_handshake_is_over() {
    for of in BOTH {
        let ca = Authority::new();
        let config = server_config_for(
            TlsServer::builder().identity(ca.leaf("tide.example")).alpn(["echo"]),
            of,
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let tls = TlsClient::builder().roots(ca.roots()).alpn(["echo"]).build().unwrap();
        let tls = tls.name("tide.example").unwrap();
        let mut lp = guarded();
        let log = Log::default();
        let (connect, data, close) = (log.clone(), log.clone(), log.clone());
        let on = On::new()
            .connect(move |s| {
                let tls = s.filter::<Tls>().unwrap();
                assert_eq!(tls.peer_certificates().len(), 1);
                connect.add(agreed(tls));
            })
            .data(move |s, chunk| {
                data.add(String::from_utf8_lossy(chunk));
                s.end();
            })
            .close(move |_, c| close.add(c.to_string()));
        let key = lp.connect(ConnectOptions::new(at).filter(tls), on);
        // It waits for the handshake.
        assert_eq!(lp.socket(key).write("high"), Flow::Ready);
        assert_eq!(lp.socket(key).write(" water"), Flow::Ready);
        beside(&mut lp, move || {
            let mut peer = Peer::server(listener.accept().unwrap().0, config);
            peer.handshake().unwrap();
            assert_eq!(peer.conn.alpn_protocol(), Some(&b"echo"[..]));
            let got = peer.receive(10).unwrap();
            peer.send(&got).unwrap();
            assert_eq!(peer.receive(1).unwrap(), b"");
            peer.end().unwrap();
        });
        lp.run().unwrap();
        let agreed = format!("{of} Some(\"echo\") None false");
        assert_eq!(log.lines(), [agreed.as_str(), "high water", "both sides ended"]);
    }
}

#[test]
fn b02_an_address_is_verified_and_not_sent_as_a_name() {
    let ca = Authority::new();
    let tls = TlsServer::builder().identity(ca.leaf("127.0.0.1")).build().unwrap();
    let mut lp = guarded();
    let names = Log::default();
    let seen = names.clone();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, move |mut conn| {
        seen.add(format!("{:?}", conn.filter::<Tls>().unwrap().server_name()));
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(On::new()).end();
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    // The name is that of `connect`.
    let tls = TlsClient::builder().roots(ca.roots()).build().unwrap();
    let connected = names.clone();
    let on = On::new().connect(move |_| connected.add("connected"));
    lp.connect(ConnectOptions::new(at).filter(tls), on);
    lp.run().unwrap();
    let mut lines = names.lines();
    lines.sort();
    assert_eq!(lines, ["None", "connected"]);
}

/// The client's whole flight, its Finished and its first bytes, arrives in pieces cut anyhow.
#[test]
fn b04_cuts_at_every_byte_change_nothing() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, of, &[]);
        let got = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.tcp.set_nodelay(true).unwrap();
            while peer.conn.is_handshaking() {
                let mut flight = Vec::new();
                while peer.conn.wants_write() {
                    peer.conn.write_tls(&mut flight).unwrap();
                }
                for byte in flight {
                    write_all(&peer.tcp, &[byte]);
                }
                if peer.conn.wants_read() {
                    peer.conn.read_tls(&mut peer.tcp).unwrap();
                    peer.conn.process_new_packets().unwrap();
                }
            }
            let records = peer.records(b"byte by byte");
            for byte in records {
                write_all(&peer.tcp, &[byte]);
            }
            peer.receive(12).unwrap()
        });
        assert_eq!(got, b"byte by byte");
    }
}

#[test]
fn b04_the_finished_and_the_first_bytes_may_be_one_segment() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, of, &[]);
        let got = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            // rustls keeps them until it may send them.
            std::io::Write::write_all(&mut peer.conn.writer(), b"early").unwrap();
            let mut last = Vec::new();
            while peer.conn.is_handshaking() {
                write_all(&peer.tcp, &last);
                last.clear();
                if !peer.conn.wants_write() {
                    peer.conn.read_tls(&mut peer.tcp).unwrap();
                    peer.conn.process_new_packets().unwrap();
                }
                while peer.conn.wants_write() {
                    peer.conn.write_tls(&mut last).unwrap();
                }
            }
            write_all(&peer.tcp, &last);
            peer.receive(5).unwrap()
        });
        assert_eq!(got, b"early");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Records of any size, cut anywhere, both ways.
    #[test]
    fn b39_records_of_any_size_cut_anywhere(
        sizes in prop::collection::vec(0usize..40_000, 1..6),
        cuts in prop::collection::vec(1usize..20_000, 1..12),
        v13 in any::<bool>(),
    ) {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, BOTH[usize::from(v13)], &[]);
        let sent: Vec<u8> = (0..sizes.iter().sum()).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let got = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            let mut wire = Vec::new();
            let mut from = 0;
            for size in sizes {
                peer.conn.set_buffer_limit(None);
                wire.extend(peer.records(&sent[from..from + size]));
                from += size;
            }
            let mut cuts = cuts.iter().cycle();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                write_all(&peer.tcp, now);
                rest = later;
            }
            peer.receive(from).unwrap()
        });
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn b20_certificates_of_clients() {
    for (auth, shows, reads) in [
        ("off", true, Ok(0)),
        ("optional", false, Ok(0)),
        ("optional", true, Ok(1)),
        ("required", true, Ok(1)),
        ("required", false, Err(())),
    ] {
        let ca = Authority::new();
        let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
        let tls = match auth {
            "off" => builder,
            "optional" => builder.client_auth(ClientAuth::Optional(ca.roots())),
            _ => builder.client_auth(ClientAuth::Required(ca.roots())),
        };
        let tls = tls.build_server();
        let seen = Rc::new(RefCell::new(None));
        struct Shows(Rc<RefCell<Option<Result<usize, ()>>>>);
        impl ServerHandler for Shows {
            fn on_connection(&mut self, mut conn: Incoming<'_>) {
                let shown = conn.filter::<Tls>().unwrap().peer_certificates().len();
                *self.0.borrow_mut() = Some(Ok(shown));
                conn.server(conn.server_key()).close().unwrap();
                conn.accept(On::new()).end();
            }
            fn on_refused(&mut self, server: &mut ServerCx<'_>, close: Close) {
                let code = close.reason.error().unwrap().code();
                assert_eq!(code, Some("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"));
                *self.0.borrow_mut() = Some(Err(()));
                server.close().unwrap();
            }
        }
        let mut lp = guarded();
        let options = ListenOptions::new("127.0.0.1:0").filter(tls);
        let server = lp.serve(options, Shows(seen.clone())).unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let mut client = TlsClient::builder().roots(ca.roots());
        if shows {
            client = client.identity(ca.leaf("client.example"));
        }
        let client = client.build().unwrap().name("tide.example").unwrap();
        lp.connect(ConnectOptions::new(at).filter(client), On::new().close(|_, _| {}));
        lp.run().unwrap();
        assert_eq!(seen.borrow().clone(), Some(reads), "{auth} {shows}");
    }
}

trait BuildServer {
    fn build_server(self) -> TlsServer;
}

impl BuildServer for tidegate::tls::TlsServerBuilder {
    fn build_server(mut self) -> TlsServer {
        self.build().unwrap()
    }
}

#[test]
fn b38_keys_of_each_kind() {
    let rsa = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output();
    let ca = Authority::new();
    let mut kinds = vec![
        ca.leaf_with("tide.example", NOW, &rcgen::PKCS_ECDSA_P256_SHA256),
        ca.leaf_with("tide.example", NOW, &rcgen::PKCS_ECDSA_P384_SHA384),
        ca.leaf_with("tide.example", NOW, &rcgen::PKCS_ED25519),
    ];
    match rsa {
        Ok(made) => {
            let key = rcgen::KeyPair::from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap();
            kinds.push(ca.leaf_of("tide.example", &key));
        }
        Err(e) => eprintln!("without RSA: openssl does not run: {e}"),
    }
    for identity in kinds {
        let mut lp = guarded();
        let tls = TlsServer::builder().identity(identity).build().unwrap();
        let (server, at) = echo(&mut lp, &tls);
        let log = Log::default();
        let connected = log.clone();
        let on = On::new().connect(move |s| {
            connected.add("connected");
            s.server(server).close().unwrap();
            s.end();
        });
        lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["connected"]);
    }
}

#[test]
fn b38_configurations_that_cannot_work_say_why() {
    let ca = Authority::new();
    let (cert, key) = ca.leaf_pem("tide.example");
    let (other, _) = ca.leaf_pem("tide.example");
    let text = |e: tidegate::tls::TlsConfigError| e.to_string();
    let identity =
        |cert: &str, key: &str| tidegate::tls::Identity::from_pem(cert.as_bytes(), key.as_bytes());
    let build = |identity| TlsServer::builder().identity(identity).build().map(|_| ());
    let mismatch = identity(&other, &key).and_then(build).map_err(text);
    assert_eq!(mismatch.unwrap_err(), "the key does not belong to the first certificate");
    let no_key = identity(&cert, &cert).map(|_| ()).map_err(text);
    assert_eq!(no_key.unwrap_err(), "there is no PRIVATE KEY without a password in the PEM text");
    let half = identity(&cert[..cert.len() / 2], &key).map(|_| ()).map_err(text);
    assert_eq!(half.unwrap_err(), "the PEM text is not PEM: a section has no END line");
    let file = TlsServer::pem("no/such.pem", "no/such.key").map(|_| ()).map_err(text);
    assert!(file.unwrap_err().starts_with("no/such.pem cannot be read: "));
    assert!(TlsServer::builder().build().is_err());
    assert!(TlsClient::builder().build().is_err());
    assert!(ours(&ca).name("not a name").is_err());
    assert!(Roots::from_pem(cert.as_bytes()).is_ok());
    let shown = format!("{:?}", identity(&cert, &key).unwrap());
    assert_eq!(shown, "Identity { certificates: 1, .. }");
}
