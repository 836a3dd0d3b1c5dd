//! What an observer sees of a pool.

use tidegate::net::PoolEvent;
use tidegate::observe::{Event, Moment, Observer};

use super::*;

/// The events of pools: their names, and what they say.
#[derive(Clone, Default)]
struct Told(Log);

impl Observer for Told {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        let Event::Layer(e) = event else { return };
        if e.layer() != "pool" {
            return;
        }
        assert!(e.as_any().is::<PoolEvent>());
        let mut fields = Vec::new();
        e.fields(&mut |name, value| {
            assert!(!value.to_string().is_empty(), "{name} of {e}");
            fields.push(name);
        });
        self.0.add(format!("{} ({}): {e}", e.name(), fields.join(", ")));
    }
}

#[test]
fn each_step_of_a_pool_is_an_event() {
    let mut lp = guarded();
    let told = Told::default();
    lp.observe(told.clone());
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(1).max_waiting(1));
    let first = lease(&mut lp, pool, at);
    let peer = accept(&listener);
    let got = Got::default();
    take(&mut lp, pool, at, &got); // waits
    take(&mut lp, pool, at, &got); // one too many
    turn_until(&mut lp, |_| got.len() == 1);
    lp.pool_give(first).unwrap();
    turn_until(&mut lp, |_| got.len() == 2);
    let second = got.lease(1);
    lp.pool_give(second).unwrap();
    drop(peer);
    lp.after(DEADLINE / 2, |_| {});
    turn_until(&mut lp, |lp| metrics(lp, pool).open == 0);
    let expected = [
        format!("wait (pool, host, waiting): no connection to {at} is free: 1 wait"),
        "taken (pool, socket, reused): a new connection is taken".to_owned(),
        format!("wait (pool, host, waiting): no connection to {at} is free: 1 wait"),
        "refused (pool, error): too many wait for a connection".to_owned(),
        "given (pool, socket): a connection came back".to_owned(),
        "taken (pool, socket, reused): a connection is taken again".to_owned(),
        "given (pool, socket): a connection came back".to_owned(),
        "left (pool, socket, why): a connection left: its other side ended it".to_owned(),
    ];
    assert_eq!(told.0.lines(), expected);
    lp.close_all();
    lp.run().unwrap();
}
