//! A reverse proxy: each request goes to one server behind it, over connections that are kept.
//!
//! ```text
//! cargo run --release --example http_proxy -- 127.0.0.1:8080 http://127.0.0.1:3000
//! ```
//!
//! Bodies stream through in both directions, at the pace of the slower side: a body of any size
//! takes the memory of a few buffers. A server that cannot be reached is 502, one that is too slow
//! 504. A client that goes away ends its request behind the proxy.

mod arguments;

use std::rc::Rc;
use std::time::Duration;

use tidegate::http::codec::{Framing, ResponseHead};
use tidegate::http::{
    Agent, AgentKey, ClientRequest, Exchange, ExchangeKey, Head, Http, HttpClient, OnExchange,
    OnResponse, Origin, RequestBody, RequestCause, RequestCx, RequestError, Response, ResponseBody,
};
use tidegate::prelude::*;

use crate::arguments::{arguments, refuse};

const USAGE: &str = "usage: http_proxy HOST:PORT http://HOST:PORT    # Ctrl-C stops it";

/// How long a stop waits for requests that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fields that are for one connection alone. What frames a body is written anew, but for its length.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The fields that are passed on: those of the message, not of its connection.
fn passed<'f>(
    fields: tidegate::http::codec::FieldList<'f>,
) -> impl Iterator<Item = (&'f str, &'f [u8])> {
    let named: Vec<&[u8]> =
        fields.all("connection").flat_map(|value| value.split(|b| *b == b',')).collect();
    fields.iter().filter(move |(name, _)| {
        let is = |other: &[u8]| other.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        !OF_THE_CONNECTION.iter().any(|n| is(n.as_bytes())) && !named.iter().any(|n| is(n))
    })
}

struct Proxy {
    upstream: String,
    agent: AgentKey,
}

impl Proxy {
    fn pass(&self, head: &Head<'_>, x: Exchange<'_>) {
        if !head.target.starts_with('/') {
            return x.reply(400, "this is no forward proxy\n");
        }
        let url = format!("{}{}", self.upstream, head.target);
        let mut request = ClientRequest::new(head.method.to_owned(), &url).agent(self.agent);
        for (name, value) in passed(head.fields) {
            // The length comes from the framing.
            if !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        request = match head.framing {
            Framing::Length(0) => request,
            Framing::Length(n) => request.streamed(Some(n)),
            _ => request.streamed(None),
        };
        let key = x.key();
        let answer =
            OnResponse::new().head(move |r, head| begin(r, head, key)).close(move |cx, result| {
                if let Err(e) = result {
                    fail(cx, key, &e);
                }
            });
        let mut x = x.later();
        let Ok(request) = x.request(request, answer) else {
            let _ = x.reply(503, "");
            return;
        };
        // A client that goes away takes its request with it.
        x.handle(OnExchange::new().close(move |cx, _| cx.http_request(request).destroy()));
        let body = x.body_end();
        if head.framing != Framing::Length(0)
            && x.pipe(body, RequestBody(request), |_, _| {}).is_err()
        {
            x.http_request(request).destroy();
        }
    }
}

/// The answer begins: its head is passed on, and its body goes through a pipe.
fn begin(r: &mut RequestCx<'_>, head: &ResponseHead<'_>, key: ExchangeKey) {
    let mut response = Response::new(head.status);
    for (name, value) in passed(head.fields) {
        response = response.header(name, value);
    }
    let (from, mut x) = (ResponseBody(r.key()), r.exchange(key));
    let to = x.reply_end();
    if x.start(response).is_err() || x.pipe(from, to, |_, _| {}).is_err() {
        r.destroy();
    }
}

/// There is no answer, or only a part of one. In the second case the pipe has reset the client.
fn fail(cx: &mut Cx<'_>, key: ExchangeKey, e: &RequestError) {
    eprintln!("{e}");
    let status = match e.cause() {
        RequestCause::TimedOut(..) => 504,
        RequestCause::PoolFull => 503,
        _ => 502,
    };
    let _ = cx.exchange(key).reply(status, "");
}

fn main() -> std::io::Result<()> {
    let arguments = arguments(USAGE);
    let (at, upstream) = match &arguments[..] {
        [at, upstream] => (at.as_str(), upstream.trim_end_matches('/')),
        _ => refuse(USAGE, "two addresses, please"),
    };
    match Origin::parse(upstream) {
        None => refuse(USAGE, "the second address is no URL"),
        Some(origin) if origin.is_secure() => {
            refuse(USAGE, "the server behind it must speak plain HTTP")
        }
        Some(_) => {}
    }
    env_logger::init();
    let mut lp = Loop::new()?;
    let agent = lp.http_agent(Agent::new().max_sockets(64))?;
    let proxy = Rc::new(Proxy { upstream: upstream.to_owned(), agent });
    let server = lp.http_listen(at, move |head, x| proxy.pass(head, x));
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    lp.server(server).shutdown_on_signals(PATIENCE)?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    let m = lp.agent_metrics(agent).unwrap_or_default();
    println!("{} requests on {} connections, {} failed", m.requests, m.connected, m.failed);
    Ok(())
}
