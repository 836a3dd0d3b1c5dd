//! What connections cost whose peers do not read: at most a high-water mark of memory each.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::prelude::*;

#[cfg(unix)]
use crate::rlimit;
use crate::support::*;

/// More than the kernel takes at once.
static BIG: [u8; 12 << 20] = [7; 12 << 20];

/// 1,000 clients that never read, and a producer that obeys `Flow`: our memory is bounded
/// by the high-water mark. One that ignores it is closed, and the others are unharmed.
#[test]
fn slow_readers_cost_a_high_water_mark_each() {
    #[cfg(unix)]
    let many = if rlimit::raise_limit() > 2_200 { 1000 } else { 100 };
    #[cfg(not(unix))]
    let many = 100;
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().write_limit(1 << 20)).build().unwrap());
    let keys = Rc::new(RefCell::new(Vec::new()));
    let k = keys.clone();
    fn pour(s: &mut SocketCx<'_>) {
        while s.write(Bytes::from_static(&BIG[..16 << 10])) == Flow::Ready {}
    }
    // The kernel would take some MiB for each, and the test as many seconds.
    let options = ListenOptions::new("127.0.0.1:0").backlog(4096).send_buffer(16 << 10);
    let server = lp
        .listen(options, move |conn| {
            let mut s = conn.accept(On::new().drain(pour));
            pour(&mut s);
            k.borrow_mut().push(s.key());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..many).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| keys.borrow().len() == many);
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(std::time::Duration::ZERO) {}
    let held: usize = keys.borrow().iter().map(|key| lp.socket(*key).memory_held()).sum();
    assert!(held > 0 && held <= many * ((64 << 10) + (64 << 10)), "{held} bytes for {many}");
    // One of them goes on writing.
    let bad = keys.borrow()[0];
    let mut s = lp.socket(bad);
    while s.write(Bytes::from_static(&BIG[..16 << 10])) != Flow::Closed {}
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == many - 1);
    assert!(keys.borrow()[1..].iter().all(|key| lp.socket(*key).state().is_ok()));
    drop(clients);
}
