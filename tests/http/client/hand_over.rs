//! Another protocol takes the connection: after 101, and after CONNECT.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// Upgrades when it may, and leaves what the new handler gets.
fn upgrading(got: &Rc<RefCell<String>>, to: &Results<Answered>) -> OnResponse {
    let (got, to) = (got.clone(), to.clone());
    OnResponse::new()
        .head(move |r, head| {
            if head.upgrade {
                let got = got.clone();
                let on = On::new()
                    .data(move |s, bytes| {
                        got.borrow_mut().push_str(std::str::from_utf8(bytes).unwrap());
                        let _ = s.write("pong ");
                    })
                    .close(|_, _| {});
                assert!(r.upgrade(on).is_some());
                assert!(r.upgrade(On::new()).is_none());
            }
        })
        .close(move |_, result| to.borrow_mut().push(result))
}

/// The server's next protocol begins in the segment of its answer.
fn switching(lp: &mut Loop, answer: &'static str, seen: &Rc<RefCell<String>>) -> String {
    let seen = seen.clone();
    script(lp, move |s, asked| {
        seen.borrow_mut().push_str(&asked.head);
        let _ = s.write(answer);
        let seen = seen.clone();
        s.set_handler(
            On::new()
                .data(move |_, bytes| {
                    seen.borrow_mut().push_str(std::str::from_utf8(bytes).unwrap());
                })
                .close(|_, _| {}),
        );
    })
}

#[test]
fn an_upgrade_gives_the_connection_and_what_came_already() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let (seen, got, results) = (Rc::default(), Rc::default(), Results::default());
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tide\r\nConnection: upgrade\r\n\r\nping ";
    let url = switching(&mut lp, answer, &seen);
    let request = ClientRequest::get(&url).agent(agent).upgrade("tide");
    lp.request(request, upgrading(&got, &results)).unwrap();
    turn_until(&mut lp, |_| seen.borrow().ends_with("pong ") && !results.borrow().is_empty());
    assert_eq!(*got.borrow(), "ping ");
    assert!(seen.borrow().contains("\r\nUpgrade: tide\r\nConnection: upgrade\r\n"));
    let done = results.borrow()[0].as_ref().unwrap().to_owned();
    assert!(done.upgraded && done.status == 101);
    assert_eq!(metrics(&mut lp, agent).open, 0);
}

/// What was set for the request does not stop the next protocol.
#[test]
fn an_upgrade_of_a_request_that_is_paused() {
    let mut lp = guarded();
    let (seen, got) = (Rc::default(), Rc::new(RefCell::new(String::new())));
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tide\r\nConnection: upgrade\r\n\r\nping ";
    let url = switching(&mut lp, answer, &seen);
    let to = got.clone();
    let on = OnResponse::new().head(move |r, _| {
        r.pause();
        let to = to.clone();
        let on = On::new().data(move |s, bytes| {
            to.borrow_mut().push_str(std::str::from_utf8(bytes).unwrap());
            s.end();
        });
        assert!(r.upgrade(on.close(|_, _| {})).is_some());
    });
    lp.request(ClientRequest::get(&url).upgrade("tide"), on).unwrap();
    turn_until(&mut lp, |_| *got.borrow() == "ping ");
}

#[test]
fn a_tunnel() {
    let mut lp = guarded();
    let (seen, got, results) = (Rc::default(), Rc::default(), Results::default());
    // A length in an answer to CONNECT means nothing.
    let answer = "HTTP/1.1 200 Connection established\r\nContent-Length: 99\r\n\r\nping ";
    let url = switching(&mut lp, answer, &seen);
    let request = ClientRequest::connect(&url, "tide.example:22");
    lp.request(request, upgrading(&got, &results)).unwrap();
    turn_until(&mut lp, |_| seen.borrow().ends_with("pong "));
    assert!(seen.borrow().starts_with("CONNECT tide.example:22 HTTP/1.1\r\n"));
    assert_eq!(*got.borrow(), "ping ");
}

#[test]
fn a_server_that_does_not_switch_answers() {
    let mut lp = guarded();
    let (got, results) = (Rc::default(), Results::default());
    let url = always(&mut lp, OK);
    for (request, reused) in
        [(ClientRequest::get(&url).upgrade("tide"), false), (ClientRequest::get(&url), true)]
    {
        lp.request(request, upgrading(&got, &results)).unwrap();
        turn_until(&mut lp, |_| !results.borrow().is_empty());
        let done = results.borrow_mut().pop().unwrap().unwrap();
        assert_eq!((done.upgraded, done.status, done.reused), (false, 200, reused));
    }
    assert_eq!(*got.borrow(), "");
}

#[test]
fn a_switch_without_a_request_for_it_or_without_a_handler() {
    let mut lp = guarded();
    let url = always(&mut lp, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tide\r\n\r\nping");
    let text = "another protocol, and no handler for it";
    assert_eq!(cause(&ask(&mut lp, ClientRequest::get(&url))), text);
    assert_eq!(cause(&ask(&mut lp, ClientRequest::get(&url).upgrade("tide"))), text);
    let (got, results) = (Rc::default(), Results::default());
    lp.request(ClientRequest::get(&url), {
        let to: Results<Answered> = results.clone();
        let _: &Rc<RefCell<String>> = &got;
        OnResponse::new()
            .head(|r, head| assert!(head.upgrade && r.upgrade(On::new()).is_none()))
            .close(move |_, result| to.borrow_mut().push(result))
    })
    .unwrap();
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    assert_eq!(results.borrow()[0].as_ref().unwrap_err().cause().to_string(), text);
}

/// The program gives the connection of a request to a handler by its key, and not by `upgrade`: the
/// request ends, and never finds a later connection in the same place.
#[test]
fn a_connection_that_is_taken_from_its_request() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let (seen, results) = (Rc::new(RefCell::new(0)), Results::default());
    let count = seen.clone();
    let url = script(&mut lp, move |s, asked| {
        *count.borrow_mut() += 1;
        if asked.conn == 1 {
            let _ = s.write(OK);
        }
    });
    let request = ClientRequest::post(&url).agent(agent).streamed(Some(100));
    let key = lp.request(request, logged(&Log::default(), &results)).unwrap();
    turn_until(&mut lp, |lp| lp.http_request(key).socket_key().is_some());
    let socket = lp.http_request(key).socket_key().unwrap();
    lp.socket(socket).set_handler(On::new().close(|_, _| {}));
    assert_eq!(lp.http_request(key).write("tide"), Flow::Closed);
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    let e = results.borrow_mut().pop().unwrap().unwrap_err();
    assert_eq!(e.cause().to_string(), "the connection ended before the answer did");
    assert_eq!(metrics(&mut lp, agent).open, 0);
    assert_eq!(body(&ask(&mut lp, ClientRequest::get(&url).agent(agent))), "ok");
    assert_eq!(*seen.borrow(), 1, "nothing of the first request came");
}
