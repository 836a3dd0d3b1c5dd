//! Requests that are wrong, servers that are not there, callbacks that panic.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{ClientEvent, RequestCause, RequestStage, ResponseHandler};
use tidegate::net::{Filter, FilterError, Passed};
use tidegate::observe::{Event, Moment, Observer};

use super::*;

#[test]
fn a_request_that_cannot_be_written() {
    let mut lp = guarded();
    let url = script(&mut lp, |_, _| panic!("nothing is sent"));
    let get = || ClientRequest::get(&url);
    for (request, text) in [
        (ClientRequest::get("tide"), "a URL without a scheme"),
        (ClientRequest::get("http://"), "a bad host in a URL"),
        (get().header("X", "a\r\nEvil: 1"), "a bad value of a field"),
        (get().header("X", "a\0"), "a bad value of a field"),
        (get().header("X y", "a"), "a bad name of a field"),
        (get().header("", "a"), "a bad name of a field"),
        (get().header("Content-Length", "1"), "fields that contradict the body's length"),
        (get().header("Transfer-Encoding", "gzip"), "fields that contradict the body's length"),
        (ClientRequest::new("GET /", &url), "a bad method or target"),
        (get().target("/ HTTP/1.1\r\nX: y\r\n\r\n"), "a bad method or target"),
        (get().target(""), "a bad method or target"),
        (ClientRequest::get("https://tide.example"), "the agent makes no secure connections"),
    ] {
        let failed = ask(&mut lp, request);
        assert_eq!(cause(&failed), text);
        assert_eq!(failed.unwrap_err().stage(), RequestStage::Start);
    }
}

#[test]
fn nobody_listens() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let at = closed_port();
    let results = Results::default();
    // Each failure ends one of them.
    for _ in 0..3 {
        fetch(&mut *lp, ClientRequest::get(&format!("http://{at}")).agent(agent), &results);
    }
    lp.run().unwrap();
    assert_eq!(results.borrow().len(), 3);
    for e in results.borrow_mut().drain(..).map(Result::unwrap_err) {
        assert_eq!(e.stage(), RequestStage::Connect);
        let RequestCause::Connection(reason) = e.cause() else { panic!("{e}") };
        assert_eq!(reason.error().unwrap().code(), Some("ECONNREFUSED"));
        assert!(
            e.to_string().starts_with(&format!("request to http://{at} failed getting a")),
            "{e}"
        );
        assert_eq!(std::io::Error::from(e).kind(), std::io::ErrorKind::ConnectionRefused);
    }
    let m = metrics(&mut lp, agent);
    assert_eq!((m.connect_failed, m.failed, m.open, m.origins), (3, 3, 0, 0));
}

/// A server that accepts each connection and ends it at once, before the loop sees that it is made.
#[test]
fn a_server_that_ends_each_connection_at_once() {
    for check_after in [Duration::from_secs(1), Duration::ZERO] {
        let mut lp = guarded();
        let agent = agent(&mut lp, Agent::new().check_after(check_after));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // The request begins in the pending phase; this comes behind it, before the poll.
        let hook = lp.cx().prepare(move |_, _| while listener.accept().is_ok() {});
        lp.cx().set_ref(hook, false).unwrap();
        let failed = ask(&mut lp, ClientRequest::get(&url).agent(agent));
        let e = failed.unwrap_err();
        assert!(![RequestStage::Start, RequestStage::Connect].contains(&e.stage()), "{e}");
        let m = metrics(&mut lp, agent);
        assert_eq!((m.connected, m.retried, m.open), (1, 0, 0), "{m:?}");
    }
}

#[test]
fn a_default_handler_reports_its_error() {
    let mut lp = guarded();
    lp.request(ClientRequest::get(&format!("http://{}", closed_port())), ()).unwrap();
    lp.run().unwrap();
    assert_eq!(lp.metrics().unhandled_errors, 1);
}

