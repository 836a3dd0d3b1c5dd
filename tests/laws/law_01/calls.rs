//! One test for each public function that takes a callback: it is called from inside a callback
//! and from outside, undone or replaced at once, and neither has run nor is dropped when
//! the call returns.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::event::Interest;
use tidegate::http::{
    Agent, Answered, ClientRequest, Exchange, Head, Http, HttpClient, HttpHandler, HttpOptions,
    RequestError, RequestKey, ResponseHandler,
};
use tidegate::net::{Filter, FilterError, Passed, Protocol};
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::pipe_ends::*;
use crate::support::*;

/// Goes into a callback; tells whether that ran or was dropped.
#[derive(Default)]
struct Fate {
    ran: Cell<bool>,
    dropped: Cell<bool>,
}

struct Probe(Rc<Fate>);

impl Probe {
    fn ran(&self) {
        self.0.ran.set(true);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.dropped.set(true);
    }
}

impl Handler for Probe {}

impl ResponseHandler for Probe {
    fn on_close(&mut self, _: &mut Cx<'_>, _: RequestKey, _: Result<Answered, RequestError>) {}
}

impl HttpHandler for Probe {
    fn on_request(&mut self, _: &Head<'_>, _: Exchange<'_>) {
        self.ran();
    }
}

impl ServerHandler for Probe {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        self.ran();
        conn.reject();
    }
}

impl Observer for Probe {
    fn event(&mut self, _: &Moment, _: &Event<'_>) {}
}

impl Filter for Probe {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(user.len())
    }
}

/// `call` gets a probe, uses it, and takes it back; from outside of a run, and inside.
fn check(call: impl Fn(&mut Cx<'_>, Probe) + 'static) {
    let call = Rc::new(move |cx: &mut Cx<'_>, fate: &Rc<Fate>| {
        call(cx, Probe(fate.clone()));
        assert!(!fate.ran.get(), "ran inside the call");
        assert!(!fate.dropped.get(), "dropped inside the call");
    });
    for inside in [false, true] {
        let mut lp = guarded();
        let fate = Rc::new(Fate::default());
        if inside {
            let (call, fate) = (call.clone(), fate.clone());
            lp.next_tick(move |cx| call(cx, &fate));
        } else {
            call(&mut lp.cx(), &fate);
        }
        lp.run().unwrap();
        assert!(fate.dropped.get(), "dropped after the callback, inside: {inside}");
        assert!(!fate.ran.get());
        assert_eq!(handles(&lp), 0);
    }
}

#[test]
fn timer() {
    check(|cx, probe| {
        let key = cx.timer(Duration::ZERO, move |_, _| probe.ran());
        cx.timer_reset(key, Duration::ZERO).unwrap();
        cx.timer_stop(key).unwrap();
    });
}

#[test]
fn after() {
    check(|cx, probe| {
        let key = cx.after(Duration::ZERO, move |_| probe.ran());
        cx.timer_reset(key, Duration::ZERO).unwrap();
        cx.timer_stop(key).unwrap();
    });
}

#[test]
fn interval() {
    check(|cx, probe| {
        let key = cx.interval(Duration::ZERO, move |_, _| probe.ran());
        cx.timer_again(key).unwrap();
        cx.close(key).unwrap();
    });
}

#[test]
fn hooks() {
    check(|cx, probe| {
        let key = cx.idle(move |_, _| probe.ran());
        cx.close(key).unwrap();
    });
    check(|cx, probe| {
        let key = cx.prepare(move |_, _| probe.ran());
        cx.close(key).unwrap();
    });
    check(|cx, probe| {
        let key = cx.check(move |_, _| probe.ran());
        cx.close(key).unwrap();
    });
}

#[test]
fn close_all() {
    check(|cx, probe| {
        cx.prepare(move |_, _| probe.ran());
        cx.close_all();
        // The guard of the test went with it.
        let timer = cx.timer(DEADLINE, |_, _| panic!("the deadline passed"));
        cx.set_ref(timer, false).unwrap();
    });
}

#[cfg(unix)]
#[test]
fn watch() {
    check(|cx, probe| {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let source = tidegate::event::Fd::new(ours).unwrap();
        let key = cx.watch(source, Interest::WRITABLE, move |_, _, _, _| probe.ran()).unwrap();
        cx.watch_for(key, Interest::READABLE).unwrap();
        cx.close(key).unwrap();
    });
}

