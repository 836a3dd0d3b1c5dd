//! TLS that begins on an open connection (STARTTLS), and TLS beside other filters.

use tidegate::net::{Filter, FilterError, Passed, Stage};
use tidegate::prelude::*;
use tidegate::tls::{Tls, TlsClient, TlsServer, TlsVersion};

use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

/// A server that speaks plain lines until STARTTLS; what comes in the same read goes back.
fn starts(lp: &mut Loop, tls: &TlsServer, log: &Log) -> (ServerKey, std::net::SocketAddr) {
    let (tls, log) = (tls.clone(), log.clone());
    let server = lp.listen("127.0.0.1:0", move |conn| {
        let (tls, ready, close) = (tls.clone(), log.clone(), log.clone());
        conn.accept(
            On::new()
                .data(move |s, chunk| {
                    if s.filter::<Tls>().is_some() {
                        let _ = s.write(chunk);
                    } else if let Some(rest) = chunk.strip_prefix(b"STARTTLS\n") {
                        let _ = s.write("go\n");
                        s.unread(rest);
                        s.set_filter(tls.filter());
                    }
                })
                .ready(move |_| ready.add("ready"))
                .close(move |_, c| match c.reason.error() {
                    Some(e) => close.add(format!("{:?} {:?}", e.stage(), e.code())),
                    None => close.add(c.to_string()),
                }),
        );
    });
    let server = server.unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

#[test]
fn b26_tls_begins_on_an_open_connection() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let log = Log::default();
    let (server, at) = starts(&mut lp, &tls, &log);
    let mine = Log::default();
    let (client, ready, data) = (ours(&ca), mine.clone(), mine.clone());
    let on = On::new()
        .connect(|s| {
            let _ = s.write("STARTTLS\n");
        })
        .data(move |s, chunk| match chunk {
            b"go\n" => s.set_filter(client.filter()),
            chunk => {
                data.add(String::from_utf8_lossy(chunk));
                s.server(server).close().unwrap();
                s.end();
            }
        })
        .ready(move |s| {
            ready.add(format!("ready {}", s.filter::<Tls>().unwrap().version().unwrap()));
            let _ = s.write("secret");
        });
    lp.connect(at, on);
    lp.run().unwrap();
    assert_eq!(mine.lines(), ["ready TLSv1.3", "secret"]);
    assert_eq!(log.lines(), ["ready", "both sides ended"]);
}

/// A command behind STARTTLS in the same segment, put there by someone on the path, is no TLS.
#[test]
fn b26_plain_bytes_behind_starttls_are_refused() {
    let (_, tls) = tide();
    let mut lp = guarded();
    let log = Log::default();
    let (_, at) = starts(&mut lp, &tls, &log);
    let c = client(at);
    write_all(&c, b"STARTTLS\nDELETE everything\n");
    let got = beside(&mut lp, move || read_to_end(&c));
    assert_eq!(got, [&b"go\n"[..], &[21, 3, 3, 0, 2, 2, 50]].concat());
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines(), ["Handshake Some(\"ERR_SSL_WRONG_VERSION_NUMBER\")"]);
}

/// A client that has no name to verify.
#[test]
fn b26_a_client_needs_a_name() {
    let ca = Authority::new();
    let mut lp = guarded();
    let log = Log::default();
    let closed = log.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = TlsClient::builder().roots(ca.roots()).build().unwrap();
    let on = On::new()
        .connect(move |s| s.set_filter(tls.filter()))
        .ready(|_| panic!("it has no name"))
        .close(move |_, c| closed.add(c.reason.error().unwrap().code().unwrap()));
    lp.connect(listener.local_addr().unwrap(), on);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["ERR_TLS_NO_SERVER_NAME"]);
}

/// A line `PROXY ...` before TLS: the client sends it, the server takes it.
struct Proxy {
    line: Option<&'static [u8]>,
    partial: Vec<u8>,
}

impl Filter for Proxy {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        if let Some(line) = self.line {
            out.down.extend(line);
            out.leave();
        }
        Ok(())
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        self.partial.extend_from_slice(wire);
        if let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            out.up.extend(self.partial.drain(..).skip(end + 1));
            out.leave();
        }
        Ok(())
    }

    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Err("it is never ready: it leaves".into())
    }
}

