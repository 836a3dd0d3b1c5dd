//! GET, again and again, through an agent that keeps connections.
//!
//! ```text
//! cargo run --release --example http_client                        # to a server that it brings
//! cargo run --release --example http_client -- URL [REQUESTS [AT-ONCE]]
//! ```
//!
//! Each line is a request: the status, the length of the body, how long it took, and on what kind of
//! connection it was sent. The last lines are what the agent counted.

mod arguments;

use std::cell::Cell;
use std::process::exit;
use std::rc::Rc;

use tidegate::http::{Agent, AgentKey, Answered, ClientRequest, HttpClient, OnResponse};
use tidegate::http::{Origin, RequestError, Timeouts};
use tidegate::prelude::*;

use crate::arguments::{arguments, refuse};

const USAGE: &str = "usage: http_client [URL [REQUESTS [AT-ONCE]]]";

/// What is still to be asked.
struct Plan {
    url: String,
    agent: AgentKey,
    left: Cell<u32>,
    failed: Cell<u32>,
}

/// The next request, if one is left. When it is over comes the one after it.
fn next(cx: &mut Cx<'_>, plan: Rc<Plan>) {
    let Some(left) = plan.left.get().checked_sub(1) else { return };
    plan.left.set(left);
    let total = std::time::Duration::from_secs(20);
    let request = ClientRequest::get(&plan.url)
        .agent(plan.agent)
        .header("User-Agent", "tidegate")
        .timeouts(Timeouts { total, ..Timeouts::default() });
    let show = OnResponse::new().close(move |cx, result| {
        show(&result);
        plan.failed.set(plan.failed.get() + u32::from(result.is_err()));
        next(cx, plan.clone());
    });
    if let Err(full) = cx.request(request, show) {
        eprintln!("{full}");
    }
}

fn show(result: &Result<Answered, RequestError>) {
    match result {
        Ok(a) => {
            let connection = match (a.reused, a.retried) {
                (true, _) => "a connection used before",
                (false, false) => "a new connection",
                (false, true) => "a new connection, in place of a dead one",
            };
            println!("{} {} bytes after {:.1?}, {connection}", a.status, a.body, a.elapsed);
        }
        Err(e) => println!("{e}"),
    }
}

/// A server that closes each connection after four answers, without a word.
fn serve(lp: &mut Loop) -> std::io::Result<String> {
    let server = lp.listen("127.0.0.1:0", |conn| {
        let mut answers = 0;
        conn.accept(On::new().data(move |s, _| {
            answers += 1;
            if answers > 4 {
                return s.destroy();
            }
            let _ = s.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhigh tide\n");
        }));
    })?;
    // The client alone keeps the loop alive.
    lp.cx().set_ref(server, false)?;
    Ok(format!("http://{}/", lp.server(server).local_addr()?))
}

fn main() -> std::io::Result<()> {
    let arguments = arguments(USAGE);
    let (url, left, at_once) = match &arguments[..] {
        [] => (None, 10, 1),
        [url] => (Some(url), 10, 1),
        [url, left] => (Some(url), number(left), 1),
        [url, left, at_once] => (Some(url), number(left), number(at_once)),
        _ => refuse(USAGE, "too many arguments"),
    };
    env_logger::init();
    let mut lp = Loop::new()?;
    let url = match url {
        Some(url) if Origin::parse(url).is_none() => refuse(USAGE, "that is no URL"),
        Some(url) => url.clone(),
        None => serve(&mut lp)?,
    };
    let agent = lp.http_agent(Agent::new())?;
    let plan = Rc::new(Plan { url, agent, left: Cell::new(left), failed: Cell::new(0) });
    for _ in 0..at_once {
        next(&mut lp.cx(), plan.clone());
    }
    while plan.left.get() > 0
        || lp.agent_metrics(agent).is_ok_and(|m| m.answered + m.failed < m.requests)
    {
        lp.run_once()?;
    }
    let m = lp.agent_metrics(agent).unwrap_or_default();
    println!(
        "{} requests on {} connections: {} reused, {} sent twice, {} failed",
        m.requests, m.connected, m.reused, m.retried, m.failed
    );
    exit(i32::from(plan.failed.get() > 0))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|e| refuse(USAGE, format_args!("{text:?}: {e}")))
}