#[cfg(unix)]
#[test]
fn signal() {
    check(|cx, probe| {
        let key = cx.signal(tidegate::signals::SIGUSR2, move |_, _, _| probe.ran()).unwrap();
        cx.close(key).unwrap();
    });
    check(|cx, probe| {
        let key = cx.signal_once(tidegate::signals::SIGUSR2, move |_, _, _| probe.ran()).unwrap();
        cx.close(key).unwrap();
    });
    check(|cx, probe| {
        assert!(cx.signal(0, move |_, _, _| probe.ran()).is_err());
    });
}

#[test]
fn http_servers() {
    check(|cx, probe| {
        let server = cx.http_serve("127.0.0.1:0", HttpOptions::new(), probe).unwrap();
        cx.server(server).close().unwrap();
    });
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", On::new());
        cx.http_attach(key, HttpOptions::new(), probe).unwrap();
        cx.socket(key).set_handler(On::new());
        cx.socket(key).destroy();
    });
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", On::new());
        cx.socket(key).destroy();
        assert!(cx.http_attach(key, HttpOptions::new(), probe).is_err());
    });
}

#[test]
fn http_requests() {
    let get = || ClientRequest::get("http://127.0.0.1:1");
    check(move |cx, probe| {
        let agent = cx.http_agent(Agent::new()).unwrap();
        let key = cx.request(get().agent(agent), probe).unwrap();
        let mut r = cx.http_request(key);
        r.pause();
        r.resume();
        r.destroy();
        cx.close(agent).unwrap();
    });
    check(move |cx, probe| {
        let agent = cx.http_agent(Agent::new()).unwrap();
        let key = cx.request(get().agent(agent), ()).unwrap();
        assert!(cx.http_request(key).upgrade(probe).is_none());
        cx.http_request(key).destroy();
        cx.close(agent).unwrap();
    });
    check(move |cx, probe| {
        let options = Agent::new().connect(move |_, options| {
            probe.ran();
            options
        });
        let agent = cx.http_agent(options).unwrap();
        let key = cx.fetch(get().agent(agent), 1, |_, _| {}).unwrap();
        cx.close(key).unwrap();
        cx.close(agent).unwrap();
    });
}

/// A tick cannot be taken back: it runs, later.
#[test]
fn next_tick() {
    let mut lp = guarded();
    let fate = Rc::new(Fate::default());
    let probe = Probe(fate.clone());
    let f = fate.clone();
    lp.next_tick(move |cx| {
        cx.next_tick(move |_| probe.ran());
        assert!(!f.ran.get() && !f.dropped.get());
    });
    assert!(!fate.ran.get());
    lp.run().unwrap();
    assert!(fate.ran.get() && fate.dropped.get());
}

/// Nor can a post.
#[test]
fn post() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    struct Sent(Arc<AtomicBool>);
    impl Drop for Sent {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let mut lp = guarded();
    let dropped = Arc::new(AtomicBool::new(false));
    let sent = Sent(dropped.clone());
    let d = dropped.clone();
    lp.next_tick(move |cx| {
        cx.remote().post(move |_| drop(sent)).unwrap();
        assert!(!d.load(SeqCst));
    });
    lp.run().unwrap();
    assert!(dropped.load(SeqCst));
}

/// Of a job that is cancelled, both closures are dropped later; the callback runs.
#[test]
fn work() {
    fn idle() {}
    for slow in [false, true] {
        let mut lp = guard(Loop::builder().work_threads(1).build().unwrap());
        let (open, closed) = std::sync::mpsc::channel::<()>();
        lp.work(move || closed.recv().is_ok(), |_, _| {}).unwrap();
        let fate = Rc::new(Fate::default());
        let probe = Probe(fate.clone());
        let f = fate.clone();
        lp.next_tick(move |cx| {
            let done = move |_: &mut Cx<'_>, _| probe.ran();
            let key = match slow {
                true => cx.slow_work(idle, done),
                false => cx.work(idle, done),
            };
            assert_eq!(cx.work_cancel(key.unwrap()), Ok(true));
            assert!(!f.ran.get() && !f.dropped.get());
        });
        drop(open);
        lp.run().unwrap();
        assert!(fate.ran.get() && fate.dropped.get());
    }
}

#[test]
fn observe() {
    let mut lp = guarded();
    let fate = Rc::new(Fate::default());
    lp.observe(Probe(fate.clone()));
    lp.observe(Probe(Rc::default()));
    assert!(!fate.dropped.get());
    lp.run().unwrap();
    assert!(fate.dropped.get());
}

