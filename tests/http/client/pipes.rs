//! Bodies as ends of pipes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate::http::{RequestBody, ResponseBody};
use tidegate::stream::{PipeError, Streams};

use super::*;

/// The other side of a connection, once it is accepted.
type Peer = Rc<Cell<Option<SocketKey>>>;

type Ends = Rc<RefCell<Vec<Result<(), PipeError>>>>;

fn end_of(ends: &Ends) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static {
    let ends = ends.clone();
    move |_, result| ends.borrow_mut().push(result)
}

/// A server that answers with so many bytes, at the pace of who reads.
fn large(lp: &mut Loop, len: usize) -> String {
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let left = Rc::new(Cell::new(len));
            let pump = move |s: &mut SocketCx<'_>| {
                while left.get() > 0 {
                    let n = left.get().min(60_000);
                    left.set(left.get() - n);
                    if s.write(vec![b'x'; n]) != Flow::Ready {
                        return;
                    }
                }
            };
            let again = pump.clone();
            conn.accept(
                On::new()
                    .data(move |s, _| {
                        let _ =
                            s.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n"));
                        pump(s);
                    })
                    .drain(again)
                    .close(|_, _| {}),
            );
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    format!("http://{}", lp.server(server).local_addr().unwrap())
}

/// Where a pipe ends: a connection whose peer counts, and reads when the test says so.
fn counting(lp: &mut Loop, paused: bool) -> (SocketKey, Rc<Cell<usize>>, Peer) {
    let (count, peer) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
    let (to, key) = (count.clone(), peer.clone());
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let to = to.clone();
            let mut s = conn
                .accept(On::new().data(move |_, b| to.set(to.get() + b.len())).close(|_, _| {}));
            key.set(Some(s.key()));
            if paused {
                s.pause();
            }
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let sink = lp.connect(at, On::new().close(|_, _| {}));
    (sink, count, peer)
}

#[test]
fn an_answer_is_piped_at_the_pace_of_its_sink() {
    const LEN: usize = 40 << 20;
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = large(&mut lp, LEN);
    let (sink, count, peer) = counting(&mut lp, true);
    let (ends, results) = (Ends::default(), Results::default());
    let (done, to) = (end_of(&ends), results.clone());
    let on = OnResponse::new().close(move |_, r| to.borrow_mut().push(r));
    let key = lp.request(ClientRequest::get(&url).agent(agent), on).unwrap();
    lp.pipe(ResponseBody(key), sink, done).unwrap();
    // Full: the connection of the request reads nothing more.
    turn_until(&mut lp, |lp| {
        let socket = lp.http_request(key).socket_key();
        socket.is_some_and(|s| lp.socket(s).is_paused())
    });
    let socket = lp.http_request(key).socket_key().unwrap();
    let read = lp.socket(socket).bytes_read();
    for _ in 0..20 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(lp.socket(socket).bytes_read(), read);
    assert!(read < LEN as u64 / 2 && lp.socket(sink).buffered() < 1 << 20);
    assert!(results.borrow().is_empty());
    lp.socket(peer.get().unwrap()).resume();
    turn_until(&mut lp, |_| ends.borrow().len() == 1 && results.borrow().len() == 1);
    assert!(ends.borrow()[0].is_ok());
    assert_eq!(results.borrow()[0].as_ref().unwrap().body, LEN as u64);
    turn_until(&mut lp, |_| count.get() == LEN);
    // The pipe has paused the connection, and yet it is used again.
    assert_eq!(metrics(&mut lp, agent).free, 1);
}

