//! A server closes a connection that the agent keeps: before the next request, or while it comes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::*;

/// A server in another thread, which closes its connections at unexpected moments: after an
/// answer, a while after it, or when the next request comes, by a FIN or by a RST. The first
/// request of a connection is always answered.
fn unreliable() -> (String, tidegate::Remote, std::thread::JoinHandle<u32>) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut lp = Loop::new().unwrap();
        let cut = Rc::new(Cell::new(0));
        let counted = cut.clone();
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        let url = script(&mut lp, move |s, asked| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = s.key();
            let end = |s: &mut SocketCx<'_>| {
                counted.set(counted.get() + 1);
                if random & 64 == 0 { s.destroy() } else { s.reset() }
            };
            match random % 16 {
                0..=2 if asked.nth > 0 => return end(s),
                3 | 4 => {
                    let _ = s.write(OK);
                    counted.set(counted.get() + 1);
                    return s.end();
                }
                5 => {
                    let counted = counted.clone();
                    s.after(Duration::from_micros(random % 500), move |cx| {
                        counted.set(counted.get() + 1);
                        cx.socket(key).destroy();
                    });
                }
                _ => {}
            }
            let _ = s.write(OK);
        });
        let alive = lp.cx().keep_alive("the test").unwrap();
        tell.send((url, lp.remote())).unwrap();
        lp.run().unwrap();
        drop(alive);
        cut.get()
    });
    let (url, remote) = told.recv().unwrap();
    (url, remote, thread)
}

/// Makes the next request when the one before is answered.
fn chain(cx: &mut Cx<'_>, url: Rc<str>, agent: AgentKey, left: u32, done: Rc<Cell<u32>>) {
    let request = ClientRequest::get(&url).agent(agent);
    let next = move |cx: &mut Cx<'_>, answer: Result<Answer, RequestError>| {
        let answer = answer.expect("no error is visible");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
        done.set(done.get() + 1);
        if left > 1 {
            chain(cx, url, agent, left - 1, done);
        }
    };
    cx.fetch(request, 100, next).unwrap();
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: too slow for its deadline")]
fn http_66_no_get_fails_while_the_server_closes_at_random() {
    let (url, remote, thread) = unreliable();
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let done = Rc::new(Cell::new(0));
    for _ in 0..10 {
        chain(&mut lp.cx(), url.as_str().into(), agent, 1000, done.clone());
    }
    lp.run().unwrap();
    assert_eq!(done.get(), 10_000);
    let m = metrics(&mut lp, agent);
    remote.post(|cx| cx.stop()).unwrap();
    let cut = thread.join().unwrap();
    println!("{cut} connections closed, {} requests sent twice, {m:?}", m.retried);
    assert!(m.retried > 100 && m.reused > 1000 && cut > 1000, "{cut} {m:?}");
    assert_eq!((m.requests, m.answered, m.failed), (10_000, 10_000, 0));
}

/// The second request of each connection is read and not answered.
fn forgetful(lp: &mut Loop) -> (String, Rc<Cell<u32>>) {
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    let url = script(lp, move |s, asked| {
        count.set(count.get() + 1);
        if asked.nth == 0 {
            let _ = s.write(OK);
        } else {
            s.destroy();
        }
    });
    (url, seen)
}

#[test]
fn http_67_a_post_is_not_sent_twice_after_bytes_went() {
    let mut lp = guarded();
    let (url, seen) = forgetful(&mut lp);
    assert_eq!(body(&ask(&mut lp, ClientRequest::get(&url))), "ok");
    let failed = ask(&mut lp, ClientRequest::post(&url).body("money"));
    assert_eq!(cause(&failed), "the connection ended before the answer did");
    assert_eq!(seen.get(), 2);
    // What the user says is taken for true.
    assert_eq!(body(&ask(&mut lp, ClientRequest::get(&url))), "ok");
    let again = ask(&mut lp, ClientRequest::post(&url).body("level").idempotent(true));
    assert!(again.as_ref().unwrap().totals.retried);
    assert_eq!((body(&again), seen.get()), ("ok", 5));
}

/// Once, and on a new connection.
#[test]
fn a_get_is_sent_twice_and_no_more() {
    let mut lp = guarded();
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    let url = script(&mut lp, move |s, asked| {
        count.set(count.get() + 1);
        match (asked.conn, asked.nth) {
            (0, 0) => {
                let _ = s.write(OK);
            }
            _ => s.destroy(),
        }
    });
    assert!(ask(&mut lp, ClientRequest::get(&url)).is_ok());
    let failed = ask(&mut lp, ClientRequest::get(&url));
    assert_eq!(cause(&failed), "the connection ended before the answer did");
    assert_eq!(seen.get(), 3);
    // On a new connection it is the answer.
    assert!(ask(&mut lp, ClientRequest::get(&url)).is_err());
    assert_eq!(seen.get(), 4);
}