#[test]
fn listen_and_serve() {
    check(|cx, probe| {
        let server = cx.listen("127.0.0.1:0", move |_| probe.ran()).unwrap();
        cx.server(server).close().unwrap();
    });
    check(|cx, probe| {
        let server = cx.serve("127.0.0.1:0", probe).unwrap();
        cx.close(server).unwrap();
    });
    check(|cx, probe| {
        assert!(cx.listen("nonsense", move |_| probe.ran()).is_err());
    });
    check(|cx, probe| {
        assert!(cx.serve("127.0.0.1:99999", probe).is_err());
    });
}

#[test]
fn connect_and_set_handler() {
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", probe);
        cx.socket(key).destroy();
    });
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", probe);
        cx.socket(key).set_handler(On::new());
    });
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", On::new());
        cx.socket(key).destroy();
        cx.socket(key).set_handler(probe);
    });
    check(|cx, probe| {
        let key = cx.connect("nonsense", probe);
        assert_eq!(cx.socket(key).write(b"x"), Flow::Closed);
    });
}

#[test]
fn tunnel() {
    check(|cx, probe| {
        let (client, target) = (cx.connect("127.0.0.1:1", On::new()), "127.0.0.1:1");
        let answer = Rc::new(probe);
        let done = answer.clone();
        cx.socket(client).tunnel(target, move |_, _| answer.ran(), move |_, _| drop(done));
        cx.socket(client).destroy();
    });
}

/// What a protocol displaces is dropped later.
#[test]
fn set_protocol() {
    static NOTHING: Protocol = Protocol::new("nothing");
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", probe);
        assert!(cx.socket(key).set_protocol(&NOTHING, 0));
        cx.socket(key).destroy();
    });
}

#[test]
fn set_filter() {
    struct Nothing;
    impl Filter for Nothing {
        fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            Ok(user.len())
        }
    }
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", On::new());
        cx.socket(key).set_filter(probe);
        cx.socket(key).set_filter(Nothing);
    });
    check(|cx, probe| {
        let key = cx.connect("127.0.0.1:1", On::new());
        cx.socket(key).set_filter(probe);
        cx.socket(key).destroy();
    });
}

/// Law 1: what is given to a stream is dropped in no call; a stream that nobody can make
/// loses nothing either.
#[test]
fn law_1_open_writable_calls_and_drops_nothing() {
    struct Dropped(Rc<RefCell<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    struct Held(#[allow(dead_code)] Dropped);
    impl Sink for Held {
        fn write(&mut self, _: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
            panic!("nothing was written")
        }
    }
    impl WriteHandler for Held {}
    let mut lp = guarded();
    let drops = Rc::new(RefCell::new(0));
    let held = || Held(Dropped(drops.clone()));
    let key = lp.open_writable(WritableOptions::new(), held(), held()).unwrap();
    lp.writable(key).destroy();
    assert_eq!(*drops.borrow(), 0);
    lp.run().unwrap();
    assert_eq!(*drops.borrow(), 2);
}

/// Law 1: `pipeline` calls nothing and drops nothing inside the call.
#[test]
fn law_1_pipeline() {
    let mut lp = guarded();
    let dropped = Rc::new(());
    let (to, _) = keep(&mut lp, false, 100);
    let from = quiet(&mut lp);
    let d = dropped.clone();
    let pipe = lp.pipe(from, to, move |_, _| drop(d)).unwrap();
    lp.close(pipe).unwrap();
    assert_eq!(Rc::strong_count(&dropped), 2);
    lp.run().unwrap();
    assert_eq!(Rc::strong_count(&dropped), 1);
}

// ---- law 1
struct End(#[allow(dead_code)] Rc<()>);

impl ReadEnd for End {
    fn attach(&self, _: &mut Cx<'_>, _: PipeKey) -> Result<(), StreamError> {
        Err(StreamError::Closed)
    }
    fn pause(&self, _: &mut Cx<'_>) {}
    fn resume(&self, _: &mut Cx<'_>) {}
    fn destroy(&self, _: &mut Cx<'_>, _: &StreamError) {}
}

#[test]
fn law_1_pipe_drops_no_end_that_refused() {
    let mut lp = guarded();
    let (to, _) = keep(&mut lp, true, 4);
    let end = Rc::new(());
    lp.pipe(End(end.clone()), to, |_, _| {}).unwrap();
    assert_eq!(Rc::strong_count(&end), 2, "dropped inside pipe()");
}