/// A server that reads nothing of a body until the test says so, then answers with its length.
#[test]
fn a_request_is_piped_at_the_pace_of_the_server() {
    const LEN: usize = 20 << 20;
    let mut lp = guarded();
    let peer = Rc::new(Cell::new(None));
    let keep = peer.clone();
    let mut body_bytes = 0;
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let keep = keep.clone();
            let on = On::new()
                .data(move |s, bytes| {
                    body_bytes += bytes.len();
                    if keep.get().is_none() {
                        keep.set(Some(s.key()));
                        s.pause();
                    }
                    if bytes.ends_with(b"0\r\n\r\n") {
                        let text = (body_bytes > LEN).to_string();
                        let n = text.len();
                        let _ = s
                            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{text}"));
                    }
                })
                .close(|_, _| {});
            conn.accept(on);
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let url = format!("http://{}", lp.server(server).local_addr().unwrap());
    let source = large(&mut lp, LEN);
    let (ends, log, results) = (Ends::default(), Log::default(), Results::default());
    let to = lp.request(ClientRequest::post(&url).streamed(None), logged(&log, &results)).unwrap();
    let from = lp.request(ClientRequest::get(&source), ()).unwrap();
    lp.pipe(ResponseBody(from), RequestBody(to), end_of(&ends)).unwrap();
    turn_until(&mut lp, |lp| {
        let socket = lp.http_request(from).socket_key();
        peer.get().is_some() && socket.is_some_and(|s| lp.socket(s).is_paused())
    });
    let socket = lp.http_request(to).socket_key().unwrap();
    assert!(lp.socket(socket).buffered() < 1 << 20);
    lp.socket(peer.get().unwrap()).resume();
    turn_until(&mut lp, |_| ends.borrow().len() == 1 && results.borrow().len() == 1);
    assert!(ends.borrow()[0].is_ok(), "{:?}", ends.borrow());
    assert_eq!(log.lines(), ["head 200", "data true", "end"]);
}

#[test]
fn a_pipe_gets_the_error_of_its_request() {
    let mut lp = guarded();
    let url = script(&mut lp, |s, _| {
        let _ = s.end_with("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    });
    let (sink, ..) = counting(&mut lp, false);
    let ends = Ends::default();
    let key = lp.request(ClientRequest::get(&url), ()).unwrap();
    lp.pipe(ResponseBody(key), sink, end_of(&ends)).unwrap();
    turn_until(&mut lp, |_| ends.borrow().len() == 1);
    let text = ends.borrow()[0].as_ref().unwrap_err().to_string();
    assert!(text.contains("the connection ended before the answer did"), "{text}");
    // The pipe got the error: it is not unhandled.
    assert_eq!(lp.metrics().unhandled_errors, 0);
}

#[test]
fn a_request_ends_with_the_sink_of_its_answer() {
    let mut lp = guarded();
    let url = large(&mut lp, 40 << 20);
    let (sink, _, peer) = counting(&mut lp, true);
    let (ends, results) = (Ends::default(), Results::default());
    let to: Results<Answered> = results.clone();
    let on = OnResponse::new().close(move |_, r| to.borrow_mut().push(r));
    let key = lp.request(ClientRequest::get(&url), on).unwrap();
    lp.pipe(ResponseBody(key), sink, end_of(&ends)).unwrap();
    turn_until(&mut lp, |lp| peer.get().is_some() && lp.http_request(key).socket_key().is_some());
    lp.socket(peer.get().unwrap()).reset();
    turn_until(&mut lp, |_| ends.borrow().len() == 1 && results.borrow().len() == 1);
    let e = results.borrow_mut().pop().unwrap().unwrap_err();
    assert!(e.is_piped() && e.to_string().contains("its pipe broke"), "{e}");
}

#[test]
fn ends_that_cannot_be_piped() {
    let mut lp = guarded();
    let url = script(&mut lp, |_, _| {});
    let (sink, ..) = counting(&mut lp, false);
    let ends = Ends::default();
    // It has no streamed body.
    let whole = lp.request(ClientRequest::post(&url).body("x"), OnResponse::new().close(|_, _| {}));
    let from = lp.request(ClientRequest::get(&url), OnResponse::new().close(|_, _| {})).unwrap();
    lp.pipe(ResponseBody(from), RequestBody(whole.unwrap()), end_of(&ends)).unwrap();
    turn_until(&mut lp, |_| ends.borrow().len() == 1);
    assert!(ends.borrow()[0].is_err());
    // It is over.
    lp.pipe(ResponseBody(from), sink, end_of(&ends)).unwrap();
    turn_until(&mut lp, |_| ends.borrow().len() == 2);
    assert!(ends.borrow()[1].is_err());
}