/// What a handler does in the callback of this name.
type Act = Rc<dyn Fn(&mut tidegate::http::RequestCx<'_>)>;

struct In(&'static str, Act, Log);

impl In {
    fn at(&self, name: &'static str, r: &mut tidegate::http::RequestCx<'_>) {
        self.2.add(name);
        if self.0 == name {
            (self.1)(r);
        }
    }
}

impl ResponseHandler for In {
    fn on_drain(&mut self, r: &mut tidegate::http::RequestCx<'_>) {
        self.at("drain", r);
        r.end();
    }
    fn on_informational(
        &mut self,
        r: &mut tidegate::http::RequestCx<'_>,
        _: &tidegate::http::codec::ResponseHead<'_>,
    ) {
        self.at("informational", r);
    }
    fn on_head(
        &mut self,
        r: &mut tidegate::http::RequestCx<'_>,
        _: &tidegate::http::codec::ResponseHead<'_>,
    ) {
        self.at("head", r);
    }
    fn on_data(&mut self, r: &mut tidegate::http::RequestCx<'_>, _: &[u8]) {
        self.at("data", r);
    }
    fn on_trailers(
        &mut self,
        r: &mut tidegate::http::RequestCx<'_>,
        _: &tidegate::http::codec::FieldList<'_>,
    ) {
        self.at("trailers", r);
    }
    fn on_end(&mut self, r: &mut tidegate::http::RequestCx<'_>) {
        self.at("end", r);
    }
    fn on_close(
        &mut self,
        _: &mut Cx<'_>,
        _: tidegate::http::RequestKey,
        result: Result<Answered, RequestError>,
    ) {
        self.2.add(match result {
            Ok(_) => "close".to_owned(),
            Err(e) => format!("close: {}", e.cause()),
        });
    }
}

const EVERYTHING: &str = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n";

const CALLBACKS: [&str; 6] = ["drain", "informational", "head", "data", "trailers", "end"];

/// Makes a request whose handler does this in one callback, and then one that must succeed.
fn acting(lp: &mut Loop, name: &'static str, act: Act) -> Vec<String> {
    let agent = agent(lp, Agent::new().max_sockets(1));
    let url = always(lp, EVERYTHING);
    let log = Log::default();
    let request = ClientRequest::post(&url).agent(agent).streamed(None);
    lp.request(request, In(name, act, log.clone())).unwrap();
    let closed = |log: &Log| log.lines().last().is_some_and(|l| l.starts_with("close"));
    let end = std::time::Instant::now() + DEADLINE;
    while !closed(&log) {
        assert!(std::time::Instant::now() < end, "{:?}", log.lines());
        // A panic comes out of the run.
        let _ = catch_unwind(AssertUnwindSafe(|| lp.run_once().unwrap()));
    }
    let answer = ask(lp, ClientRequest::get(&url).agent(agent));
    assert_eq!(body(&answer), "a", "after {:?}", log.lines());
    log.lines()
}

#[test]
fn a_callback_ends_its_request() {
    for (n, name) in CALLBACKS.into_iter().enumerate() {
        let mut lp = guarded();
        let lines = acting(&mut lp, name, Rc::new(|r| r.destroy()));
        let mut expected = CALLBACKS[..=n].to_vec();
        expected.push("close: destroyed");
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_callback_panics() {
    for (n, name) in CALLBACKS.into_iter().enumerate() {
        let mut lp = guarded();
        let act: Act = Rc::new(|_| std::panic::resume_unwind(Box::new("a panic")));
        let lines = acting(&mut lp, name, act);
        let mut expected = CALLBACKS[..=n].to_vec();
        expected.push("close: a callback panicked");
        assert_eq!(lines, expected);
    }
}

/// Everything else that may be called in a callback, there or later, changes nothing.
#[test]
fn callbacks_may_call_anything() {
    for name in CALLBACKS {
        let mut lp = guarded();
        let act: Act = Rc::new(|r| {
            r.pause();
            r.resume();
            assert!(r.upgrade(On::new()).is_none());
            assert!(r.state().is_ok());
            if let Ok(key) =
                r.request(ClientRequest::get("nowhere"), OnResponse::new().close(|_, _| {}))
            {
                r.http_request(key).destroy();
                assert_eq!(r.http_request(key).write("x"), Flow::Closed);
            }
        });
        let lines = acting(&mut lp, name, act);
        assert_eq!(lines[..6], CALLBACKS);
        assert_eq!(lines[6], "close");
    }
}

/// In place of a filter of TLS.
struct Xor(u8);

impl Filter for Xor {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend(wire.iter().map(|b| b ^ self.0));
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend(user.iter().map(|b| b ^ self.0));
        Ok(user.len())
    }
}

#[test]
fn a_secure_origin_has_a_filter() {
    let mut lp = guarded();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").filter(|| Xor(7)), |conn| {
            conn.accept(
                On::new()
                    .data(|s, bytes| {
                        assert!(bytes.starts_with(b"GET / HTTP/1.1\r\n"));
                        let _ = s.write(OK);
                    })
                    .close(|_, _| {}),
            );
        })
        .unwrap();
    lp.cx().set_ref(server, false).unwrap();
    let port = lp.server(server).local_addr().unwrap().port();
    let agent = agent(
        &mut lp,
        Agent::new().secure(|origin, options| {
            assert!(origin.is_secure() && origin.host() == "127.0.0.1");
            options.filter(|| Xor(7))
        }),
    );
    for reused in [false, true] {
        let request = ClientRequest::get(&format!("https://127.0.0.1:{port}")).agent(agent);
        let answer = ask(&mut lp, request);
        assert_eq!(body(&answer), "ok");
        assert_eq!(answer.unwrap().totals.reused, reused);
    }
}

/// Names are looked up, and addresses chosen, as the agent's user wants it.
#[test]
fn connections_are_made_as_the_user_wants() {
    let mut lp = guarded();
    let url = always(&mut lp, OK);
    let port = url.rsplit(':').next().unwrap().to_owned();
    let agent = agent(
        &mut lp,
        Agent::new().connect(|origin, options| {
            assert_eq!(origin.host(), "tide.example");
            options.lookup(|cx, _, answer| answer.give(cx, Ok(vec!["127.0.0.1".parse().unwrap()])))
        }),
    );
    let request = ClientRequest::get(&format!("http://tide.example:{port}")).agent(agent);
    assert_eq!(body(&ask(&mut lp, request)), "ok");
}

#[test]
fn a_panic_where_a_connection_is_made() {
    let mut lp = guarded();
    let agent =
        agent(&mut lp, Agent::new().connect(|_, _| std::panic::resume_unwind(Box::new("a panic"))));
    let results = Results::default();
    fetch(&mut *lp, ClientRequest::get("http://127.0.0.1:1").agent(agent), &results);
    fetch(&mut *lp, ClientRequest::get("http://127.0.0.1:2").agent(agent), &results);
    let end = std::time::Instant::now() + DEADLINE;
    while results.borrow().len() < 2 {
        assert!(std::time::Instant::now() < end);
        let _ = catch_unwind(AssertUnwindSafe(|| lp.run_nowait().unwrap()));
    }
    assert_eq!(cause(&results.borrow()[0]), "a callback panicked");
    assert_eq!(metrics(&mut lp, agent).open, 0);
}

/// Notes the events of requests.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Observer for Notes {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        if let Event::Layer(e) = event {
            if let Some(e) = e.as_any().downcast_ref::<ClientEvent>() {
                let mut fields = Vec::new();
                tidegate::observe::LayerEvent::fields(e, &mut |name, _| fields.push(name));
                let text = e.to_string();
                self.0.borrow_mut().push(text.split(" after").next().unwrap().to_owned());
                assert_eq!(fields[0], "request");
            }
        }
    }
}

#[test]
fn observers_see_requests() {
    let mut lp = guarded();
    let notes = Notes::default();
    lp.observe(notes.clone());
    let url = script(&mut lp, |s, asked| {
        if (asked.conn, asked.nth) == (0, 1) {
            return s.destroy();
        }
        let _ = s.write(OK);
    });
    for _ in 0..2 {
        ask(&mut lp, ClientRequest::get(&url)).unwrap();
    }
    ask(&mut lp, ClientRequest::get("x")).unwrap_err();
    let expected = [
        "request waiting",
        "request sent on a new connection",
        "answer begun: 200",
        "request answered: 200, 2 bytes,",
        "request sent on a connection used before",
        "request retried",
        "request waiting",
        "request sent on a new connection",
        "answer begun: 200",
        "request answered: 200, 2 bytes,",
        "request failed: request failed: a URL without a scheme",
    ];
    assert_eq!(*notes.0.borrow(), expected);
}
