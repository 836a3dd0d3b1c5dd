//! Random programs: requests of all kinds to servers that do anything, in pools with little room.
//! Whatever happens, each request is told its end once, each callback comes in its order, and the
//! agent's limits hold.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate::http::codec::{FieldList, ResponseHead};
use tidegate::http::{
    Agent, Answered, ClientRequest, HttpClient, RequestCx, RequestError, RequestKey,
    ResponseHandler,
};
use tidegate::prelude::*;

use crate::client::*;
use crate::support::*;

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    InTwo,
    Chunked,
    Informs,
    UntilEnd,
    Closes,
    Resets,
    HalfAnswers,
    Nothing,
    ClosesAfter,
    Nonsense,
}

/// What the program does, one after the other, with a few turns between.
#[derive(Clone, Copy, Debug)]
enum Step {
    Get(u8),
    Post(u8, u16),
    Stream(u8, u16),
    Close(u8),
    Pause(u8),
    Resume(u8),
    Turns(u8),
    CloseAgent,
}

/// Checks the order of the callbacks of one request.
struct Ordered {
    state: u8,
    body: usize,
    ended: bool,
    told: Rc<Cell<u32>>,
    left: u16,
}

impl Ordered {
    fn step(&mut self, from: &[u8], to: u8) {
        assert!(from.contains(&self.state), "{} then {to}", self.state);
        self.state = to;
    }
}

impl ResponseHandler for Ordered {
    fn on_drain(&mut self, r: &mut RequestCx<'_>) {
        assert!(self.state < 4);
        while self.left > 0 {
            let n = self.left.min(500);
            self.left -= n;
            if r.write(vec![b'b'; n.into()]) != Flow::Ready {
                return;
            }
        }
        r.end();
    }
    fn on_informational(&mut self, _: &mut RequestCx<'_>, _: &ResponseHead<'_>) {
        self.step(&[0], 0);
    }
    fn on_head(&mut self, _: &mut RequestCx<'_>, _: &ResponseHead<'_>) {
        self.step(&[0], 1);
    }
    fn on_data(&mut self, _: &mut RequestCx<'_>, part: &[u8]) {
        self.step(&[1], 1);
        self.body += part.len();
    }
    fn on_trailers(&mut self, _: &mut RequestCx<'_>, _: &FieldList<'_>) {
        self.step(&[1], 2);
    }
    fn on_end(&mut self, _: &mut RequestCx<'_>) {
        self.step(&[1, 2], 3);
        self.ended = true;
    }
    fn on_close(&mut self, _: &mut Cx<'_>, _: RequestKey, result: Result<Answered, RequestError>) {
        self.step(&[0, 1, 2, 3], 4);
        self.told.set(self.told.get() + 1);
        match result {
            Ok(done) => assert!(self.ended && done.body == self.body as u64),
            // It is closed after the end, at the earliest in the next call.
            Err(e) => assert!(!self.ended, "{e}"),
        }
    }
}

fn does(s: &mut SocketCx<'_>, does: Does) {
    let later = |s: &mut SocketCx<'_>, f: fn(&mut SocketCx<'_>)| {
        let key = s.key();
        s.after(Duration::from_micros(200), move |cx| f(&mut cx.socket(key)));
    };
    let _ = match does {
        Does::Answers => s.write(OK),
        Does::InTwo => {
            later(s, |s| {
                let _ = s.write("ngth: 2\r\n\r\nok");
            });
            s.write("HTTP/1.1 200 OK\r\nContent-Le")
        }
        Does::Chunked => s.write(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
        ),
        Does::Informs => s.write(format!("HTTP/1.1 103 Hints\r\n\r\n{OK}")),
        Does::UntilEnd => s.end_with("HTTP/1.1 200 OK\r\n\r\nok"),
        Does::Closes => return s.destroy(),
        Does::Resets => return s.reset(),
        Does::HalfAnswers => s.end_with("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        Does::Nothing => return,
        Does::ClosesAfter => {
            later(s, |s| s.destroy());
            s.write(OK)
        }
        Does::Nonsense => s.write("HTTP/1.1 200 OK\nthis is none\r\n\r\n"),
    };
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3).prop_map(Step::Get),
        2 => (0u8..3, 0u16..3000).prop_map(|(s, n)| Step::Post(s, n)),
        2 => (0u8..3, 0u16..3000).prop_map(|(s, n)| Step::Stream(s, n)),
        1 => (0u8..20).prop_map(Step::Close),
        1 => (0u8..20).prop_map(Step::Pause),
        1 => (0u8..20).prop_map(Step::Resume),
        6 => (1u8..6).prop_map(Step::Turns),
        1 => Just(Step::CloseAgent),
    ]
}

