//! A GET on a connection that is kept: its system calls, and what it allocates. The clients write
//! and read in the thread of the loop, between two turns, so the counts are the same on any machine.

use std::io::Read;
use std::net::TcpStream;

use tidegate::http::http::Method;
use tidegate::http::{Http, Response};
use tidegate::prelude::*;

use crate::allocation;
use crate::support::*;
#[cfg(all(
    target_os = "linux",
    not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))
))]
use crate::syscalls::{argument, difference, traced_child};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: tide\r\nUser-Agent: cost\r\nAccept: */*\r\n\r\n";
const BODY: &[u8] = b"world\n";

/// A server that answers, and its clients.
struct Hello {
    lp: Guarded,
    clients: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Hello {
    fn with(clients: usize) -> Hello {
        let mut lp = guarded();
        let server = lp
            .http_listen("127.0.0.1:0", |head, x| match head.path() {
                "/hello" => {
                    // As a type of the `http` crate it costs nothing, too.
                    assert_eq!(head.to_method(), Method::GET);
                    let fields = [("content-type", "text/plain")];
                    x.respond(Response::new(200).headers(&fields), BODY).unwrap();
                }
                _ => x.reply(404, ""),
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let clients: Vec<_> = (0..clients).map(|_| client(at)).collect();
        let all = clients.len() as u64;
        turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == all);
        Hello { lp, clients, buffer: vec![0; 64 * 1024] }
    }

    /// Every client sends so many requests in one piece and gets the answers; what the loop
    /// allocated for that.
    fn get(&mut self, each: usize) -> u64 {
        let requests = GET.repeat(each);
        for c in &self.clients {
            write_all(c, &requests);
        }
        let wanted = self.lp.http_metrics().requests + (self.clients.len() * each) as u64;
        let before = allocation::calls();
        turn_until(&mut self.lp, |lp| lp.http_metrics().requests == wanted);
        let during = allocation::calls() - before;
        for c in &mut self.clients {
            // They left in one send, so one read finds all of them.
            let n = c.read(&mut self.buffer).unwrap();
            let answers = self.buffer[..n].windows(BODY.len()).filter(|w| *w == BODY).count();
            assert_eq!(answers, each, "{}", String::from_utf8_lossy(&self.buffer[..n]));
        }
        during
    }
}

#[test]
fn n59_a_get_allocates_nothing() {
    for (clients, each) in [(1, 1), (1, 16), (16, 1)] {
        let mut hello = Hello::with(clients);
        let first: u64 = (0..10).map(|_| hello.get(each)).sum();
        assert!(first > 0);
        let later: u64 = (0..200).map(|_| hello.get(each)).sum();
        assert_eq!(later, 0, "{clients} clients, {each} requests at once");
    }
}

/// A connection and its first GET: what it needs has its place in the slabs of the loop, which grow
/// seldom.
#[test]
fn a_connection_allocates_nothing_for_itself() {
    const MANY: usize = 200;
    let mut lp = guarded();
    let server = lp.http_listen("127.0.0.1:0", |_, x| x.reply(200, BODY)).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    // The clients' part in this thread is not counted.
    let round = |lp: &mut Guarded| {
        let clients: Vec<_> = (0..MANY).map(|_| client(at)).collect();
        clients.iter().for_each(|c| write_all(c, GET));
        let wanted = lp.http_metrics().requests + MANY as u64;
        let before = allocation::calls();
        turn_until(lp, |lp| lp.http_metrics().requests == wanted);
        let during = allocation::calls() - before;
        drop(clients);
        turn_until(lp, |lp| lp.http_metrics().connections == 0);
        during
    };
    round(&mut lp);
    // The entry for the first deadline of each, among others that wait: its heap may grow.
    let second = round(&mut lp);
    // Over poll(2) mio keeps a record of each registration.
    let mio = if cfg!(mio_unsupported_force_poll_poll) { 2 * MANY as u64 } else { 0 };
    assert!(second < mio + 20, "{second} for {MANY} connections");
}

#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
mod calls {
    use super::*;

    #[test]
    #[ignore = "a child of the test below"]
    fn child_alone() {
        let mut hello = Hello::with(1);
        (0..argument()).for_each(|_| _ = hello.get(1));
    }

    #[test]
    #[ignore = "a child of the test below"]
    fn child_ready() {
        let mut hello = Hello::with(16);
        (0..argument()).for_each(|_| _ = hello.get(1));
    }

    #[test]
    #[ignore = "a child of the test below"]
    fn child_pipelined() {
        let mut hello = Hello::with(1);
        (0..argument()).for_each(|_| _ = hello.get(16));
    }

    /// The calls of the loop in 1,000 rounds: all, without the client's write and read in each
    /// round; and the waits and writes among them.
    fn of(child: &str, clients: i64) -> Option<(i64, i64, i64)> {
        let few = traced_child(child, 10)?;
        let many = traced_child(child, 1010)?;
        let more = difference(&few, &many);
        println!("{child}: {more:?}");
        let count = |names: &[&str]| names.iter().filter_map(|n| more.get(*n)).sum::<i64>();
        let (all, waits) = (more.values().sum::<i64>(), count(&["epoll_wait"]));
        let writes = count(&["sendto", "sendmsg", "write", "writev"]);
        Some((all - 2_000 * clients, waits, writes - 1_000 * clients))
    }

    #[test]
    fn n60_a_get_alone_makes_three_calls() {
        let Some((all, waits, writes)) = of("http::calls::child_alone", 1) else { return };
        // A turn may find nothing, if the request is still on its way.
        assert_eq!((all - waits, writes), (2_000, 1_000));
        assert!((1_000..=1_020).contains(&waits), "{waits}");
    }

    #[test]
    fn n60_gets_of_16_connections_share_their_wait() {
        let Some((all, waits, writes)) = of("http::calls::child_ready", 16) else { return };
        assert_eq!((all - waits, writes), (2 * 16_000, 16_000));
        assert!((1_000..=1_100).contains(&waits), "{waits}");
    }

    #[test]
    fn n07_the_answers_to_16_pipelined_gets_leave_in_one_call() {
        let Some((all, waits, writes)) = of("http::calls::child_pipelined", 1) else { return };
        assert_eq!((all - waits, writes), (2_000, 1_000));
        assert!((1_000..=1_020).contains(&waits), "{waits}");
    }
}
