//! What does a TLS server show, and if it cannot be reached: at which step does it fail?
//!
//! ```text
//! cargo run --release --example tls_check               # a demonstration, which ends
//! cargo run --release --example tls_check HOST:PORT     # with the roots that the system trusts
//! ```
//! The exit code is 1 if there is no connection, or its certificate is not to be trusted.

use std::cell::Cell;
use std::error::Error;
use std::process::exit;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tidegate::prelude::*;
use tidegate::tls::{Certificate, Identity, Roots, Tls, TlsClient, TlsError, TlsServer};

fn days_left(certificate: &Certificate) -> String {
    match certificate.not_after.duration_since(SystemTime::now()) {
        Ok(left) => format!("{} days left", left.as_secs() / 86_400),
        Err(_) => "expired".into(),
    }
}

fn show(tls: &Tls) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("  version       {}", tls.version().map_or("-", |v| v.name()));
    println!("  cipher suite  {}", tls.cipher_suite().unwrap_or("-"));
    println!("  key exchange  {}", tls.key_exchange().unwrap_or_default());
    println!("  protocol      {}", tls.alpn().map_or("none".into(), text));
    for (i, der) in tls.peer_certificates().iter().enumerate() {
        let Some(c) = Certificate::read(der) else { continue };
        println!("  certificate {i} {:?} by {:?}, {}", c.subject, c.issuer, days_left(&c));
    }
}

/// Whether the server is as it should be.
fn check(lp: &mut Loop, to: &str, tls: TlsClient) -> std::io::Result<bool> {
    println!("{to}");
    let good = Rc::new(Cell::new(false));
    let connected = good.clone();
    let on = On::new()
        .connect(move |s| {
            if let Some(tls) = s.filter::<Tls>() {
                show(tls);
            }
            connected.set(true);
            s.end();
        })
        .close(|_, close| {
            let Some(error) = close.reason.error() else { return };
            println!("  failed at     {}", error.stage());
            println!("  code          {}", error.code().unwrap_or("-"));
            if let Some(tls) = TlsError::of(error) {
                let name = |alert: Option<_>| alert.map_or("none".into(), |a| format!("{a}"));
                println!("  alert sent    {}", name(tls.alert_sent()));
                println!("  alert came    {}", name(tls.alert_received()));
            }
            println!("  {error}");
        });
    let options = ConnectOptions::new(to).connect_timeout(Duration::from_secs(5));
    lp.connect(options.linger_timeout(Duration::from_secs(2)).filter(tls), on);
    lp.run()?;
    Ok(good.get())
}

/// A server with a certificate for this name, until then.
fn server(lp: &mut Loop, year: i32) -> Result<(String, Roots), Box<dyn Error>> {
    let mut params = rcgen::CertificateParams::new(["tide.example".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "tide.example");
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let cert = params.self_signed(&key)?.pem();
    let identity = Identity::from_pem(cert.as_bytes(), key.serialize_pem().as_bytes())?;
    let tls = TlsServer::builder().identity(identity).alpn(["http/1.1"]).build()?;
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.listen(options, |conn| {
        conn.accept(On::new());
    })?;
    lp.cx().set_ref(server, false)?;
    let roots = Roots::from_pem(cert.as_bytes())?;
    Ok((lp.server(server).local_addr()?.to_string(), roots))
}

fn demonstrate(lp: &mut Loop) -> Result<(), Box<dyn Error>> {
    for (year, name) in [(2090, "tide.example"), (2021, "tide.example"), (2090, "wave.example")] {
        let (at, roots) = server(lp, year)?;
        let tls = TlsClient::builder().roots(roots).alpn(["h2", "http/1.1"]).build()?;
        check(lp, &at, tls.name(name)?)?;
        println!();
    }
    let plain = lp.listen("127.0.0.1:0", |conn| {
        let _ = conn.accept(On::new()).write("220 mail.example\r\n");
    })?;
    lp.cx().set_ref(plain, false)?;
    let at = lp.server(plain).local_addr()?.to_string();
    let (_, roots) = server(lp, 2090)?;
    check(lp, &at, TlsClient::builder().roots(roots).build()?)?;
    Ok(())
}

const USAGE: &str = "usage: tls_check [HOST:PORT]";

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
        [to] => {
            let roots = Roots::native()?;
            let tls = TlsClient::builder().roots(roots).alpn(["h2", "http/1.1"]).build()?;
            if !check(&mut lp, to, tls)? {
                exit(1);
            }
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            exit(2)
        }
    }
}
