//! Requests of clients, and the agent. The servers are scripts: what they answer to a request is
//! said by the test, byte by byte.

mod agent_close;
mod bodies;
mod deadlines;
mod failures;
mod framing;
mod hand_over;
mod limits;
mod pipes;
mod reuse;
mod stale;

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::http::{
    Agent, AgentKey, AgentMetrics, Answer, Answered, ClientRequest, HttpClient, OnResponse,
    RequestError, Timeouts,
};
use tidegate::prelude::*;

use crate::support::*;

/// What a script got: the number of the connection, and of the request on it, from 0.
pub(crate) struct Asked {
    pub(crate) conn: usize,
    pub(crate) nth: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn has(&self, field: &str) -> bool {
        let lower = field.to_ascii_lowercase();
        self.head.to_ascii_lowercase().lines().any(|line| line == lower)
    }
}

/// The length of the first request of these bytes, and where its body begins.
fn request_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let head = text.find("\r\n\r\n")? + 4;
    if text[..head].contains("transfer-encoding: chunked") {
        let end = text[head..].find("0\r\n\r\n")? + 5;
        return Some((head + end, head));
    }
    let length = text[..head].lines().find_map(|l| l.strip_prefix("content-length: "));
    let all = head + length.map_or(0, |n| n.parse::<usize>().unwrap());
    (bytes.len() >= all).then_some((all, head))
}

/// A server that calls `f` for each whole request. It is closed with the loop.
pub(crate) fn script(lp: &mut Loop, f: impl FnMut(&mut SocketCx<'_>, Asked) + 'static) -> String {
    let (f, mut conns) = (Rc::new(RefCell::new(f)), 0);
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let (f, number) = (f.clone(), conns);
            conns += 1;
            let (mut got, mut nth) = (Vec::new(), 0);
            let on = On::new()
                .data(move |s, bytes| {
                    got.extend_from_slice(bytes);
                    while let Some((all, at)) = request_len(&got) {
                        let request: Vec<u8> = got.drain(..all).collect();
                        let head = String::from_utf8(request[..at].to_vec()).unwrap();
                        let body = request[at..].to_vec();
                        (f.borrow_mut())(s, Asked { conn: number, nth, head, body });
                        nth += 1;
                    }
                })
                .close(|_, _| {});
            let key = conn.accept(on).key();
            let _ = key;
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    format!("http://{}", lp.server(server).local_addr().unwrap())
}

/// The same answer to each request.
pub(crate) fn always(lp: &mut Loop, answer: &'static str) -> String {
    script(lp, move |s, _| {
        let _ = s.write(answer);
    })
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Results that callbacks leave.
pub(crate) type Results<T> = Rc<RefCell<Vec<Result<T, RequestError>>>>;

/// Fetches, and leaves the result.
pub(crate) fn fetch(cx: &mut impl AsCx, request: ClientRequest, to: &Results<Answer>) {
    let to = to.clone();
    cx.cx().fetch(request, 1 << 20, move |_, result| to.borrow_mut().push(result)).unwrap();
}

/// Fetches and waits for the answer.
pub(crate) fn ask(lp: &mut Loop, request: ClientRequest) -> Result<Answer, RequestError> {
    let results = Results::default();
    fetch(lp, request, &results);
    turn_until(lp, |_| !results.borrow().is_empty());
    results.take().pop().unwrap()
}

pub(crate) fn body(answer: &Result<Answer, RequestError>) -> &str {
    std::str::from_utf8(&answer.as_ref().unwrap().body).unwrap()
}

pub(crate) fn cause(result: &Result<Answer, RequestError>) -> String {
    result.as_ref().unwrap_err().cause().to_string()
}

/// An agent with these options, and a request for it.
pub(crate) fn agent(lp: &mut Loop, options: Agent) -> AgentKey {
    lp.http_agent(options).unwrap()
}

pub(crate) fn metrics(lp: &mut Loop, agent: AgentKey) -> AgentMetrics {
    lp.agent_metrics(agent).unwrap()
}

/// A handler that writes a log, and leaves the result.
pub(crate) fn logged(log: &Log, to: &Results<Answered>) -> OnResponse {
    let (head, data, end, trailers, inform) =
        (log.clone(), log.clone(), log.clone(), log.clone(), log.clone());
    let to = to.clone();
    OnResponse::new()
        .informational(move |_, h| inform.add(format!("inform {}", h.status)))
        .head(move |_, h| head.add(format!("head {}", h.status)))
        .data(move |_, part| data.add(format!("data {}", String::from_utf8_lossy(part))))
        .trailers(move |_, f| trailers.add(format!("trailers {f:?}")))
        .end(move |_| end.add("end"))
        .close(move |_, result| to.borrow_mut().push(result))
}

pub(crate) fn millis(connect: u64, head: u64, idle: u64, total: u64) -> Timeouts {
    use std::time::Duration;
    let [connect, head, idle, total] = [connect, head, idle, total].map(Duration::from_millis);
    Timeouts { connect, head, idle, total }
}