/// A part of an answer is an answer.
#[test]
fn nothing_is_sent_twice_after_a_byte_of_an_answer() {
    let mut lp = guarded();
    let url = script(&mut lp, |s, asked| {
        if asked.nth == 0 {
            let _ = s.write(OK);
        } else {
            let _ = s.end_with("H");
        }
    });
    assert!(ask(&mut lp, ClientRequest::get(&url)).is_ok());
    assert!(ask(&mut lp, ClientRequest::get(&url)).is_err());
}

/// The kernel knows of the reset and takes nothing: then also a POST is sent again.
#[test]
fn a_post_of_which_nothing_went_is_sent_again() {
    let mut lp = guarded();
    let server = Rc::new(Cell::new(None));
    let keep = server.clone();
    let url = script(&mut lp, move |s, asked| {
        if asked.conn == 0 {
            keep.set(Some(s.key()));
        }
        let _ = s.write(OK);
    });
    assert!(ask(&mut lp, ClientRequest::get(&url)).is_ok());
    let results = Results::default();
    let (post, to) = (ClientRequest::post(&url).body("money"), results.clone());
    lp.next_tick(move |cx| {
        cx.socket(server.get().unwrap()).reset();
        // It begins before the next poll.
        fetch(cx, post, &to);
    });
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    let answer = results.borrow_mut().pop().unwrap();
    assert_eq!(body(&answer), "ok");
    assert!(answer.unwrap().totals.retried);
}

#[test]
fn http_68_bytes_without_a_request_end_a_free_connection() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = script(&mut lp, |s, asked| {
        let _ = s.write(OK);
        if asked.conn == 0 {
            // Not in one segment with the answer.
            let key = s.key();
            s.after(Duration::from_millis(5), move |cx| {
                let _ = cx.socket(key).write(OK);
            });
        }
    });
    assert!(ask(&mut lp, ClientRequest::get(&url).agent(agent)).is_ok());
    assert_eq!(metrics(&mut lp, agent).free, 1);
    turn_until(&mut lp, |lp| metrics(lp, agent).unsolicited == 1);
    assert_eq!(metrics(&mut lp, agent).open, 0);
    let answer = ask(&mut lp, ClientRequest::get(&url).agent(agent)).unwrap();
    assert!(!answer.totals.reused && !answer.totals.retried);
}

/// Behind the answer, in the same read: they are no answer to the next request.
#[test]
fn bytes_behind_an_answer_end_its_connection() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url =
        always(&mut lp, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 666 evil\r\n");
    for _ in 0..2 {
        let answer = ask(&mut lp, ClientRequest::get(&url).agent(agent)).unwrap();
        assert_eq!((answer.status, answer.totals.reused), (200, false));
    }
    assert_eq!(metrics(&mut lp, agent).unsolicited, 2);
}

#[test]
fn the_servers_end_ends_a_free_connection() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = script(&mut lp, |s, _| {
        let _ = s.write(OK);
        let key = s.key();
        s.after(Duration::from_millis(5), move |cx| cx.socket(key).end());
    });
    assert!(ask(&mut lp, ClientRequest::get(&url).agent(agent)).is_ok());
    turn_until(&mut lp, |lp| metrics(lp, agent).open == 0);
    assert_eq!(metrics(&mut lp, agent).ended_free, 1);
}

/// The end came after the last poll: one system call finds it.
#[test]
fn a_connection_that_was_free_for_long_is_asked_first() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().check_after(Duration::ZERO));
    let server = Rc::new(Cell::new(None));
    let keep = server.clone();
    let url = script(&mut lp, move |s, _| {
        keep.set(Some(s.key()));
        let _ = s.write(OK);
    });
    assert!(ask(&mut lp, ClientRequest::get(&url).agent(agent)).is_ok());
    let results = Results::default();
    let (post, to) = (ClientRequest::post(&url).agent(agent).body("money"), results.clone());
    lp.next_tick(move |cx| {
        cx.socket(server.get().unwrap()).destroy();
        fetch(cx, post, &to);
    });
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    let totals = results.borrow_mut().pop().unwrap().unwrap().totals;
    assert!(!totals.reused && !totals.retried);
}
