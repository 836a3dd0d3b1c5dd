//! Requests of HTTP to `https` origins: the agent's connections have the filter.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::http::{
    Agent, AgentKey, Answer, ClientRequest, HttpClient, RequestCause, RequestError,
};
use tidegate::net::Stage;
use tidegate::prelude::*;

use crate::support::*;
use crate::{ours, tide};

/// A server for `tide.example` that answers each request, and an agent that finds it.
fn served(lp: &mut Loop) -> (AgentKey, u16) {
    let (ca, tls) = tide();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").filter(tls), |conn| {
            let on = On::new().data(|s, bytes| {
                assert!(bytes.starts_with(b"GET / HTTP/1.1\r\nHost: "));
                let _ = s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            });
            conn.accept(on.close(|_, _| {}));
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let tls = ours(&ca);
    let agent = Agent::new()
        .connect(|_, options| {
            options.lookup(|cx, _, answer| answer.give(cx, Ok(vec!["127.0.0.1".parse().unwrap()])))
        })
        // Each connection asks for the name of its origin.
        .secure(move |origin, options| match tls.name(origin.host()) {
            Ok(tls) => options.filter(tls),
            Err(e) => panic!("{e}"),
        });
    (lp.http_agent(agent).unwrap(), lp.server(server).local_addr().unwrap().port())
}

fn ask(lp: &mut Loop, agent: AgentKey, host: &str, port: u16) -> Result<Answer, RequestError> {
    let result = Rc::new(RefCell::new(None));
    let to = result.clone();
    let request = ClientRequest::get(&format!("https://{host}:{port}")).agent(agent);
    lp.fetch(request, 100, move |_, answer| *to.borrow_mut() = Some(answer)).unwrap();
    turn_until(lp, |_| result.borrow().is_some());
    result.take().unwrap()
}

#[test]
fn a_connection_is_used_again() {
    let mut lp = guarded();
    let (agent, port) = served(&mut lp);
    for reused in [false, true] {
        let answer = ask(&mut lp, agent, "tide.example", port).unwrap();
        assert_eq!((&answer.body[..], answer.totals.reused), (&b"ok"[..], reused));
    }
}

#[test]
fn another_name_than_that_of_the_certificate() {
    let mut lp = guarded();
    let (agent, port) = served(&mut lp);
    let e = ask(&mut lp, agent, "ebb.example", port).unwrap_err();
    let RequestCause::Connection(reason) = e.cause() else { panic!("{e}") };
    assert_eq!(reason.error().unwrap().stage(), Stage::Handshake, "{e}");
}
