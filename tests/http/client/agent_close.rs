//! An agent is closed: each request is told once.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

#[test]
fn http_76_each_request_that_waits_is_told_once() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(2));
    let peers: Rc<RefCell<Vec<SocketKey>>> = Rc::default();
    let keep = peers.clone();
    let url = script(&mut lp, move |s, _| keep.borrow_mut().push(s.key()));
    let results = Results::default();
    for _ in 0..10 {
        fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    }
    turn_until(&mut lp, |_| peers.borrow().len() == 2);
    lp.cx().close(agent).unwrap();
    assert!(results.borrow().is_empty(), "no callback comes from inside");
    // One that is made afterwards fails, too.
    fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    turn_until(&mut lp, |_| results.borrow().len() == 9);
    assert!(results.borrow().iter().all(|r| cause(r) == "the agent was closed"));
    assert!(lp.agent_metrics(agent).is_err());
    fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    turn_until(&mut lp, |_| results.borrow().len() == 10);
    // Those that are sent are answered, and their connections are not kept.
    for peer in peers.borrow_mut().drain(..) {
        let _ = lp.socket(peer).write(OK);
    }
    turn_until(&mut lp, |_| results.borrow().len() == 12);
    let answered: Vec<_> = results.borrow_mut().drain(10..).collect();
    assert!(answered.iter().all(|r| body(r) == "ok"));
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
}

#[test]
fn free_connections_are_closed_with_their_agent() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new());
    let url = always(&mut lp, OK);
    ask(&mut lp, ClientRequest::get(&url).agent(agent)).unwrap();
    lp.cx().close(agent).unwrap();
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
}

#[test]
fn everything_is_closed_at_once() {
    let mut lp = guarded();
    let agent = agent(&mut lp, Agent::new().max_sockets(2));
    let url = script(&mut lp, |_, _| {});
    let results = Results::default();
    for _ in 0..6 {
        fetch(&mut *lp, ClientRequest::get(&url).agent(agent), &results);
    }
    for turns in 0..6 {
        let mut left = 6;
        for _ in 0..turns {
            lp.run_nowait().unwrap();
        }
        lp.cx().close_all();
        turn_until(&mut lp, |_| {
            left = 6 - results.borrow().len();
            left == 0
        });
        for result in results.borrow_mut().drain(..) {
            assert!(result.is_err());
        }
        if turns < 5 {
            let url = script(&mut lp, |_, _| {});
            for _ in 0..6 {
                fetch(&mut *lp, ClientRequest::get(&url), &results);
            }
        }
    }
}
