//! One GET by HTTP/1.1: request and head on standard error, the body on standard output.
#![forbid(unsafe_code)]

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{Agent, ClientRequest, HttpClient, OnResponse, Timeouts};
use tidegate::observe::OneLine;
use tidegate::prelude::*;
use tidegate::tls::TlsClient;

use super::End;
use crate::terminal::{Tone, note, pass_on, toned_note};

/// How each stage is limited.
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) idle: Option<Duration>,
}

pub(super) fn ask(
    lp: &mut Loop,
    to: &str,
    tls: Option<TlsClient>,
    path: &str,
    limits: &Limits,
    shows: bool,
    end: &Rc<End>,
) -> io::Result<()> {
    let connect = limits.connect;
    let mut agent = Agent::new().connect(move |_, options| options.connect_timeout(connect));
    let scheme = match tls {
        Some(tls) => {
            agent = agent.secure(move |_, options| options.filter(tls.clone()));
            "https"
        }
        None => "http",
    };
    let agent = lp.http_agent(agent).map_err(io::Error::other)?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let target = format!("{slash}{path}");
    let idle = limits.idle.unwrap_or(Timeouts::default().idle);
    let request = ClientRequest::get(&format!("{scheme}://{to}{target}"))
        .agent(agent)
        .header("User-Agent", "tidegate")
        .header("Connection", "close")
        .timeouts(Timeouts { connect, idle, head: idle, ..Timeouts::default() });
    let failed = end.clone();
    if shows {
        note(format_args!("{} GET {}", toned_note(Tone::Strong, ">"), OneLine(&target)));
    }
    let response = OnResponse::new()
        .head(move |_, head| {
            if shows {
                let mark = toned_note(Tone::Strong, "<");
                note(format_args!("{mark} HTTP/1.1 {} {}", head.status, OneLine(head.reason)));
                for (name, value) in head.fields.iter() {
                    let value = String::from_utf8_lossy(value);
                    note(format_args!("{mark} {}: {}", OneLine(name), OneLine(value)));
                }
            }
        })
        .data(|cx, part| {
            if !pass_on(part) {
                cx.cx().stop();
            }
        })
        .close(move |_, result| {
            if let Err(e) = result {
                failed.fail(e);
            }
        });
    lp.request(request, response).map_err(io::Error::other)?;
    Ok(())
}
