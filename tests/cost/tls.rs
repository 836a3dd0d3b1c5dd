//! System calls of an echo with TLS: as many as without.

use std::collections::HashMap;

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
    let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let server = TlsServer::builder().identity(identity).build().unwrap();
    let roots = Roots::from_pem(cert.as_bytes()).unwrap();
    let client = TlsClient::builder().roots(roots).build().unwrap();
    let client = client.name("tide.example").unwrap();
    let listen = ListenOptions::new("127.0.0.1:0").filter(server);
    echo(&mut guarded(), listen, |options| options.filter(client));
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
