//! HTTP over TLS: the same server, with a filter that encrypts.
//!
//! ```text
//! cargo run --release --example https_hello
//! curl -k https://127.0.0.1:3443/hello
//! ```
//! The certificate is made at the start, and signed by itself. So no client trusts it: `-k` is for
//! that.

use std::error::Error;
use std::fmt::Display;
use std::process::exit;
use std::time::Duration;

use tidegate::http::{Exchange, Head, Http, Response};
use tidegate::prelude::*;
use tidegate::tls::{Identity, Tls, TlsServer};

const USAGE: &str = "usage: https_hello [HOST:PORT]    # 127.0.0.1:3443; Ctrl-C stops it";
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];

fn certificate() -> Result<TlsServer, Box<dyn Error>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes())?;
    Ok(TlsServer::builder().identity(identity).alpn(["http/1.1"]).build()?)
}

fn answer(head: &Head<'_>, mut x: Exchange<'_>) {
    match (head.method, head.path()) {
        ("GET" | "HEAD", "/hello") => {
            let version = x.socket().filter::<Tls>().and_then(|tls| tls.version());
            let text = format!("world, over {}\n", version.map_or("no TLS", |v| v.name()));
            if let Err(e) = x.respond(Response::new(200).headers(TEXT), text) {
                eprintln!("{e}");
            }
        }
        ("POST", "/echo") => x.collect(1 << 20, |x, body| {
            // An error: the client has gone.
            let _ = x.reply(200, body);
        }),
        _ => x.reply(404, "no such place\n"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = match &arguments[..] {
        [] => "127.0.0.1:3443",
        [help] if help == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        [at] => at,
        _ => refuse("one address, please"),
    };
    env_logger::init();
    let mut lp = Loop::new()?;
    let options = ListenOptions::new(at).filter(certificate()?);
    let server = lp.http_listen(options, answer).unwrap_or_else(|e| refuse(e));
    lp.server(server).shutdown_on_signals(Duration::from_secs(10))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    Ok(())
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
