//! Certificates that a client of ours refuses, each with its code and its alert; and what the
//! server of ours sees of that.

use tidegate::prelude::*;
use tidegate::tls::{ClientAuth, Identity, TlsClient, TlsServer, TlsVersion};

use super::{Echo, Ends, alerts};
use crate::authority::{Authority, NOW, self_signed};
use crate::ours;
use crate::peer::BOTH;
use crate::support::*;

/// How a client ends that gets this certificate, and how its server does.
fn meets(identity: Identity, tls: TlsClient, of: TlsVersion) -> [String; 3] {
    let server = TlsServer::builder().identity(identity).versions(&[of]).build().unwrap();
    let mut lp = guarded();
    let (ends, log) = (Ends::default(), Log::default());
    let options = ListenOptions::new("127.0.0.1:0").filter(server.clone());
    let key = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(key).local_addr().unwrap();
    let closed = log.clone();
    let on = On::new().connect(|_| panic!("it is not to be trusted")).close(move |_, c| {
        let e = c.reason.error().unwrap();
        assert!(e.to_string().starts_with("handshake with 127.0.0.1:"), "{e}");
        assert!(e.to_string().contains(e.code().unwrap()), "{e}");
        closed.add(format!("{:?} {}", e.stage(), e.code().unwrap()));
        closed.add(alerts(&c));
    });
    lp.connect(ConnectOptions::new(at).filter(tls), on);
    turn_until(&mut lp, |_| log.lines().len() == 2 && ends.len() == 1);
    assert_eq!(server.stats().failed, 1);
    let [mine, alerts] = log.lines().try_into().unwrap();
    [mine, alerts, ends.lines().remove(0)]
}

#[test]
fn b19_certificates_that_are_not_good() {
    for of in BOTH {
        let ca = Authority::new();
        let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
        let trusts = ours(&ca);
        for (identity, client, code, alert, theirs) in [
            (
                ca.leaf_with("tide.example", (2020, 2021), kind),
                trusts.clone(),
                "CERT_HAS_EXPIRED",
                "certificate_expired",
                "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            ),
            (
                ca.leaf_with("tide.example", (2090, 2091), kind),
                trusts.clone(),
                "CERT_NOT_YET_VALID",
                "certificate_expired",
                "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            ),
            (
                ca.leaf_with("wave.example", NOW, kind),
                trusts.clone(),
                "ERR_TLS_CERT_ALTNAME_INVALID",
                "bad_certificate",
                "SSLV3_ALERT_BAD_CERTIFICATE",
            ),
            (
                Authority::named("other").leaf("tide.example"),
                trusts.clone(),
                "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
                "unknown_ca",
                "TLSV1_ALERT_UNKNOWN_CA",
            ),
            (
                self_signed("tide.example"),
                trusts,
                "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
                "unknown_ca",
                "TLSV1_ALERT_UNKNOWN_CA",
            ),
        ] {
            let expected = [
                format!("Handshake {code}"),
                format!("{alert} -"),
                format!("refused: Handshake ERR_SSL_{theirs}"),
            ];
            assert_eq!(meets(identity, client, of), expected, "{of}");
        }
    }
}

/// The server refuses the client's certificate. With 1.3 the client may have connected by then.
#[test]
fn b20_b36_a_client_whose_certificate_is_refused_gets_the_alert() {
    for of in BOTH {
        for (shows, code, alert) in [
            (true, "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unknown_ca"),
            (false, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", "certificate_required"),
        ] {
            let ca = Authority::new();
            let server = TlsServer::builder()
                .identity(ca.leaf("tide.example"))
                .client_auth(ClientAuth::Required(ca.roots()))
                .versions(&[of])
                .build()
                .unwrap();
            let mut lp = guarded();
            let (ends, log) = (Ends::default(), Log::default());
            let options = ListenOptions::new("127.0.0.1:0").filter(server);
            let key = lp.serve(options, Echo(ends.clone())).unwrap();
            let at = lp.server(key).local_addr().unwrap();
            let mut tls = TlsClient::builder().roots(ca.roots());
            if shows {
                tls = tls.identity(Authority::named("other").leaf("client.example"));
            }
            let tls = tls.build().unwrap().name("tide.example").unwrap();
            let closed = log.clone();
            let on = On::new().close(move |_, c| {
                closed.add(alerts(&c));
                closed.add(format!("{c}"));
            });
            lp.connect(ConnectOptions::new(at).filter(tls), on);
            turn_until(&mut lp, |_| log.lines().len() == 2 && ends.len() == 1);
            assert_eq!(ends.lines(), [format!("refused: Handshake {code}")]);
            let lines = log.lines();
            assert!(lines[0].ends_with(alert), "{of}: {lines:?}");
            assert!(lines[1].contains(&format!("it sent the alert {alert}")), "{lines:?}");
        }
    }
}

#[test]
fn b01_no_protocol_in_common() {
    for of in BOTH {
        let ca = Authority::new();
        let builder = TlsServer::builder().identity(ca.leaf("tide.example")).alpn(["h2"]);
        let server = builder.versions(&[of]).build().unwrap();
        let mut lp = guarded();
        let (ends, log) = (Ends::default(), Log::default());
        let options = ListenOptions::new("127.0.0.1:0").filter(server);
        let key = lp.serve(options, Echo(ends.clone())).unwrap();
        let at = lp.server(key).local_addr().unwrap();
        let tls = TlsClient::builder().roots(ca.roots()).alpn(["echo"]).build().unwrap();
        let closed = log.clone();
        let on = On::new().close(move |_, c| closed.add(alerts(&c)));
        let tls = tls.name("tide.example").unwrap();
        lp.connect(ConnectOptions::new(at).filter(tls), on);
        turn_until(&mut lp, |_| log.lines().len() == 1 && ends.len() == 1);
        assert_eq!(ends.lines(), ["refused: Handshake ERR_SSL_NO_APPLICATION_PROTOCOL"]);
        assert_eq!(log.lines(), ["- no_application_protocol"]);
    }
}

#[test]
fn b01_no_version_in_common() {
    for (of, other) in [BOTH, [BOTH[1], BOTH[0]]].map(|[a, b]| (a, b)) {
        let ca = Authority::new();
        let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
        let server = builder.versions(&[of]).build().unwrap();
        let mut lp = guarded();
        let (ends, log) = (Ends::default(), Log::default());
        let options = ListenOptions::new("127.0.0.1:0").filter(server);
        let key = lp.serve(options, Echo(ends.clone())).unwrap();
        let at = lp.server(key).local_addr().unwrap();
        let tls = TlsClient::builder().roots(ca.roots()).versions(&[other]).build().unwrap();
        let closed = log.clone();
        let on = On::new().close(move |_, c| closed.add(alerts(&c)));
        let tls = tls.name("tide.example").unwrap();
        lp.connect(ConnectOptions::new(at).filter(tls), on);
        turn_until(&mut lp, |_| log.lines().len() == 1 && ends.len() == 1);
        assert_eq!(ends.lines(), ["refused: Handshake ERR_SSL_UNSUPPORTED_PROTOCOL"]);
        assert_eq!(log.lines(), ["- protocol_version"]);
    }
}
