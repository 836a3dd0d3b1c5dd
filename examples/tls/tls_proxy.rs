//! TLS in front of a plain server: a proxy that ends TLS, and pipes the bytes on.
//!
//! ```text
//! cargo run --release --example tls_proxy                                # a demonstration, which ends
//! cargo run --release --example tls_proxy -- LISTEN UPSTREAM CERT.pem KEY.pem  # Ctrl-C stops it
//! ```
//! The upstream server is asked for a connection only after the handshake. A slow side holds the
//! other back through TLS, as without it.

use std::error::Error;
use std::process::exit;
use std::time::Duration;

use tidegate::net::AtLimit;
use tidegate::prelude::*;
use tidegate::tls::{Identity, Roots, TlsClient, TlsServer};

fn proxy(
    lp: &mut Loop,
    at: &str,
    upstream: String,
    tls: TlsServer,
) -> Result<ServerKey, Box<dyn Error>> {
    let options = ListenOptions::new(at)
        .max_connections(4096, AtLimit::Hold)
        .idle_timeout(Duration::from_secs(300))
        .filter(tls);
    let server = lp.listen(options, move |conn| {
        let mut a = conn.accept(On::new());
        let to = ConnectOptions::new(upstream.as_str()).connect_timeout(Duration::from_secs(10));
        let (key, b) = (a.key(), a.connect(to, On::new()));
        let ways = [(key, b, "client -> upstream"), (b, key, "upstream -> client")];
        for (from, to, way) in ways {
            let piped = a.pipe(from, to, move |_, done| match done {
                Ok(()) => println!("  {way}: ended"),
                Err(e) => println!("  {way}: {e}"),
            });
            if piped.is_err() {
                return a.destroy();
            }
        }
    });
    Ok(server?)
}

fn demonstrate(lp: &mut Loop) -> Result<(), Box<dyn Error>> {
    let plain = lp.listen("127.0.0.1:0", |conn| {
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.end_with([b"you said: ", chunk].concat());
        }));
    })?;
    let upstream = lp.server(plain).local_addr()?.to_string();
    let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes())?;
    let tls = TlsServer::builder().identity(identity).build()?;
    let front = proxy(lp, "127.0.0.1:0", upstream, tls)?;
    for server in [plain, front] {
        lp.cx().set_ref(server, false)?;
    }
    println!("a client with TLS, a server without");
    let tls = TlsClient::builder().roots(Roots::from_pem(cert.as_bytes())?).build()?;
    let to = ConnectOptions::new(lp.server(front).local_addr()?).filter(tls.name("tide.example")?);
    let on = On::new()
        .connect(|s| {
            let _ = s.write("how high is the water?");
        })
        .data(|_, chunk| println!("  client got: {}", String::from_utf8_lossy(chunk)))
        .close(|_, close| println!("  client: {close}"));
    lp.connect(to, on);
    lp.run()?;
    Ok(())
}

const USAGE: &str =
    "usage: tls_proxy [LISTEN UPSTREAM CERT.pem KEY.pem], the first two as HOST:PORT";

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
        [at, to, cert, key] => {
            let tls = TlsServer::pem(cert, key).unwrap_or_else(|e| {
                eprintln!("{e}");
                exit(1)
            });
            let server = proxy(&mut lp, at, to.clone(), tls)?;
            println!("listening on {}, passing on to {to}", lp.server(server).local_addr()?);
            Ok(lp.run()?)
        }
        _ => {
            eprintln!("{USAGE}");
            exit(2)
        }
    }
}