#[test]
fn b27_proxy_then_tls_and_tls_in_tls() {
    for inner in [false, true] {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let mut options = ListenOptions::new("127.0.0.1:0")
            .filter(|| Proxy { line: None, partial: Vec::new() })
            .filter(tls.clone());
        if inner {
            options = options.filter(tls.clone());
        }
        let server = lp.listen(options, |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let line: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
        let mut options = ConnectOptions::new(at)
            .filter(move || Proxy { line: Some(line), partial: Vec::new() })
            .filter(ours(&ca));
        if inner {
            options = options.filter(ours(&ca));
        }
        let log = Log::default();
        let data = log.clone();
        let got = std::cell::RefCell::new(Vec::new());
        let sent: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let on = On::new()
            .connect(move |s| {
                let _ = s.write(sent.clone());
            })
            .data(move |s, chunk| {
                got.borrow_mut().extend_from_slice(chunk);
                if got.borrow().len() == expected.len() {
                    data.add((*got.borrow() == expected).to_string());
                    s.end();
                }
            });
        lp.connect(options, on);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["true"]);
        assert_eq!(tls.stats().handshakes, 1 + u64::from(inner));
    }
}

/// An error of TLS is that of the stage where it happened.
#[test]
fn b17_an_error_after_the_handshake_is_of_that_connection_only() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, of, &[]);
        let other = client_config(&ca, TlsVersion::V1_3, &[]);
        let alert = beside(&mut lp, move || {
            let mut good = Peer::client(at, other, "tide.example");
            good.handshake().unwrap();
            let mut bad = Peer::client(at, config, "tide.example");
            bad.handshake().unwrap();
            let mut record = bad.records(b"broken");
            let last = record.len() - 1;
            record[last] ^= 1;
            write_all(&bad.tcp, &record);
            let alert = bad.receive(1).unwrap_err().to_string();
            good.send(b"fine").unwrap();
            assert_eq!(good.receive(4).unwrap(), b"fine");
            alert
        });
        assert!(alert.contains("BadRecordMac"), "{alert}");
        let stats = tls.stats();
        assert_eq!((stats.broken, stats.failed), (1, 0));
        assert_eq!(stats.by_code["ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC"], 1);
    }
    assert_eq!(Stage::Tls.to_string(), "TLS");
}

/// Connections with TLS do not wait for acknowledgements (Nagle's algorithm), unless the options
/// say that they do.
#[test]
fn no_delay_is_on_where_nothing_else_is_said() {
    fn is_on(s: &mut SocketCx<'_>) -> String {
        s.socket_option(|o| o.tcp_nodelay()).unwrap().to_string()
    }
    for asked in [None, Some(false), Some(true)] {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let log = Log::default();
        let (theirs, ours_) = (log.clone(), log.clone());
        let mut listen = ListenOptions::new("127.0.0.1:0").filter(tls);
        if let Some(on) = asked {
            listen = listen.no_delay(on);
        }
        let server = lp.listen(listen, move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let mut s = conn.accept(On::new().end(|s| s.end()));
            theirs.add(is_on(&mut s));
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let mut connect = ConnectOptions::new(at).filter(ours(&ca));
        if let Some(on) = asked {
            connect = connect.no_delay(on);
        }
        let on = On::new().connect(move |s| {
            ours_.add(is_on(s));
            s.end();
        });
        lp.connect(connect, on);
        lp.run().unwrap();
        let expected = asked.unwrap_or(true).to_string();
        assert_eq!(log.lines(), [expected.clone(), expected], "{asked:?}");
    }
    // STARTTLS: nothing was known when the connection was made.
    let (_, tls) = tide();
    let mut lp = guarded();
    let (_peer, theirs) = pair();
    let key = lp.adopt(theirs, On::new()).unwrap();
    let mut s = lp.socket(key);
    assert_eq!(is_on(&mut s), "false");
    s.set_filter(tls.filter());
    assert_eq!(is_on(&mut s), "true");
}