fn deed() -> impl Strategy<Value = Does> {
    use Does::*;
    let rare = [
        InTwo,
        Chunked,
        Informs,
        UntilEnd,
        Closes,
        Resets,
        HalfAnswers,
        Nothing,
        ClosesAfter,
        Nonsense,
    ];
    prop_oneof![2 => Just(Answers), 3 => prop::sample::select(rare.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_is_told_its_end_once(
        steps in prop::collection::vec(step(), 1..60),
        deeds in prop::collection::vec(deed(), 1..40),
        sockets in 1usize..4,
        total in 1usize..6,
    ) {
        let mut lp = guarded();
        let deeds = Rc::new(RefCell::new(deeds.into_iter().cycle()));
        let urls: Vec<String> = (0..3)
            .map(|_| {
                let deeds = deeds.clone();
                script(&mut lp, move |s, _| {
                    let next = deeds.borrow_mut().next().unwrap();
                    does(s, next);
                })
            })
            .collect();
        let options = Agent::new().max_sockets(sockets).max_total(total).max_pending(8).max_free(2);
        let mut agent = agent(&mut lp, options.clone());
        let told = Rc::new(Cell::new(0));
        let mut keys = Vec::new();
        for step in steps {
            let ordered = |left| Ordered { state: 0, body: 0, ended: false, told: told.clone(), left };
            let timeouts = millis(60, 30, 30, 0);
            let to = |method: &'static str, at: u8| {
                ClientRequest::new(method, &urls[usize::from(at)]).agent(agent).timeouts(timeouts)
            };
            let at = |n: u8, keys: &Vec<RequestKey>| keys.get(usize::from(n)).copied();
            match step {
                Step::Get(s) => keys.push(lp.request(to("GET", s), ordered(0)).unwrap()),
                Step::Post(s, n) => {
                    let post = to("POST", s).body(vec![b'b'; n.into()]);
                    keys.push(lp.request(post, ordered(0)).unwrap());
                }
                Step::Stream(s, n) => {
                    let post = to("POST", s).streamed((n % 2 == 0).then_some(n.into()));
                    keys.push(lp.request(post, ordered(n)).unwrap());
                }
                Step::Close(n) => if let Some(key) = at(n, &keys) {
                    let _ = lp.cx().close(key);
                },
                Step::Pause(n) => if let Some(key) = at(n, &keys) { lp.http_request(key).pause() },
                Step::Resume(n) => if let Some(key) = at(n, &keys) { lp.http_request(key).resume() },
                Step::Turns(n) => for _ in 0..n { lp.run_nowait().unwrap(); },
                Step::CloseAgent => {
                    lp.cx().close(agent).unwrap();
                    agent = crate::client::agent(&mut lp, options.clone());
                }
            }
            let m = metrics(&mut lp, agent);
            prop_assert!(m.open <= total && m.free <= m.open && m.connecting <= m.open, "{m:?}");
        }
        for key in &keys {
            lp.http_request(*key).resume();
        }
        turn_until(&mut lp, |_| told.get() as usize == keys.len());
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        prop_assert_eq!(told.get() as usize, keys.len());
        let m = metrics(&mut lp, agent);
        prop_assert_eq!((m.waiting, m.open), (0, m.free), "{:?}", m);
        let left = lp.walk().into_iter().filter(|h| h.kind == "http request").count();
        prop_assert_eq!(left, 0);
    }
}
