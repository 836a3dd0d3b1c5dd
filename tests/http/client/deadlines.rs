//! Each deadline names itself, and its stage.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{Deadline, RequestCause, RequestStage};

use super::*;

#[track_caller]
fn timed_out(result: Result<Answer, RequestError>) -> (RequestStage, Deadline) {
    let e = result.unwrap_err();
    let RequestCause::TimedOut(which, after) = *e.cause() else { panic!("{e}") };
    assert!(e.elapsed() >= after, "{e} came early, after {:?}", e.elapsed());
    (e.stage(), which)
}

#[test]
fn http_74_connect() {
    let Some((listener, _fill)) = silent() else { return };
    let mut lp = guarded();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let request = ClientRequest::get(&url).timeouts(millis(30, 1, 1, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Connect, Deadline::Connect));
}

/// The time in which it waits for others counts.
#[test]
fn http_74_connect_while_it_waits() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(1));
    let url = script(&mut lp, |_, _| {});
    let first = lp.fetch(ClientRequest::get(&url).agent(agent), 10, |_, _| {}).unwrap();
    let request = ClientRequest::get(&url).agent(agent).timeouts(millis(30, 0, 0, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Connect, Deadline::Connect));
    assert_eq!(metrics(&mut lp, agent).waiting, 0);
    lp.http_request(first).destroy();
}

#[test]
fn http_74_head() {
    let mut lp = guarded();
    let url = script(&mut lp, |_, _| {});
    let request = ClientRequest::get(&url).timeouts(millis(5000, 20, 0, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Head, Deadline::Head));
    // Half of a head is no head, and no progress either.
    let url = script(&mut lp, |s, _| drip(s, "HTTP/1.1 200 OK\r\nX: ", 1000));
    let request = ClientRequest::get(&url).timeouts(millis(5000, 40, 0, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Head, Deadline::Head));
}

/// Writes this, and then a byte each 5 ms.
fn drip(s: &mut SocketCx<'_>, first: &'static str, left: u32) {
    let key = s.key();
    if s.write(first) == Flow::Closed || left == 0 {
        return;
    }
    s.after(Duration::from_millis(5), move |cx| drip(&mut cx.socket(key), "x", left - 1));
}

#[test]
fn http_74_idle_while_it_is_answered() {
    let mut lp = guarded();
    let url = always(&mut lp, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok");
    let request = ClientRequest::get(&url).timeouts(millis(5000, 5000, 30, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Body, Deadline::Idle));
}

#[test]
fn http_74_idle_while_it_is_sent() {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |conn| conn.accept(On::new().close(|_, _| {})).pause());
    let server = server.unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let url = format!("http://{}", lp.server(server).local_addr().unwrap());
    let request =
        ClientRequest::post(&url).body(vec![0; 64 << 20]).timeouts(millis(5000, 1, 50, 0));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Send, Deadline::Idle));
}

#[test]
fn http_74_total() {
    let mut lp = guarded();
    // Bytes move, and the end does not come.
    let url = script(&mut lp, |s, _| {
        drip(s, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 1000);
    });
    let request = ClientRequest::get(&url).timeouts(millis(5000, 5000, 5000, 60));
    assert_eq!(timed_out(ask(&mut lp, request)), (RequestStage::Body, Deadline::Total));
}

/// Slowly, but never idle for long: no deadline passes.
#[test]
fn a_slow_answer_is_an_answer() {
    let (mut lp, clock) = scripted();
    let peer = Rc::new(Cell::new(None));
    let keep = peer.clone();
    let url = script(&mut lp, move |s, _| {
        keep.set(Some(s.key()));
        let _ = s.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    });
    let (log, results) = (Log::default(), Results::default());
    let request = ClientRequest::get(&url).timeouts(millis(30, 30, 30, 0));
    lp.request(request, logged(&log, &results)).unwrap();
    poll_until(&mut lp, |_| log.has("head 200"));
    for n in 0..9 {
        clock.advance(Duration::from_millis(20));
        let _ = lp.socket(peer.get().unwrap()).write("x");
        poll_until(&mut lp, |_| log.lines().len() > n + 1);
    }
    poll_until(&mut lp, |_| !results.borrow().is_empty());
    assert_eq!(results.borrow()[0].as_ref().unwrap().body, 9);
}

/// While the user pauses, the server is not to blame.
#[test]
fn the_idle_deadline_does_not_run_while_the_body_is_paused() {
    let mut lp = guarded();
    let url = always(&mut lp, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok");
    let results = Results::default();
    let to = results.clone();
    let on = OnResponse::new()
        .head(|r, _| {
            r.pause();
            let key = r.key();
            r.after(Duration::from_millis(100), move |cx| cx.http_request(key).resume());
        })
        .close(move |_, result| to.borrow_mut().push(result));
    lp.request(ClientRequest::get(&url).timeouts(millis(0, 0, 30, 0)), on).unwrap();
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    let e = results.borrow_mut().pop().unwrap().unwrap_err();
    assert!(matches!(e.cause(), RequestCause::TimedOut(Deadline::Idle, _)), "{e}");
    assert!(e.elapsed() >= Duration::from_millis(130), "{:?}", e.elapsed());
}
