//! How many connections there may be, who waits, and in which order they are served.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate::http::Scheduling;

use super::*;

/// A server whose answers wait until the test lets them go. It notes who asked on which connection.
#[derive(Clone, Default)]
struct Held {
    waiting: Rc<RefCell<Vec<SocketKey>>>,
    seen: Rc<RefCell<Vec<(usize, String)>>>,
}

impl Held {
    fn serve(&self, lp: &mut Loop) -> String {
        let held = self.clone();
        script(lp, move |s, asked| {
            let target = asked.head.split(' ').nth(1).unwrap().to_owned();
            held.seen.borrow_mut().push((asked.conn, target));
            held.waiting.borrow_mut().push(s.key());
        })
    }

    fn answer_first(&self, lp: &mut Loop) {
        let first = self.waiting.borrow_mut().remove(0);
        let _ = lp.socket(first).write(OK);
    }

    fn targets(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|(_, target)| target.clone()).collect()
    }
}

#[test]
fn http_73_so_many_connections_and_the_others_wait_in_order() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(2).max_pending(4));
    let held = Held::default();
    let url = held.serve(&mut lp);
    let results = Results::default();
    for n in 0..7 {
        fetch(&mut *lp, ClientRequest::get(&format!("{url}/{n}")).agent(agent), &results);
    }
    turn_until(&mut lp, |_| held.seen.borrow().len() == 2 && !results.borrow().is_empty());
    // Two have a connection, four may wait.
    let refused = results.borrow_mut().pop().unwrap();
    assert_eq!(cause(&refused), "too many requests wait for a connection");
    let m = metrics(&mut lp, agent);
    assert_eq!((m.open, m.waiting, m.pool_full), (2, 4, 1));
    for n in 0..6 {
        turn_until(&mut lp, |_| !held.waiting.borrow().is_empty());
        held.answer_first(&mut lp);
        turn_until(&mut lp, |_| results.borrow().len() == n + 1);
        assert!(metrics(&mut lp, agent).open <= 2);
    }
    let mut targets = held.targets();
    // The first two are sent on two connections, which are accepted in any order.
    targets[..2].sort();
    assert_eq!(targets, ["/0", "/1", "/2", "/3", "/4", "/5"]);
    assert!(results.borrow().iter().all(|r| r.is_ok()));
    assert_eq!(metrics(&mut lp, agent).connected, 2);
}

/// Which of two connections is used next: the one that was used last, or the other one.
#[test]
fn http_73_last_in_first_out_or_first_in_first_out() {
    for (scheduling, same) in [(Scheduling::Lifo, true), (Scheduling::Fifo, false)] {
        let mut lp = guarded();
        let agent = agent(&mut lp, Agent::new().scheduling(scheduling));
        let held = Held::default();
        let url = held.serve(&mut lp);
        let results = Results::default();
        for _ in 0..2 {
            fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
        }
        turn_until(&mut lp, |_| held.waiting.borrow().len() == 2);
        for n in 0..2 {
            held.answer_first(&mut lp);
            turn_until(&mut lp, |_| results.borrow().len() == n + 1);
        }
        let last = held.seen.borrow()[1].0;
        fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
        turn_until(&mut lp, |_| held.waiting.borrow().len() == 1);
        assert_eq!(held.seen.borrow()[2].0 == last, same, "{scheduling:?}");
        held.answer_first(&mut lp);
        turn_until(&mut lp, |_| results.borrow().len() == 3);
    }
}

#[test]
fn a_free_connection_of_another_origin_leaves_its_place() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_total(1));
    let (a, b) = (always(&mut lp, OK), always(&mut lp, OK));
    for url in [&a, &b, &a] {
        let answer = ask(&mut lp, ClientRequest::get(url).agent(agent)).unwrap();
        assert!(!answer.totals.reused);
    }
    let m = metrics(&mut lp, agent);
    assert_eq!((m.open, m.evicted), (1, 2));
}

/// A request that is closed while it waits is not sent, and takes nobody's place.
#[test]
fn a_request_is_closed_while_it_waits() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(1));
    let held = Held::default();
    let url = held.serve(&mut lp);
    let results = Results::default();
    fetch(&mut *lp, ClientRequest::get(&format!("{url}/0")).agent(agent), &results);
    let to = results.clone();
    let key = lp
        .fetch(ClientRequest::get(&format!("{url}/1")).agent(agent), 100, move |_, result| {
            to.borrow_mut().push(result);
        })
        .unwrap();
    fetch(&mut *lp, ClientRequest::get(&format!("{url}/2")).agent(agent), &results);
    turn_until(&mut lp, |lp| metrics(lp, agent).waiting == 2 && !held.waiting.borrow().is_empty());
    lp.cx().close(key).unwrap();
    turn_until(&mut lp, |_| !results.borrow().is_empty());
    assert_eq!(cause(&results.borrow_mut().remove(0)), "destroyed");
    for n in 0..2 {
        turn_until(&mut lp, |_| !held.waiting.borrow().is_empty());
        held.answer_first(&mut lp);
        turn_until(&mut lp, |_| results.borrow().len() == n + 1);
    }
    assert_eq!(held.targets(), ["/0", "/2"]);
}

/// Its connection is closed, since half of an answer is on the way; another one is made.
#[test]
fn a_request_is_closed_while_it_is_answered() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(1));
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let url = script(&mut lp, move |s, _| {
        count.set(count.get() + 1);
        if count.get() > 1 {
            let _ = s.write(OK);
        }
    });
    let results = Results::default();
    let to = results.clone();
    let request = ClientRequest::get(&url).agent(agent);
    let key = lp.fetch(request, 100, move |_, result| to.borrow_mut().push(result)).unwrap();
    fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    turn_until(&mut lp, |_| calls.get() == 1);
    lp.http_request(key).destroy();
    turn_until(&mut lp, |_| results.borrow().len() == 2);
    assert_eq!(cause(&results.borrow()[0]), "destroyed");
    assert_eq!(body(&results.borrow()[1]), "ok");
    assert_eq!(metrics(&mut lp, agent).connected, 2);
}
