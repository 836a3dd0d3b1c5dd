//! When a connection is used again, and when not.

use std::time::Duration;

use super::*;

/// Whether the second of two requests is sent on the connection of the first.
fn is_reused(answer: &'static str) -> bool {
    let mut lp = guarded();
    let url = always(&mut lp, answer);
    assert!(!ask(&mut lp, ClientRequest::get(&url)).unwrap().totals.reused);
    ask(&mut lp, ClientRequest::get(&url)).unwrap().totals.reused
}

#[test]
fn http_69_the_servers_hint_is_obeyed() {
    for (hint, reused) in [
        ("timeout=1", false),
        ("timeout=0", false),
        ("timeout=3", true),
        ("max=10, timeout=60", true),
        ("TIMEOUT = 1, max=3", false),
        ("timeout=soon", true),
        ("timeout=99999999999999999999", true),
    ] {
        let answer =
            format!("HTTP/1.1 200 OK\r\nKeep-Alive: {hint}\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(is_reused(answer.leak()), reused, "{hint}");
    }
}

#[test]
fn an_answer_says_whether_its_connection_goes_on() {
    for (answer, reused) in [
        (OK, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
    ] {
        assert_eq!(is_reused(answer), reused, "{answer:?}");
    }
}

#[test]
fn a_free_connection_expires() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().keep_alive(Duration::from_millis(10)));
    let url = always(&mut lp, OK);
    assert!(ask(&mut lp, ClientRequest::get(&url).agent(agent)).is_ok());
    assert_eq!(metrics(&mut lp, agent).free, 1);
    let alive = lp.cx().keep_alive("the test").unwrap();
    turn_until(&mut lp, |lp| metrics(lp, agent).open == 0);
    assert_eq!(metrics(&mut lp, agent).expired, 1);
    drop(alive);
}

#[test]
fn nothing_is_kept_if_nothing_may_be() {
    for options in [Agent::new().max_free(0), Agent::new().keep_alive(Duration::ZERO)] {
        let mut lp = guarded();
        let agent = agent(&mut lp, options);
        let url = always(&mut lp, OK);
        for _ in 0..2 {
            let answer = ask(&mut lp, ClientRequest::get(&url).agent(agent)).unwrap();
            assert!(!answer.totals.reused);
        }
        assert_eq!(metrics(&mut lp, agent).free, 0);
    }
}

/// Requests keep the loop alive; what is kept for later does not.
#[test]
fn free_connections_do_not_keep_the_loop_alive() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = always(&mut lp, OK);
    let results = Results::default();
    fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    // The server's side of the connection is there, too.
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    let alive: Vec<_> = lp.why_alive().iter().map(|h| h.to_string()).collect();
    assert!(alive.iter().all(|h| !h.contains("http")), "{alive:?}");
    assert_eq!(metrics(&mut lp, agent).free, 1);
}

/// Two origins share no connection, and one that is written in another way is the same.
#[test]
fn connections_belong_to_an_origin() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let a = always(&mut lp, OK);
    let b = always(&mut lp, OK);
    for url in [&a, &b] {
        let answer = ask(&mut lp, ClientRequest::get(url).agent(agent)).unwrap();
        assert!(!answer.totals.reused);
    }
    let again = ask(&mut lp, ClientRequest::get(&a.replace("http", "HTTP")).agent(agent)).unwrap();
    assert!(again.totals.reused);
    assert_eq!(metrics(&mut lp, agent).origins, 2);
}

/// The answer came while a part of the request waited for room.
#[test]
fn http_75_a_connection_that_is_not_drained_is_not_used_again() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = hasty(&mut lp);
    let request = ClientRequest::post(&url).agent(agent).body(vec![b'x'; 32 << 20]);
    let answer = ask(&mut lp, request).unwrap();
    assert_eq!(&answer.body[..], b"ok");
    assert_eq!(metrics(&mut lp, agent).free, 0);
    turn_until(&mut lp, |lp| metrics(lp, agent).open == 0);
}

/// A server that answers when the head is there, and reads nothing more.
fn hasty(lp: &mut Loop) -> String {
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(
                On::new()
                    .data(|s, _| {
                        let _ = s.write(OK);
                        s.pause();
                    })
                    .close(|_, _| {}),
            );
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    format!("http://{}", lp.server(server).local_addr().unwrap())
}

#[test]
fn http_72_an_answer_before_the_request_is_complete() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = hasty(&mut lp);
    let (log, results) = (Log::default(), Results::default());
    let request = ClientRequest::post(&url).agent(agent).streamed(None);
    let key = lp.request(request, logged(&log, &results)).unwrap();
    assert_eq!(lp.http_request(key).write("a beginning"), Flow::Full);
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    assert_eq!(log.lines(), ["head 200", "data ok", "end"]);
    assert!(results.borrow()[0].is_ok());
    assert_eq!(lp.http_request(key).write("more"), Flow::Closed);
    assert_eq!(metrics(&mut lp, agent).free, 0);
}
