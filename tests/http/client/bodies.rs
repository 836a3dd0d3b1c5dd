//! Bodies of requests and of answers: whole, streamed, expected, collected.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::*;

/// A server that tells what it got: the head's last line but one, and the body.
fn telling(lp: &mut Loop) -> (String, Rc<RefCell<Vec<Asked>>>) {
    let seen: Rc<RefCell<Vec<Asked>>> = Rc::default();
    let to = seen.clone();
    let url = script(lp, move |s, asked| {
        let _ = s.write(OK);
        to.borrow_mut().push(asked);
    });
    (url, seen)
}

#[test]
fn a_whole_body() {
    let mut lp = guarded();
    let (url, seen) = telling(&mut lp);
    let request = ClientRequest::post(&format!("{url}/levels?a=b"))
        .header("Content-Type", "text/plain")
        .body("high");
    assert_eq!(body(&ask(&mut lp, request)), "ok");
    ask(&mut lp, ClientRequest::new("DELETE", &url)).unwrap();
    ask(&mut lp, ClientRequest::post(&url)).unwrap();
    let seen = seen.borrow();
    let host = url.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /levels?a=b HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"
    );
    assert_eq!((&*seen[0].head, &seen[0].body[..]), (&*head, &b"high"[..]));
    assert_eq!(seen[1].head, format!("DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert!(seen[2].has("Content-Length: 0"));
}

/// Writes these parts when it may, and ends.
fn parts(all: &'static [&'static str], to: &Results<Answered>) -> OnResponse {
    let (mut left, to) = (all.iter(), to.clone());
    OnResponse::new()
        .drain(move |r| {
            for part in left.by_ref() {
                if r.write(*part) != Flow::Ready {
                    return;
                }
            }
            r.end();
        })
        .close(move |_, result| to.borrow_mut().push(result))
}

#[test]
fn a_streamed_body() {
    let mut lp = guarded();
    let (url, seen) = telling(&mut lp);
    let results = Results::default();
    // An empty part does not end it.
    lp.request(ClientRequest::post(&url).streamed(None), parts(&["a", "", "tide"], &results))
        .unwrap();
    turn_until(&mut lp, |_| results.borrow().len() == 1);
    lp.request(ClientRequest::post(&url).streamed(Some(5)), parts(&["a", "tide"], &results))
        .unwrap();
    turn_until(&mut lp, |_| results.borrow().len() == 2);
    assert!(results.borrow().iter().all(|r| r.is_ok()));
    let seen = seen.borrow();
    assert_eq!(seen[0].body, b"1\r\na\r\n4\r\ntide\r\n0\r\n\r\n");
    assert!(seen[1].has("Content-Length: 5") && seen[1].body == b"atide");
    assert!(results.borrow()[1].as_ref().unwrap().reused);
}

/// Before there is a connection, what is written waits.
#[test]
fn a_body_that_is_written_early() {
    let mut lp = guarded();
    let (url, seen) = telling(&mut lp);
    let results = Results::default();
    let key = lp.request(ClientRequest::post(&url).streamed(None), parts(&[], &results)).unwrap();
    let mut r = lp.http_request(key);
    assert_eq!(r.write("high "), Flow::Full);
    assert_eq!(r.end_with("tide"), Flow::Full);
    assert_eq!(r.write("late"), Flow::Closed);
    turn_until(&mut lp, |_| results.borrow().len() == 1);
    assert_eq!(seen.borrow()[0].body, b"5\r\nhigh \r\n4\r\ntide\r\n0\r\n\r\n");
}

#[test]
fn so_much_waits_for_a_connection_and_no_more() {
    let Some((listener, _fill)) = silent() else { return };
    let mut lp = guarded();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let results = Results::default();
    let key = lp.request(ClientRequest::post(&url).streamed(None), parts(&[], &results)).unwrap();
    let mut writes = 0;
    while lp.http_request(key).write(vec![0; 100_000]) == Flow::Full {
        writes += 1;
    }
    assert_eq!(writes, 10);
    turn_until(&mut lp, |_| results.borrow().len() == 1);
    let e = results.borrow_mut().pop().unwrap().unwrap_err();
    assert!(e.to_string().ends_with("bytes waited for a connection"), "{e}");
}

#[test]
fn a_body_that_does_not_fit_its_length() {
    let mut lp = guarded();
    let (url, seen) = telling(&mut lp);
    for (all, text) in
        [(&["a", "tide"][..], "more bytes than declared"), (&["a"], "fewer bytes than declared")]
    {
        let results = Results::default();
        lp.request(ClientRequest::post(&url).streamed(Some(4)), parts(all, &results)).unwrap();
        turn_until(&mut lp, |_| results.borrow().len() == 1);
        assert_eq!(results.borrow()[0].as_ref().unwrap_err().cause().to_string(), text);
    }
    // The server never got a whole request.
    assert!(seen.borrow().is_empty());
}

