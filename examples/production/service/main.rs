//! A service with all that production asks for: TLS, the PROXY protocol, limits for each client,
//! metrics, logs as JSON, traces, and a restart that refuses nobody.
//!
//! ```text
//! cargo run --release --example production
//! curl -i http://127.0.0.1:8080/ ; curl http://127.0.0.1:9080/readyz
//! ```
//! `/` and `/slow` answer, `/relay` asks the server of `--upstream` and passes its answer on. The
//! other port has `/healthz`, `/readyz` and `/metrics`. On SIGTERM it is not ready any more, answers
//! what has begun, says whom it cut off, and ends. Sockets that a supervisor hands over (systemd's
//! protocol: first the service's, then that of `/readyz`) stay open for the next process.
//!
//! `settings.rs` has the options, `admin.rs` the second port, `logs.rs` and `telemetry.rs` what is
//! told to others. examples/production/ has the files around it: haproxy, Prometheus, Grafana,
//! Docker, Kubernetes.

mod admin;
mod logs;
mod settings;
mod telemetry;

use std::cell::Cell;
use std::error::Error;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{
    ClientRequest, Exchange, ExchangeCx, Head, Http, HttpHandler, HttpOptions, RequestId, Response,
};
use tidegate::net::{AtLimit, ProxyProtocol, Rate, TcpKeepAlive};
use tidegate::observe::otel::Traces;
use tidegate::prelude::*;
use tidegate::signals::{SIGINT, SIGTERM};
use tidegate::tls::{Identity, TlsServer};

use settings::{Settings, Tls};

struct Service {
    traces: Traces,
    upstream: Option<String>,
}

impl HttpHandler for Service {
    fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
        let id = RequestId::of(head, x.key());
        log::info!(request = id.as_str(), method = head.method, path = head.path(); "a request");
        match (head.path(), &self.upstream) {
            ("/", _) => {
                self.traces.route(x.key(), "/");
                answer(&mut x.later(), &id, 200, &level());
            }
            ("/slow", _) => {
                self.traces.route(x.key(), "/slow");
                let mut x = x.later();
                let key = x.key();
                x.after(Duration::from_millis(20), move |cx| {
                    answer(&mut cx.exchange(key), &id, 200, &level());
                });
            }
            ("/relay", Some(upstream)) => {
                self.traces.route(x.key(), "/relay");
                let mut x = x.later();
                let key = x.key();
                let request = ClientRequest::get(upstream).header(RequestId::NAME, id.as_str());
                let done = move |cx: &mut Cx<'_>, answered: Result<tidegate::http::Answer, _>| {
                    let mut x = cx.exchange(key);
                    match answered {
                        Ok(a) => answer(&mut x, &id, a.status, &String::from_utf8_lossy(&a.body)),
                        Err(e) => {
                            log::warn!(request = id.as_str(); "upstream: {e}");
                            answer(&mut x, &id, 502, "upstream\n");
                        }
                    }
                };
                // The table is full: without an answer it is 500.
                let _ = self.traces.fetch(&mut x, request, 1 << 20, done);
            }
            _ => answer(&mut x.later(), &id, 404, "no such place\n"),
        }
    }
}

fn level() -> String {
    format!("high tide, says process {}\n", std::process::id())
}

fn answer(x: &mut ExchangeCx<'_>, id: &RequestId, status: u16, text: &str) {
    let fields = [("content-type", "text/plain"), (RequestId::NAME, id.as_str())];
    // An error: the client has gone.
    let _ = x.respond(Response::new(status).headers(&fields), text);
}

fn tls(from: &Tls) -> Result<TlsServer, Box<dyn Error>> {
    let identity = match from {
        Tls::Files(certificates, key) => Identity::from_pem_files(certificates, key)?,
        Tls::SelfSigned => {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            Identity::from_pem(certificate.as_bytes(), key.as_bytes())?
        }
    };
    Ok(TlsServer::builder().identity(identity).alpn(["http/1.1"]).build()?)
}

