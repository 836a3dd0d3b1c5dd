//! An echo server with TLS, and a client of its own. The handler is that of a plain echo: TLS is an
//! option of the server.
//!
//! ```text
//! cargo run --release --example tls_echo                              # a demonstration, which ends
//! cargo run --release --example tls_echo -- HOST:PORT CERT.pem KEY.pem  # a server; Ctrl-C stops it
//! ```
//! Reach the server by `openssl s_client -connect HOST:PORT`.

use std::error::Error;
use std::process::exit;

use tidegate::prelude::*;
use tidegate::tls::{Identity, Roots, Tls, TlsClient, TlsServer};

/// What both sides agreed on.
fn agreed(tls: Option<&mut Tls>) -> String {
    let Some(tls) = tls else { return "no TLS".into() };
    let how = if tls.is_resumed() { "resumed" } else { "full" };
    let (version, suite) = (tls.version(), tls.cipher_suite().unwrap_or_default());
    format!("{}, {suite}, {how} handshake", version.map_or("-", |v| v.name()))
}

fn serve(lp: &mut Loop, at: &str, tls: TlsServer) -> Result<ServerKey, Box<dyn Error>> {
    let options = ListenOptions::new(at).filter(tls);
    let server = lp.listen(options, |mut conn| {
        // The handshake is over.
        println!("server: {}", agreed(conn.filter::<Tls>()));
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                })
                .drain(|s| s.resume())
                .close(|_, close| println!("server: {close}")),
        );
    });
    Ok(server?)
}

/// One visit: a line goes there and comes back.
fn visit(lp: &mut Loop, options: ConnectOptions) -> std::io::Result<()> {
    let on = On::new()
        .connect(|s| {
            println!("client: {}", agreed(s.filter::<Tls>()));
            let _ = s.write("high water at noon");
        })
        .data(|s, chunk| {
            println!("client: {:?} came back", String::from_utf8_lossy(chunk));
            s.end();
        })
        .close(|_, close| println!("client: {close}"));
    lp.connect(options, on);
    lp.run()
}

fn demonstrate(lp: &mut Loop) -> Result<(), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = TlsServer::builder()
        .identity(Identity::from_pem(cert.as_bytes(), key.as_bytes())?)
        .build()?;
    let server = serve(lp, "127.0.0.1:0", tls)?;
    let at = lp.server(server).local_addr()?;
    lp.cx().set_ref(server, false)?;
    let trusted = TlsClient::builder().roots(Roots::from_pem(cert.as_bytes())?).build()?;

    println!("a client that trusts the certificate, and comes back");
    for _ in 0..2 {
        let tls = trusted.name("tide.example")?;
        visit(lp, ConnectOptions::new(at).filter(tls))?;
    }
    println!("\na client that wants another server");
    visit(lp, ConnectOptions::new(at).filter(trusted.name("wave.example")?))?;
    println!("\na client without TLS");
    let plain = On::new()
        .connect(|s| {
            let _ = s.write("GET / HTTP/1.0\r\n\r\n");
        })
        .data(|_, alert| println!("client: {alert:?}: the alert decode_error"))
        .close(|_, close| println!("client: {close}"));
    lp.connect(at, plain);
    lp.run()?;
    Ok(())
}

const USAGE: &str = "usage: tls_echo [HOST:PORT CERT.pem KEY.pem]";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    env_logger::init();
    let mut lp = Loop::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => demonstrate(&mut lp),
        [at, cert, key] => {
            let tls = TlsServer::pem(cert, key).unwrap_or_else(|e| {
                eprintln!("{e}");
                exit(1)
            });
            let server = serve(&mut lp, at, tls)?;
            println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
            Ok(lp.run()?)
        }
        _ => {
            eprintln!("{USAGE}");
            exit(2)
        }
    }
}