/// What the server says to `Expect: 100-continue`, and when; what it got, and the answer.
fn expecting(says: &'static str, wait: u64) -> (String, Vec<u8>, Result<Answer, RequestError>) {
    let mut lp = guarded();
    let got: Rc<RefCell<Vec<u8>>> = Rc::default();
    let to = got.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let to = to.clone();
            let mut said = false;
            conn.accept(
                On::new()
                    .data(move |s, bytes| {
                        to.borrow_mut().extend_from_slice(bytes);
                        let is_whole = to.borrow().ends_with(b"\r\n\r\nhigh");
                        if !said {
                            said = true;
                            let _ = s.write(says);
                        }
                        if is_whole {
                            let _ = s.write(OK);
                        }
                    })
                    .close(|_, _| {}),
            );
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let url = format!("http://{}", lp.server(server).local_addr().unwrap());
    let request =
        ClientRequest::post(&url).body("high").expect_continue(Duration::from_millis(wait));
    let answer = ask(&mut lp, request);
    let got = got.borrow().clone();
    let at = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(got[..at].to_vec()).unwrap(), got[at..].to_vec(), answer)
}

#[test]
fn the_body_waits_for_100() {
    let (head, sent, answer) = expecting("HTTP/1.1 100 Continue\r\n\r\n", 20_000);
    assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
    assert_eq!((&sent[..], body(&answer)), (&b"high"[..], "ok"));
}

#[test]
fn a_server_that_says_nothing_gets_the_body_a_while_later() {
    let (_, sent, answer) = expecting("", 10);
    assert_eq!((&sent[..], body(&answer)), (&b"high"[..], "ok"));
    assert!(answer.unwrap().totals.elapsed >= Duration::from_millis(10));
}

#[test]
fn an_answer_in_place_of_100() {
    let says = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
    let (_, sent, answer) = expecting(says, 20_000);
    assert_eq!((&sent[..], body(&answer)), (&b""[..], "no"));
}

#[test]
fn a_body_beyond_the_limit_of_a_fetch() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ] {
        let mut lp = guarded();
        let url = always(&mut lp, answer);
        let results = Results::default();
        let to: Results<Answer> = results.clone();
        lp.fetch(ClientRequest::get(&url), 10, move |_, r| to.borrow_mut().push(r)).unwrap();
        turn_until(&mut lp, |_| !results.borrow().is_empty());
        assert_eq!(cause(&results.borrow()[0]), "a body of more than 10 bytes");
    }
}

#[test]
fn a_fetched_answer_has_its_fields() {
    let mut lp = guarded();
    let url =
        always(&mut lp, "HTTP/1.1 404 Not Found\r\nX-A: b\r\nx-a: c\r\nContent-Length: 0\r\n\r\n");
    let answer = ask(&mut lp, ClientRequest::get(&url)).unwrap();
    assert_eq!((answer.status, answer.get("X-a"), answer.fields.len()), (404, Some(&b"b"[..]), 3));
}

/// Paused before there is a connection: the head comes, and nothing of the body.
#[test]
fn a_body_is_paused_before_it_comes() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", OK] {
        let mut lp = guarded();
        let url = script(&mut lp, move |s, _| {
            let _ = s.write(answer);
            if answer != OK {
                let key = s.key();
                s.after(Duration::from_millis(5), move |cx| {
                    let _ = cx.socket(key).write("ok");
                });
            }
        });
        let (log, results) = (Log::default(), Results::default());
        let key = lp.request(ClientRequest::get(&url), logged(&log, &results)).unwrap();
        lp.http_request(key).pause();
        turn_until(&mut lp, |_| log.has("head 200"));
        run_for(&mut lp, Duration::from_millis(20));
        assert_eq!(log.lines(), ["head 200"]);
        lp.http_request(key).resume();
        turn_until(&mut lp, |_| !results.borrow().is_empty());
        assert_eq!(log.lines(), ["head 200", "data ok", "end"]);
    }
}

/// A paused body stays with the server; the rest of what was read comes later.
#[test]
fn a_body_is_paused() {
    let mut lp = guarded();
    let url = always(
        &mut lp,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
    );
    let log = Log::default();
    let (data, end, close) = (log.clone(), log.clone(), log.clone());
    let on = OnResponse::new()
        .data(move |r, part| {
            data.add(String::from_utf8_lossy(part));
            r.pause();
        })
        .end(move |_| end.add("end"))
        .close(move |_, _| close.add("close"));
    let key = lp.request(ClientRequest::get(&url), on).unwrap();
    for seen in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
        turn_until(&mut lp, |_| log.lines().len() == seen.len());
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(log.lines(), seen);
        lp.http_request(key).resume();
    }
    turn_until(&mut lp, |_| log.has("close"));
    assert_eq!(log.lines(), ["a", "b", "c", "end", "close"]);
}