fn open(lp: &mut Loop, settings: &Settings, listen: ListenOptions, traces: &Traces) -> Opened {
    let mut listen =
        listen.max_connections(10_000, AtLimit::Hold).keep_alive(TcpKeepAlive::default());
    if let Some(per_client) = settings.rate {
        listen = listen.max_per_peer(200).accept_rate(Rate::per_second(per_client).burst(200));
    }
    if let Some(proxies) = settings.proxies.clone() {
        listen = listen.proxy_protocol(ProxyProtocol::new(proxies));
    }
    let certificate = settings.tls.as_ref().map(tls).transpose()?;
    if let Some(certificate) = &certificate {
        listen = listen.filter(certificate.clone());
    }
    let mut http = HttpOptions::new()
        .headers_timeout(Duration::from_secs(10))
        .request_timeout(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(30))
        // Behind a balancer: a request that is on its way still gets an answer.
        .shutdown_idle(settings.drain);
    if let Some(per_client) = settings.rate {
        http = http.request_rate(Rate::per_second(per_client).burst(per_client));
    }
    let service = Service { traces: traces.clone(), upstream: settings.upstream.clone() };
    Ok((lp.http_serve(listen, http, service)?, certificate))
}

type Opened = Result<(ServerKey, Option<TlsServer>), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_arguments();
    logs::start();
    let provider = settings.otlp.as_deref().map(telemetry::provider).transpose()?;
    let traces = telemetry::traces();
    let mut lp = Loop::new()?;
    if provider.is_some() {
        lp.observe(traces.observer());
    }
    let mut handed = listenfd::ListenFd::from_env();
    let (first, second) = (handed.take_tcp_listener(0)?, handed.take_tcp_listener(1)?);
    let is_handed = first.is_some();
    let new = || ListenOptions::new(&*settings.listen).backlog(1024);
    let listen = first.map_or_else(new, ListenOptions::from);
    let admin = second.map_or_else(|| ListenOptions::new(&*settings.admin), ListenOptions::from);
    let (service, certificate) = open(&mut lp, &settings, listen, &traces)?;
    let ready = Rc::new(Cell::new(true));
    let admin = admin::open(&mut lp, admin, ready.clone(), certificate)?;

    let (drain, grace) = (settings.drain, settings.grace);
    let leave = move |cx: &mut Cx<'_>| {
        if !ready.replace(false) {
            log::warn!("a second signal: everything ends at once");
            return cx.close_all();
        }
        log::info!("leaving: {} connections", cx.server(service).connections().len());
        if is_handed {
            // The next process has the sockets, too, and takes the connections that come.
            let _ = cx.server(admin).shutdown(Duration::from_secs(1));
            let _ = cx.server(service).shutdown(grace);
        } else {
            // The balancer has to see first that nobody is to come here any more.
            cx.after(drain, move |cx| {
                let _ = cx.server(service).shutdown(grace);
            });
        }
    };
    for signal in [SIGTERM, SIGINT] {
        let leave = leave.clone();
        lp.signal(signal, move |cx, _, _| leave(cx))?;
    }
    lp.server(service).report_shutdown(move |cx, report| {
        log::info!(cut_off = report.cut_off; "{report}");
        for close in &report.closes {
            log::warn!("cut off: {close}");
        }
        let _ = cx.server(admin).shutdown(Duration::from_secs(1));
    })?;
    let (at, admin) = (lp.server(service).local_addr()?, lp.server(admin).local_addr()?);
    println!("listening on {at}; admin on {admin}; process {}; SIGTERM stops", std::process::id());
    lp.run()?;
    if let Some(provider) = provider {
        // What waits to be exported goes out.
        provider.shutdown()?;
    }
    Ok(())
}

fn refuse(why: impl std::fmt::Display) -> ! {
    eprintln!("{why}\n{}", settings::USAGE);
    exit(2)
}
