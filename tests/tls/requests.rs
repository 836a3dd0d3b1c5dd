//! HTTP over TLS: requests to `https` origins, and an upgrade of a server. The connections have the
//! filter.

use std::cell::RefCell;
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use tidegate::http::{
    Agent, AgentKey, Answer, ClientRequest, Http, HttpClient, RequestCause, RequestError, Response,
};
use tidegate::net::Stage;
use tidegate::prelude::*;
use tidegate::tls::TlsVersion;

use crate::authority::Authority;
use crate::peer::{BOTH, Peer, server_config};
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
    let agent = agent_for(lp, &ca, Duration::from_secs(1));
    (agent, lp.server(server).local_addr().unwrap().port())
}

/// An agent that finds every host here, and trusts this authority.
fn agent_for(lp: &mut Loop, ca: &Authority, check_after: Duration) -> AgentKey {
    let tls = ours(ca);
    let agent = Agent::new()
        .check_after(check_after)
        .connect(|_, options| {
            options.lookup(|cx, _, answer| answer.give(cx, Ok(vec!["127.0.0.1".parse().unwrap()])))
        })
        // Each connection asks for the name of its origin.
        .secure(move |origin, options| match tls.name(origin.host()) {
            Ok(tls) => options.filter(tls),
            Err(e) => panic!("{e}"),
        });
    lp.http_agent(agent).unwrap()
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

/// A server that closes the connection that the agent keeps: by a `close_notify` alone, or with a FIN
/// behind it. `noticed`: the loop had the time to see that before the next request.
fn closing(of: TlsVersion, fin: bool, noticed: bool, check_after: Duration) {
    let mut lp = guarded();
    let ca = Authority::new();
    let config = server_config(&ca.leaf("tide.example"), of);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for nth in 0..2 {
            let tcp = listener.accept().unwrap().0;
            // What is sent is there at once.
            tcp.set_nodelay(true).unwrap();
            let mut peer = Peer::server(tcp, config.clone());
            peer.handshake().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(peer.receive(1).unwrap());
            }
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            if nth == 0 {
                peer.conn.send_close_notify();
                peer.flush().unwrap();
                if fin {
                    peer.tcp.shutdown(Shutdown::Write).unwrap();
                }
                tell.send(()).unwrap();
            }
            kept.push(peer);
        }
        kept
    });
    let agent = agent_for(&mut lp, &ca, check_after);
    assert!(!ask(&mut lp, agent, "tide.example", port).unwrap().totals.reused);
    told.recv_timeout(DEADLINE).unwrap();
    if noticed {
        let alive = lp.cx().keep_alive("the test").unwrap();
        turn_until(&mut lp, |lp| lp.agent_metrics(agent).unwrap().open == 0);
        assert_eq!(lp.agent_metrics(agent).unwrap().ended_free, 1);
        drop(alive);
    }
    let again = ask(&mut lp, agent, "tide.example", port).unwrap();
    assert_eq!(&again.body[..], b"ok");
    let m = lp.agent_metrics(agent).unwrap();
    assert_eq!((m.answered, m.failed, m.connected), (2, 0, 2), "{m:?}");
    // Asked, the kernel has bytes: no request was lost on the old connection.
    if noticed || check_after.is_zero() {
        assert_eq!((m.retried, again.totals.retried), (0, false), "{m:?}");
    }
    drop(server.join().unwrap());
}

#[test]
fn a_server_that_closes_a_kept_connection_by_close_notify() {
    for of in BOTH {
        for fin in [false, true] {
            closing(of, fin, true, Duration::from_secs(1));
            closing(of, fin, false, Duration::from_secs(1));
            closing(of, fin, false, Duration::ZERO);
        }
    }
}

#[test]
fn n24_an_upgrade_of_a_server_over_tls() {
    let mut lp = guarded();
    let (ca, tls) = tide();
    let upper = || {
        let on = On::new().data(|s, bytes| {
            let _ = s.write(bytes.to_ascii_uppercase());
        });
        on.end(|s| s.end())
    };
    let server = lp
        .http_listen(ListenOptions::new("127.0.0.1:0").filter(tls), move |head, x| {
            assert!(head.upgrade);
            x.upgrade(Response::new(101).headers(&[("upgrade", "upper")]), upper()).unwrap();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let got = Rc::new(RefCell::new(String::new()));
    let (to, ended) = (got.clone(), Rc::new(RefCell::new(false)));
    let end = ended.clone();
    // What is behind the request is the first data of the new handler.
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: upper\r\n\r\nhigh ";
    let on = On::new()
        .connect(move |s| {
            let _ = s.write(asked);
        })
        .data(move |s, bytes| {
            let mut got = to.borrow_mut();
            got.push_str(std::str::from_utf8(bytes).unwrap());
            if got.ends_with("\r\n\r\nHIGH ") {
                let _ = s.write("tide");
                s.end();
            }
        })
        .close(move |_, close| {
            assert!(close.reason.error().is_none(), "{close:?}");
            *end.borrow_mut() = true;
        });
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    turn_until(&mut lp, |_| *ended.borrow());
    let got = got.borrow();
    assert!(got.starts_with("HTTP/1.1 101 ") && got.ends_with("\r\n\r\nHIGH TIDE"), "{got}");
    assert_eq!(lp.http_metrics().upgraded, 1);
}
