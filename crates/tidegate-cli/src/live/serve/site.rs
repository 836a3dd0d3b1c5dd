//! [`Site`]: which request gets which answer.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /events` | what the loop does, as server-sent events; `frames=N` ends it after N frames |
//! | `GET /replay` | the messages of a file |
//! | `POST /do/...` | a button: `preset?name=`, `block?ms=`, `stop`, `step`, `run` |
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate::http::{Exchange, Head, Http, OnExchange, Response};
use tidegate::prelude::*;

use super::frame::Frames;
use super::guard::{Guard, param};
use super::stream::Pages;
use crate::live::loops::crowd::Crowd;
use crate::live::loops::preset::Preset;
use crate::live::loops::shared::Shared;
use crate::live::loops::studied::{ACCEPT_BUDGET, Studied};
use crate::live::model::follow::Follower;
use crate::live::model::message;
use crate::live::model::turn::PLACES;

const PAGE: &str = include_str!("../page.html");
const SEND_BUFFER: usize = 128 * 1024;
const FRAME_EVERY: Duration = Duration::from_millis(50);

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// For every answer.
const FIELDS: [(&str, &str); 4] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// A loop that runs, or a file.
pub(crate) enum Source {
    Live(Live),
    /// Messages as one JSON array.
    File(Bytes),
}

/// A running demonstration. The clients end first.
pub(crate) struct Live {
    pub(crate) crowd: Crowd,
    pub(crate) studied: Studied,
    pub(crate) shared: Arc<Shared>,
    pub(crate) preset: Cell<Preset>,
}

struct Site {
    guard: Guard,
    source: Source,
    pages: RefCell<Pages>,
    frames: RefCell<Frames>,
    follower: RefCell<Follower>,
}

/// Opens the server of the page, and returns its address with the token.
pub(crate) fn open(lp: &mut Loop, port: u16, source: Source) -> io::Result<String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let port = listener.local_addr()?.port();
    let guard = Guard::new(port);
    let replay = if matches!(source, Source::File(_)) { "&replay=replay" } else { "" };
    let url = format!("http://127.0.0.1:{port}/?token={}{replay}", guard.token());
    let site = Rc::new(Site {
        guard,
        source,
        pages: RefCell::default(),
        frames: RefCell::default(),
        follower: RefCell::default(),
    });
    let asked = site.clone();
    // What waits for a browser that does not read is bounded in the kernel, too.
    let options = ListenOptions::from(listener).send_buffer(SEND_BUFFER);
    lp.http_listen(options, move |head, x| asked.answer(head, x))?;
    if matches!(site.source, Source::Live(_)) {
        lp.interval(FRAME_EVERY, move |cx, _| site.tick(cx));
    }
    Ok(url)
}

fn text(x: Exchange<'_>, status: u16, body: &str) {
    let response = Response::new(status).headers(&FIELDS).header("content-type", "text/plain");
    // An error: the browser is gone.
    let _ = x.respond(response, body);
}

impl Site {
    fn answer(self: &Rc<Site>, head: &Head<'_>, x: Exchange<'_>) {
        if let Err(refused) = self.guard.check(head) {
            return text(x, 403, &refused.to_string());
        }
        match (head.method, head.path(), &self.source) {
            ("GET", "/", _) => {
                let html = ("content-type", "text/html; charset=utf-8");
                let response = Response::new(200).headers(&FIELDS).header(html.0, html.1);
                let _ = x.respond(response, PAGE);
            }
            ("GET", "/events", Source::Live(live)) => self.stream(head, x, live),
            ("GET", "/replay", Source::File(messages)) => {
                let response =
                    Response::new(200).headers(&FIELDS).header("content-type", "application/json");
                let _ = x.respond(response, messages.clone());
            }
            ("POST", path, Source::Live(live)) => match path.strip_prefix("/do/") {
                Some(action) => match live.act(action, head.query()) {
                    Ok(()) => x.reply(204, ""),
                    Err(why) => text(x, 400, why),
                },
                None => text(x, 404, "no such place\n"),
            },
            ("GET", ..) => text(x, 404, "no such place\n"),
            _ => text(x, 405, "GET or POST\n"),
        }
    }

    fn stream(self: &Rc<Site>, head: &Head<'_>, x: Exchange<'_>, live: &Live) {
        if !self.pages.borrow().has_room() {
            return text(x, 503, "eight pages are open already; close one\n");
        }
        let seen = head.get("last-event-id").and_then(|id| std::str::from_utf8(id).ok());
        let seen = seen.and_then(|id| id.parse().ok());
        let frames = param(head.query(), "frames").and_then(|n| n.parse().ok());
        let response =
            Response::new(200).headers(&FIELDS).header("content-type", "text/event-stream");
        let Ok(mut x) = x.start(response) else { return };
        let key = x.key();
        let (drained, closed) = (self.clone(), self.clone());
        let on = OnExchange::new().drain(move |_| drained.pages.borrow_mut().drained(key));
        x.handle(on.close(move |_, _| closed.gone(key)));
        let mut begin = "retry: 500\n\n".to_owned();
        message::event(&mut begin, "hello", None, &live.hello());
        if let Some(verdict) = self.frames.borrow().last_verdict() {
            message::event(&mut begin, "verdict", None, verdict);
        }
        // The first frame comes within 50 ms, and looks at the answer.
        let _ = x.write(begin);
        live.shared.set_watched(true);
        let mut follower = self.follower.borrow_mut();
        follower.follow(&live.shared.tape, || live.shared.kinds().clone());
        self.pages.borrow_mut().add(key, seen, frames, follower.ring(), &live.shared.notes());
    }

    fn gone(&self, key: tidegate::http::ExchangeKey) {
        let mut pages = self.pages.borrow_mut();
        pages.remove(key);
        if let (true, Source::Live(live)) = (pages.is_empty(), &self.source) {
            live.shared.set_watched(false);
        }
    }

    fn tick(&self, cx: &mut Cx<'_>) {
        let Source::Live(live) = &self.source else { return };
        if live.studied.is_over() {
            log::error!("the studied loop has ended");
            return cx.stop();
        }
        // Also without a page: a verdict is kept for the next one.
        let mut follower = self.follower.borrow_mut();
        let servers = &live.studied.servers;
        let frame = self.frames.borrow_mut().next(&live.shared, servers, &mut follower);
        let ring = follower.ring();
        self.pages.borrow_mut().send(cx, ring, || live.shared.notes(), &frame);
    }
}

impl Live {
    fn hello(&self) -> Value {
        let presets: Vec<Value> = Preset::ALL.iter().map(|preset| preset.to_json()).collect();
        json!({
            "version": 1, "places": PLACES, "presets": presets,
            "preset": self.preset.get().name(), "accept_budget": ACCEPT_BUDGET,
            "own": self.studied.own.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn act(&self, action: &str, query: Option<&str>) -> Result<(), &'static str> {
        match action {
            "preset" => {
                let preset = param(query, "name").and_then(Preset::of);
                let preset = preset.ok_or("no such preset\n")?;
                self.preset.set(preset);
                self.crowd.play(preset);
            }
            "block" => {
                let ms = param(query, "ms").and_then(|ms| ms.parse().ok());
                self.shared.block_next(Duration::from_millis(ms.ok_or("block?ms=NUMBER\n")?));
            }
            "stop" => self.studied.stop(),
            "step" => self.studied.step(),
            "run" => self.studied.go_on(),
            _ => return Err("no such button\n"),
        }
        Ok(())
    }
}
