//! Asks a flaky server: each request is a line, and so is its answer. What was not answered when
//! the connection broke is sent again on the next. `small_client [ADDR [REQUESTS]]`

use std::collections::VecDeque;

use tidegate::Shared;
use tidegate::net::{BackOff, Lines};
use tidegate::prelude::*;

struct Client {
    to: ConnectOptions,
    unanswered: VecDeque<String>,
    /// So many of them are sent on this connection.
    sent: usize,
    /// In a row, without an answer.
    failures: u32,
}

impl Client {
    fn connect(&mut self, cx: &mut Cx<'_>, shared: Shared<Client>) {
        self.sent = 0;
        let on = On::shared(shared)
            .connect(Client::send)
            .drain(Client::send)
            .close(move |client, s, close| client.on_close(s, close, shared));
        cx.connect(self.to.clone(), on.framed(Lines::new(1024), Client::on_answer));
    }

    /// Sends what is not sent yet, until the queue is full.
    fn send(&mut self, s: &mut SocketCx<'_>) {
        while let Some(request) = self.unanswered.get(self.sent) {
            self.sent += 1;
            if s.write(format!("{request}\n")) != Flow::Ready {
                return;
            }
        }
    }

    fn on_answer(&mut self, s: &mut SocketCx<'_>, answer: &[u8]) -> Flow {
        if self.sent == 0 {
            s.destroy_with("an answer to nothing");
            return Flow::Closed;
        }
        if let Some(request) = self.unanswered.pop_front() {
            println!("{request} -> {}", String::from_utf8_lossy(answer));
        }
        (self.sent, self.failures) = (self.sent - 1, 0);
        if self.unanswered.is_empty() {
            s.end();
        }
        Flow::Ready
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close, shared: Shared<Client>) {
        let left = self.unanswered.len();
        if left == 0 {
            return;
        }
        self.failures += 1;
        let tries = self.failures;
        let Some(delay) = BackOff::new(6).delay(tries) else {
            let error = format!("gave up after {tries} tries, {left} requests left: {close}");
            return s.cx().stop_with(error);
        };
        eprintln!("{close}; {left} requests left, next try in {delay:?}");
        s.after(delay, move |cx| {
            let _ = cx.with(shared, |client, cx| client.connect(cx, shared));
        });
    }
}

fn main() -> Result<(), MainError> {
    let mut args = std::env::args().skip(1);
    let to = args.next().unwrap_or_else(|| "127.0.0.1:7001".to_owned());
    let requests: u32 = args.next().map_or(Ok(10), |count| count.parse())?;
    let five = Duration::from_secs(5);
    let to = ConnectOptions::new(to).connect_timeout(five).idle_timeout(five);
    to.check()?;
    let unanswered = (1..=requests).map(|n| format!("request {n}")).collect();
    let mut lp = Loop::new()?;
    let shared = lp.share(Client { to, unanswered, sent: 0, failures: 0 })?;
    lp.with(shared, |client, cx| client.connect(cx, shared))?;
    Ok(lp.run()?)
}
