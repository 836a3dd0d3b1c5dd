//! What the program was told: its arguments.

use std::net::IpAddr;
use std::process::exit;
use std::time::Duration;

use tidegate::net::TrustedProxies;

use crate::refuse;

pub(crate) const USAGE: &str = "usage: production [OPTION VALUE]...    # Ctrl-C or SIGTERM stops it
  --listen HOST:PORT      where clients come; 127.0.0.1:8080
  --admin HOST:PORT       /healthz, /readyz, /metrics; 127.0.0.1:9080
  --proxies ADDRESS[/N]   balancers that send PROXY headers; may come more than once
  --tls CERT,KEY          files of PEM; or self-signed
  --rate N                requests in a second that one client may make
  --upstream URL          what /relay asks
  --otlp URL              a collector, such as http://127.0.0.1:4318
  --drain SECONDS         how long it goes on after SIGTERM, not ready any more; 5
  --grace SECONDS         how long connections may last after that; 25";

pub(crate) enum Tls {
    Files(String, String),
    SelfSigned,
}

pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) tls: Option<Tls>,
    pub(crate) rate: Option<u64>,
    pub(crate) upstream: Option<String>,
    pub(crate) otlp: Option<String>,
    pub(crate) drain: Duration,
    pub(crate) grace: Duration,
}

impl Settings {
    /// Ends the program where they are wrong.
    pub(crate) fn from_arguments() -> Settings {
        let mut settings = Settings {
            listen: "127.0.0.1:8080".to_owned(),
            admin: "127.0.0.1:9080".to_owned(),
            proxies: None,
            tls: None,
            rate: None,
            upstream: None,
            otlp: None,
            drain: Duration::from_secs(5),
            grace: Duration::from_secs(25),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--help" {
                println!("{USAGE}");
                exit(0);
            }
            let value = arguments.next().unwrap_or_else(|| refuse(format!("{name}: no value")));
            settings.set(&name, value);
        }
        settings
    }

    fn set(&mut self, name: &str, value: String) {
        let wrong = || -> ! { refuse(format!("{name} {value}: what is that?")) };
        let seconds = || value.parse().map_or_else(|_| wrong(), Duration::from_secs);
        match name {
            "--listen" => self.listen = value,
            "--admin" => self.admin = value,
            "--proxies" => {
                let before = self.proxies.take().unwrap_or_default();
                let (address, bits) = match value.split_once('/') {
                    Some((address, bits)) => (address, bits.parse().ok()),
                    None => (&*value, None),
                };
                let Ok(address) = address.parse::<IpAddr>() else { wrong() };
                let whole = if address.is_ipv4() { 32 } else { 128 };
                match before.subnet(address, bits.unwrap_or(whole)) {
                    Ok(proxies) => self.proxies = Some(proxies),
                    Err(e) => refuse(e),
                }
            }
            "--tls" if value == "self-signed" => self.tls = Some(Tls::SelfSigned),
            "--tls" => match value.split_once(',') {
                Some((certificates, key)) => {
                    self.tls = Some(Tls::Files(certificates.to_owned(), key.to_owned()));
                }
                None => wrong(),
            },
            "--rate" => match value.parse() {
                Ok(rate) if rate > 0 => self.rate = Some(rate),
                _ => wrong(),
            },
            "--upstream" => self.upstream = Some(value),
            "--otlp" => self.otlp = Some(value),
            "--drain" => self.drain = seconds(),
            "--grace" => self.grace = seconds(),
            _ => refuse(format!("{name}: what is that?")),
        }
    }
}
