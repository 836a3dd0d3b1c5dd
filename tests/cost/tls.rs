//! System calls of an echo with TLS: as many as without.

use std::collections::HashMap;

use tidegate::http::{Http, Response};
use tidegate::prelude::*;
use tidegate::tls::{Identity, Roots, TlsClient, TlsServer};

use crate::support::*;
use crate::syscalls::{argument, difference, traced_child};

/// A server that echoes and a client that sends so many messages, in one loop.
fn echo(
    lp: &mut Loop,
    listen: ListenOptions,
    connect: impl FnOnce(ConnectOptions) -> ConnectOptions,
) {
    let server = lp.listen(listen, |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
        }));
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let mut left = argument();
    let on = On::new()
        .connect(|s| {
            let _ = s.write(&[7; 100][..]);
        })
        .data(move |s, chunk| {
            assert_eq!(chunk, [7; 100]);
            left -= 1;
            match left {
                0 => s.end(),
                _ => {
                    let _ = s.write(chunk);
                }
            }
        });
    lp.connect(connect(ConnectOptions::new(at)), on);
    lp.run().unwrap();
}

#[test]
#[ignore = "a child of the test below"]
fn child_plain() {
    echo(&mut guarded(), ListenOptions::new("127.0.0.1:0"), |options| options);
}

#[test]
#[ignore = "a child of the test below"]
fn child_tls() {
    let (listen, client) = both();
    echo(&mut guarded(), listen, |options| options.filter(client));
}

/// A server's options, and a client that trusts it.
fn both() -> (ListenOptions, TlsClient) {
    let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let server = TlsServer::builder().identity(identity).build().unwrap();
    let roots = Roots::from_pem(cert.as_bytes()).unwrap();
    let client = TlsClient::builder().roots(roots).build().unwrap();
    let client = client.name("tide.example").unwrap();
    (ListenOptions::new("127.0.0.1:0").filter(server), client)
}

#[test]
fn an_echo_with_tls_makes_the_calls_of_a_plain_one() {
    let of = |child: &str| -> Option<HashMap<String, i64>> {
        let few = traced_child(child, 10)?;
        let many = traced_child(child, 1010)?;
        Some(difference(&few, &many))
    };
    let (Some(plain), Some(tls)) = (of("tls::child_plain"), of("tls::child_tls")) else { return };
    for calls in [&plain, &tls] {
        let all: i64 = calls.values().sum();
        // Two writes, two reads, two waits, for both ends.
        assert!((5990..=6020).contains(&all), "plain {plain:?}, TLS {tls:?}");
    }
    println!("1000 echoes, both ends: plain {plain:?}, TLS {tls:?}");
}

/// GETs of a client on one connection, both ends in one loop.
#[test]
#[ignore = "a child of the test below"]
fn child_https() {
    let (listen, client) = both();
    let mut lp = guarded();
    let server = lp.http_listen(listen, |_, x| x.respond(Response::new(200), "world").unwrap());
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    const GET: &str = "GET /hello HTTP/1.1\r\nHost: tide.example\r\n\r\n";
    let mut left = argument();
    let on = On::new()
        .connect(|s| {
            let _ = s.write(GET);
        })
        .data(move |s, chunk| {
            assert!(chunk.starts_with(b"HTTP/1.1 200 ") && chunk.ends_with(b"world"));
            left -= 1;
            match left {
                0 => {
                    s.end();
                    s.server(server).close().unwrap();
                }
                _ => {
                    let _ = s.write(GET);
                }
            }
        });
    lp.connect(ConnectOptions::new(at).filter(client), on);
    lp.run().unwrap();
}

#[test]
fn a_get_on_a_connection_that_is_kept_makes_three_calls() {
    let Some(few) = traced_child("tls::child_https", 10) else { return };
    let Some(many) = traced_child("tls::child_https", 1010) else { return };
    let more = difference(&few, &many);
    println!("1000 GETs, both ends: {more:?}");
    let all: i64 = more.values().sum();
    // Three for the client, too.
    assert!((5990..=6020).contains(&all), "{more:?}");
}

/// One connection after the other: a handshake, a request with it, its answer, the end.
#[test]
#[ignore = "a child of the test below"]
fn child_handshakes() {
    let (listen, client) = both();
    let mut lp = guarded();
    let server = lp.listen(listen, |conn| {
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
        }));
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    for _ in 0..argument() {
        let over = std::rc::Rc::new(std::cell::Cell::new(false));
        let end = over.clone();
        let on = On::new()
            .connect(|s| {
                let _ = s.write(&[7; 100][..]);
            })
            .data(|s, _| s.end())
            .close(move |_, _| end.set(true));
        lp.connect(ConnectOptions::new(at).filter(client.clone()), on);
        turn_until(&mut lp, |_| over.get());
    }
}

/// Each side sends three times and reads three times: what each says last in the handshake goes
/// out with what the user writes then.
#[test]
fn a_handshake_with_a_request_sends_three_times_on_each_side() {
    let Some(few) = traced_child("tls::child_handshakes", 10) else { return };
    let Some(many) = traced_child("tls::child_handshakes", 110) else { return };
    let more = difference(&few, &many);
    println!("100 handshakes, both ends: {more:?}");
    assert_eq!(more["sendto"], 600, "{more:?}");
    // Besides the client looks at once whether something came, and reads the end.
    assert!((800..=810).contains(&more["recvfrom"]), "{more:?}");
    assert!(more["epoll_wait"] <= 610, "{more:?}");
}
